"""Reading from a store that nobody owns."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from taquba import MemoStore
from taquba.cli._tail import changed_at
from tests.cli.conftest import Taquba
from tests.cli.places import HOSTILE

READINGS: dict[str, list[str]] = {
    "queues": ["queues"],
    "jobs ls": ["jobs", "ls", "--queue", "broken"],
    "jobs of runs": ["jobs", "ls", "--queue", "books"],
    "runs ls": ["runs", "ls"],
    "run that broke": ["runs", "show", "broken"],
    "run that waits": ["runs", "show", "waiting"],
    "dead ls": ["dead", "ls"],
    "dead groups": ["dead", "groups"],
    "memo ls": ["memo", "ls", "good"],
    "kv ls": ["kv", "ls"],
    "kv values": ["kv", "ls", "--values"],
}


def at(store: Path, words: list[str]) -> list[str]:
    """The words of a command with the store in its place: before the id, if there is one."""
    place = 2 if len(words) == 3 and not words[2].startswith("-") else len(words)
    return [*words[:place], str(store), *words[place:]]


@pytest.mark.parametrize("name", READINGS)
def test_a_table_has_nothing_hostile_and_no_secret(taquba: Taquba, filled: Path, name: str) -> None:
    ended = taquba(*at(filled, READINGS[name]))

    assert ended.code == 0, ended.err
    assert ended.out.replace("\n", "").isprintable()
    assert "hunter2" not in ended.out
    assert "abcdefgh" not in ended.out


@pytest.mark.parametrize("name", READINGS)
def test_json_is_one_line_of_ascii_and_has_no_secret(
    taquba: Taquba, filled: Path, name: str
) -> None:
    ended = taquba(*at(filled, READINGS[name]), "--json")

    assert ended.code == 0, ended.err
    assert ended.out.count("\n") == 1
    assert ended.out.isascii()
    assert ended.out.rstrip("\n").isprintable()
    assert "hunter2" not in ended.out
    assert isinstance(ended.json(), dict)


def test_queues_are_counted(taquba: Taquba, filled: Path) -> None:
    queues = {queue["name"]: queue for queue in taquba("queues", filled, "--json").json()["queues"]}

    assert sorted(queues) == ["books", "broken", "emails"]
    emails = queues["emails"]
    assert (emails["pending_count"], emails["scheduled_count"]) == (1, 1)
    assert emails["oldest_pending"]["job_id"]
    assert queues["broken"]["dead_count"] == 3
    assert queues["broken"]["oldest_pending"] is None
    assert queues["books"]["live_run_count"] == 1
    assert [line["name"] for line in taquba("queues", filled, "--ndjson").lines()] == sorted(queues)


def test_a_table_of_queues_says_who_owns_the_store(taquba: Taquba, filled: Path) -> None:
    out = taquba("queues", filled).out

    assert out.startswith("no owner: the last one closed the store in order\n")
    assert [line.split()[0] for line in out.splitlines()[1:]] == [
        "queue",
        "books",
        "broken",
        "emails",
    ]


def test_jobs_are_filtered_by_state(taquba: Taquba, filled: Path) -> None:
    ls = ("jobs", "ls", filled, "--queue", "emails", "--json")

    states = [job["state"] for job in taquba(*ls).json()["jobs"]]
    [scheduled] = taquba(*ls, "--state", "scheduled").json()["jobs"]

    assert states == ["pending", "scheduled"]
    assert scheduled["dedup_key"] == "one"
    assert "payload" not in scheduled


def test_a_listing_goes_on_where_its_cursor_says(taquba: Taquba, filled: Path) -> None:
    everything = taquba("runs", "ls", filled, "--json").json()["runs"]
    seen: list[Any] = []
    cursor: list[str] = []
    while True:
        page = taquba("runs", "ls", filled, "--json", "--limit", 1, *cursor).json()
        seen += page["runs"]
        if page["cursor"] is None:
            break
        cursor = ["--cursor", page["cursor"]]

    assert [run["run_id"] for run in everything] == ["waiting", "fails", "broken", "good"]
    assert seen == everything


def test_a_listing_says_on_the_side_that_there_is_more(taquba: Taquba, filled: Path) -> None:
    ls = ("jobs", "ls", filled, "--queue", "broken", "--limit", 2)

    text, lines = taquba(*ls), taquba(*ls, "--ndjson")

    assert len(lines.lines()) == 2
    assert text.err == lines.err
    [cursor] = text.err.splitlines()
    word = cursor.removeprefix("there is more: --cursor ")
    [last] = taquba(*ls, "--ndjson", "--cursor", word).lines()
    assert last["job_id"] not in {job["job_id"] for job in lines.lines()}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--state", "failed"], ["fails", "broken"]),
        (["--state", "failed", "--state", "pending"], ["waiting", "fails", "broken"]),
        (["--prefix", "go"], ["good"]),
        (["--header", "tenant=good"], ["good"]),
        (["--header", "tenant=no"], []),
        (["--error", "gave up"], ["fails"]),
        (["--error", "language", "--limit", "1"], ["broken"]),
        (["--error", "hunter2"], []),
        (["--queue", "emails"], []),
    ],
)
def test_runs_are_filtered(
    taquba: Taquba, filled: Path, words: list[str], found: list[str]
) -> None:
    ended = taquba("runs", "ls", filled, "--json", *words)

    assert [run["run_id"] for run in ended.json()["runs"]] == found


def test_filtered_rows_beyond_the_limit_come_with_the_cursor(taquba: Taquba, filled: Path) -> None:
    ls = ("dead", "ls", filled, "--queue", "broken", "--error", "is wrong", "--json")

    first = taquba(*ls, "--limit", 2).json()
    rest = taquba(*ls, "--limit", 2, "--cursor", first["cursor"]).json()

    assert [len(page["jobs"]) for page in (first, rest)] == [2, 1]
    ids = {job["job_id"] for page in (first, rest) for job in page["jobs"]}
    assert len(ids) == 3


def test_dead_jobs_of_all_queues_come_one_after_the_other(taquba: Taquba, filled: Path) -> None:
    whole = taquba("dead", "ls", filled, "--json").json()
    seen: list[Any] = []
    cursor: list[str] = []
    for _ in range(10):
        page = taquba("dead", "ls", filled, "--json", "--limit", 1, *cursor).json()
        seen += page["jobs"]
        if page["cursor"] is None:
            break
        cursor = ["--cursor", page["cursor"]]

    assert [job["queue"] for job in whole["jobs"]] == ["books", "broken", "broken", "broken"]
    assert seen == whole["jobs"]
    assert whole["cursor"] is None


def test_errors_that_differ_in_numbers_are_one_group(taquba: Taquba, filled: Path) -> None:
    answer = taquba("dead", "groups", filled, "--json").json()

    assert [(group["queue"], group["count"]) for group in answer["groups"]] == [
        ("broken", 3),
        ("books", 1),
    ]
    assert answer["groups"][0]["error"].startswith("line # is wrong")
    assert answer["groups"][0]["first_at"] <= answer["groups"][0]["last_at"]
    assert (answer["examined"], answer["is_complete"]) == (4, True)


def test_a_job_is_shown_with_its_deliveries(taquba: Taquba, filled: Path) -> None:
    [job] = taquba("dead", "ls", filled, "--json", "--limit", 1, "--queue", "broken").json()["jobs"]

    shown = taquba("jobs", "show", filled, job["job_id"])

    assert shown.out.startswith(f"job {job['job_id']}  dead\n")
    assert "dead-lettered" in shown.out
    assert "\\x1b[31mred" in shown.out
    assert "payload (" not in shown.out


def test_a_payload_is_shown_if_it_is_asked_for(taquba: Taquba, filled: Path) -> None:
    text, other = taquba("jobs", "ls", filled, "--queue", "emails", "--json").json()["jobs"]

    assert "ada@example.com" not in taquba("jobs", "show", filled, text["job_id"], "--json").out
    assert "ada@example.com" in taquba("jobs", "show", filled, text["job_id"], "--payload").out
    assert taquba("jobs", "show", filled, text["job_id"], "--raw").out == "ada@example.com"
    payload = taquba("jobs", "show", filled, other["job_id"], "--payload", "--json").json()[
        "payload"
    ]
    assert payload == {"bytes": 2, "text": None, "base64": "/wA=", "is_cut": False}
    assert "as base64" in taquba("jobs", "show", filled, other["job_id"], "--payload").out


def test_a_run_is_shown_with_its_steps(taquba: Taquba, filled: Path) -> None:
    answer = taquba("runs", "show", filled, "good", "--json").json()

    assert [step["step_number"] for step in answer["steps"]] == [0, 1, 2]
    assert all(step["ended_at"] for step in answer["steps"])
    assert "result" not in answer
    broken = taquba("runs", "show", filled, "broken").out
    assert "deliveries of step 0" in broken
    assert "no such language" in broken


def test_a_result_is_shown_if_it_is_asked_for(taquba: Taquba, filled: Path) -> None:
    answer = taquba("runs", "show", filled, "good", "--result", "--json").json()
    none = taquba("runs", "show", filled, "waiting", "--result", "--json").json()
    raw = taquba("runs", "show", filled, "waiting", "--raw")

    assert answer["result"]["text"] == "the result\n"
    assert taquba("runs", "show", filled, "good", "--raw").out == "the result\n"
    assert none["result"] is None
    assert (raw.code, raw.out) == (2, "")
    assert "[no-result]" in raw.err


def test_memos_are_listed_without_their_keys(taquba: Taquba, filled: Path) -> None:
    memos = taquba("memo", "ls", filled, "good", "--json").json()["memos"]

    assert [memo["step_number"] for memo in memos] == [0, 1]
    assert {memo["value_bytes"] for memo in memos} == {9}
    assert "forty" not in taquba("memo", "ls", filled, "good").out


def test_keys_are_listed_and_read(taquba: Taquba, filled: Path) -> None:
    assert [row["key"] for row in taquba("kv", "ls", filled, "--ndjson").lines()] == [
        "a/1",
        "a/2",
        "b/1",
    ]
    assert [
        row["key"] for row in taquba("kv", "ls", filled, "--prefix", "b", "--ndjson").lines()
    ] == ["b/1"]
    assert "one" not in taquba("kv", "ls", filled).out
    assert "one" in taquba("kv", "ls", filled, "--values").out
    assert taquba("kv", "get", filled, "a/1").out == "one"
    assert taquba("kv", "get", filled, "b/1").out == HOSTILE
    assert taquba("kv", "get", filled, "b/1", "--json").json()["value"]["text"] == HOSTILE
    missing = taquba("kv", "get", filled, "a")
    assert (missing.code, missing.out) == (1, "")


def test_following_a_run_ends_with_the_run(taquba: Taquba, filled: Path) -> None:
    good, broken = taquba("runs", "tail", filled, "good"), taquba("runs", "tail", filled, "broken")

    assert (good.code, broken.code) == (0, 1)
    lines = [line.split("  ", 1) for line in good.out.splitlines()]
    assert [told.split(" ended")[0] for _, told in lines] == [
        "step 0",
        "step 1",
        "step 2",
        "succeeded at step 2",
    ]
    answer = taquba("runs", "show", filled, "good", "--json").json()
    ends = [*(step["ended_at"] for step in answer["steps"]), answer["run"]["ended_at"]]
    assert [at for at, _ in lines] == [f"{end[:19]}Z" for end in ends]
    assert "no such language \\x1b[31mred" in broken.out
    assert broken.out.replace("\n", "").isprintable()
    [line] = taquba("runs", "tail", filled, "fails", "--ndjson").lines()
    assert (line["state"], line["error"]) == ("failed", "gave up")


def test_a_line_bears_the_instant_of_the_change_and_not_of_the_look() -> None:
    run: dict[str, Any] = {
        "state": "pending",
        "submitted_at": "2026-01-01T00:00:00.100Z",
        "started_at": None,
        "ended_at": None,
        "run_at": None,
    }
    step = {"ended_at": "2026-01-01T00:00:05.100Z"}
    attempt = {"ended_at": "2026-01-01T00:00:07.100Z"}

    def told(attempts: list[Any], **changes: str) -> str:
        return changed_at({"run": run | changes, "steps": [step], "attempts": attempts})[14:19]

    assert told([]) == "00:05"
    assert told([attempt], state="scheduled", run_at="2026-01-01T01:00:00.000Z") == "00:07"
    assert told([attempt], run_at="2026-01-01T00:00:09.000Z") == "00:09"
    assert told([attempt], state="running", started_at="2026-01-01T00:00:10.000Z") == "00:10"
    assert told([attempt], state="failed", ended_at="2026-01-01T00:00:11.000Z") == "00:11"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["dead", "ls", "--cursor", "nonsense"], "invalid-cursor"),
        (["dead", "ls", "--cursor", "nothing/"], "invalid-cursor"),
        (["dead", "ls", "--cursor", "broken/nonsense"], "invalid-argument"),
        (["dead", "ls", "--queue", "nothing"], "queue-not-found"),
        (["jobs", "ls", "--queue", "nothing"], "queue-not-found"),
        (["jobs", "show", "nonsense"], "invalid-job-id"),
        (["jobs", "show", "00000000000000ff"], "job-not-found"),
        (["runs", "show", "nobody"], "run-not-found"),
        (["runs", "show", "no\x1bbody"], "invalid-run-id"),
        (["runs", "tail", "nobody"], "run-not-found"),
        (["memo", "ls", "nobody"], "run-not-found"),
    ],
)
def test_what_is_not_there_ends_with_two(
    taquba: Taquba, filled: Path, words: list[str], code: str
) -> None:
    ended = taquba(*at(filled, words))

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith(f"[{code}]\n")
    assert ended.err.startswith(f"taquba {words[0]} {words[1]}: ")
    assert ended.err.replace("\n", "").isprintable()


def test_a_store_that_is_not_there_ends_with_two(taquba: Taquba, tmp_path: Path) -> None:
    ended = taquba("queues", tmp_path / "nothing")

    assert (ended.code, ended.out) == (2, "")
    assert "[store-not-found]" in ended.err


def test_a_memo_of_a_run_is_written_as_it_is(taquba: Taquba, filled: Path) -> None:
    found = taquba("memo", "get", filled, "good", 0, "answer", "--json").json()

    assert found["value"]["text"] == "forty-two"
    assert taquba("memo", "get", filled, "good", 0, "other").code == 1


def test_a_memo_of_a_store_of_memos_is_written_as_it_is(taquba: Taquba, tmp_path: Path) -> None:
    async def put() -> None:
        async with MemoStore(tmp_path, "agents", fsync=False) as memos:
            await memos.new_memo("run-1", 3).put("answer", b"\xffforty-two")

    asyncio.run(put())
    get = ("memo", "get", tmp_path, "--path", "agents", "--memo-store", "run-1")

    found = taquba(*get, 3, "answer", "--json").json()
    other = taquba(*get, 3, "other")

    assert found["value"] == {
        "bytes": 10,
        "text": None,
        "base64": "/2ZvcnR5LXR3bw==",
        "is_cut": False,
    }
    assert found["key_sha256"] == hashlib.sha256(b"answer").hexdigest()
    assert taquba(*get, 3, "answer").code == 0
    assert (other.code, other.out) == (1, "")
    assert "taquba memo ls" in other.err
