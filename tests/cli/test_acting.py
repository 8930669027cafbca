"""Changes, which the owner makes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Taquba
from tests.cli.places import OwnerThread
from tests.cli.test_reading import READINGS, at

CHANGES: dict[str, list[str]] = {
    "jobs cancel": ["jobs", "cancel", "0000000000000001"],
    "jobs requeue": ["jobs", "requeue", "0000000000000001"],
    "jobs wake": ["jobs", "wake", "0000000000000001"],
    "jobs enqueue": ["jobs", "enqueue", "emails", "hello"],
    "runs cancel": ["runs", "cancel", "good"],
    "runs wake": ["runs", "wake", "good"],
    "runs retry": ["runs", "retry", "good"],
    "runs submit": ["runs", "submit", "hello"],
    "dead requeue": ["dead", "requeue", "broken", "--yes"],
    "dead purge": ["dead", "purge", "broken", "--yes"],
    "kv put": ["kv", "put", "a", "b"],
    "kv rm": ["kv", "rm", "a"],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_needs_the_address_of_the_owner(taquba: Taquba, name: str) -> None:
    ended = taquba(*CHANGES[name])

    assert (ended.code, ended.out) == (2, "")
    assert "give --admin URL, or set TAQUBA_ADMIN" in ended.err
    assert "taquba worker --admin" in ended.err


@pytest.mark.parametrize("name", [name for name in READINGS if name != "queues"])
def test_a_store_and_its_owner_answer_alike(
    taquba: Taquba, ask: Taquba, tmp_path: Path, name: str
) -> None:
    # What waits is worked on by this owner: only what is settled stays the same.
    if name in {"run that waits", "jobs of runs", "runs ls"}:
        ask("runs", "tail", "waiting", "--every", "0.01s")
    words = READINGS[name]

    asked, read = ask(*words, "--json"), taquba(*at(tmp_path / "store", words), "--json")

    assert asked.code == read.code == 0, asked.err + read.err
    shared = set(read.json())
    assert {key: value for key, value in asked.json().items() if key in shared} == read.json()


def test_the_owner_counts_its_queues_and_says_what_needs_attention(ask: Taquba) -> None:
    overview = ask("queues", "--json").json()

    assert overview["mode"] == "owner"
    assert {queue["name"] for queue in overview["queues"]} == {"books", "broken", "emails"}
    out = ask("queues").out
    assert "owner: process " in out
    assert "dead jobs" in out
    assert out.replace("\n", "").isprintable()


def test_a_job_is_enqueued_with_its_options(ask: Taquba) -> None:
    words = ["--priority", "5", "--delay", "1h", "--dedup-key", "k", "--max-attempts", "7"]

    enqueued = ask("jobs", "enqueue", "mail", "héllo", *words, "--header", "a=b=c")
    job_id = enqueued.out.strip()
    job = ask("jobs", "show", job_id, "--json").json()["job"]
    again = ask("jobs", "enqueue", "mail", "other", "--dedup-key", "k", "--json").json()

    assert enqueued.code == 0, enqueued.err
    assert (job["priority"], job["max_attempts"], job["state"]) == (5, 7, "scheduled")
    assert (job["headers"], job["dedup_key"]) == ({"a": "b=c"}, "k")
    assert ask("jobs", "show", job_id, "--raw").out == "héllo"
    assert again == {"job_id": job_id}


def test_content_comes_from_a_file_too(ask: Taquba, tmp_path: Path) -> None:
    file = tmp_path / "payload"
    file.write_bytes(bytes(range(256)))

    job_id = ask("jobs", "enqueue", "mail", "--file", file).out.strip()
    payload = ask("jobs", "show", job_id, "--payload", "--json").json()["payload"]

    assert payload["bytes"] == 256
    for words in ([], ["text", "--file", file], ["--file", tmp_path / "nothing"]):
        assert ask("jobs", "enqueue", "mail", *words).code == 2


def test_what_the_owner_shows_in_part_is_not_written_raw(ask: Taquba, tmp_path: Path) -> None:
    file = tmp_path / "payload"
    file.write_bytes(b"x" * 70_000)
    job_id = ask("jobs", "enqueue", "mail", "--file", file).out.strip()

    raw = ask("jobs", "show", job_id, "--raw")
    shown = ask("jobs", "show", job_id, "--payload")

    assert (raw.code, raw.out) == (2, "")
    assert "[content-cut]" in raw.err
    assert "the first 64.0 KiB" in shown.out


def test_jobs_are_cancelled_woken_and_requeued(ask: Taquba) -> None:
    waiting, scheduled = ask("jobs", "ls", "--queue", "emails", "--ndjson").lines()
    dead = ask("dead", "ls", "--queue", "broken", "--ndjson").lines()[0]

    assert ask("jobs", "wake", scheduled["job_id"]).out.endswith("  pending\n")
    assert ask("jobs", "requeue", dead["job_id"]).out.endswith("  requeued\n")
    ids = [waiting["job_id"], "nonsense", scheduled["job_id"]]
    cancelled = ask("jobs", "cancel", *ids, "--json")

    assert cancelled.code == 2
    answer = cancelled.json()
    assert [done["became"] for done in answer["done"]] == ["removed", "removed"]
    assert [error["code"] for error in answer["errors"]] == ["invalid-job-id"]
    assert ask("jobs", "ls", "--queue", "emails", "--ndjson").out == ""
    [pending] = ask("jobs", "ls", "--queue", "broken", "--state", "pending", "--ndjson").lines()
    assert pending["job_id"] == dead["job_id"]


def test_a_run_is_submitted_and_followed_to_its_end(ask: Taquba) -> None:
    good = ask("runs", "submit", "good", "--run-id", "new", "--wait", "--every", "0.01s")
    again = ask("runs", "submit", "good", "--run-id", "new")
    bad = ask("runs", "submit", "fails", "--wait", "--every", "0.01s", "--json")

    assert (good.code, good.out.splitlines()[0]) == (0, "new")
    assert good.out.endswith("succeeded at step 2\n")
    assert again.out == "new  was there\n"
    assert bad.code == 1
    assert bad.lines()[0]["newly_submitted"] is True
    assert bad.lines()[-1]["state"] == "failed"
    assert ask("runs", "show", "new", "--raw").out == "the result\n"


def test_runs_are_cancelled_woken_and_retried(ask: Taquba) -> None:
    ask("runs", "submit", "good", "--run-id", "later", "--delay", "1h")
    ask("runs", "submit", "good", "--run-id", "never", "--delay", "1h")

    assert ask("runs", "wake", "later").code == 0
    assert ask("runs", "tail", "later", "--every", "0.01s").code == 0
    assert ask("runs", "cancel", "never").out == "never  cancelled\n"
    late = ask("runs", "cancel", "never", "--json")
    assert (late.code, late.json()["done"][0]["is_cancelled"]) == (1, False)
    assert ask("runs", "cancel", "good").out == "good  had ended before: succeeded\n"
    nobody = ask("runs", "cancel", "nobody")
    assert (nobody.code, nobody.out) == (2, "")
    assert "[run-not-found]" in nobody.err
    retried = ask("runs", "retry", "broken", "--json").json()["done"]
    assert retried == [{"run_id": "broken", "retried_as": "broken-retry-1"}]
    refused = ask("runs", "retry", "good")
    assert (refused.code, refused.out) == (2, "")


def test_a_batch_is_taken_from_a_file(ask: Taquba, tmp_path: Path) -> None:
    file = tmp_path / "batch"
    file.write_text("".join(json.dumps({"payload": f"{n}"}) + "\n" for n in range(12_000)))

    jobs = ask("jobs", "enqueue", "mail", "--batch", file)
    runs = tmp_path / "runs"
    runs.write_text('{"payload": "good", "run_id": "batch-1"}\n\n{"payload": "fails"}\n')
    submitted = ask("runs", "submit", "--batch", runs, "--json").json()["runs"]

    assert jobs.code == 0, jobs.err
    assert len(set(jobs.out.splitlines())) == 12_000
    [last] = ask("jobs", "show", jobs.out.splitlines()[-1], "--raw").out.splitlines()
    assert last == "11999"
    assert [run["newly_submitted"] for run in submitted] == [True, True]
    assert submitted[0]["run_id"] == "batch-1"


def test_a_batch_says_how_far_it_came(ask: Taquba, tmp_path: Path) -> None:
    file = tmp_path / "batch"
    file.write_text('{"payload": "1"}\n' * 10_001 + '{"nonsense": 1}\n')

    ended = ask("jobs", "enqueue", "mail", "--batch", file)

    assert ended.code == 2
    assert len(ended.out.splitlines()) == 10_000
    assert "lines 10,001 to 10,002, none of which is in" in ended.err
    assert "10,000 of 10,002 are in" in ended.err


def test_dead_jobs_are_requeued_by_their_error(ask: Taquba) -> None:
    dry = ask("dead", "requeue", "broken", "--error", "line 1", "--dry-run", "--json").json()
    one = ask("dead", "requeue", "broken", "--error", "line 1", "--yes", "--json").json()
    rest = ask("dead", "requeue", "broken", "--yes")

    assert (dry["matched"], dry["requeued"]) == (1, 0)
    assert (one["matched"], one["requeued"]) == (1, 1)
    assert rest.out == "2 of 2 requeued\n"
    assert ask("dead", "ls", "--queue", "broken", "--ndjson").out == ""


def test_dead_jobs_are_purged_by_their_age(ask: Taquba) -> None:
    old = ask("dead", "purge", "broken", "--older-than", "1d", "--yes", "--json").json()
    all_of_them = ask("dead", "purge", "broken", "--yes")

    assert old == {"purged": 0}
    assert all_of_them.out == "3 deleted\n"


def test_dead_steps_are_counted_and_left(ask: Taquba) -> None:
    dry = ask("dead", "requeue", "books", "--dry-run")
    left = ask("dead", "requeue", "books")
    elsewhere = ask("dead", "requeue", "books", "--error", "no such error", "--yes", "--json")

    told = "1 is the step of a run that has failed: `taquba runs retry`\n"
    assert (dry.code, dry.out) == (0, f"0 match\n{told}")
    assert (left.code, left.out) == (1, f"0 of 0 requeued\n{told}")
    assert elsewhere.code == 0
    assert elsewhere.json() == {"matched": 0, "requeued": 0, "cursor": None, "steps": 0}
    assert len(ask("dead", "ls", "--queue", "books", "--ndjson").lines()) == 1


def test_a_question_says_which_dead_jobs_it_is_about(ask: Taquba) -> None:
    requeue = ask("dead", "requeue", "broken", "--error", "line 1")
    purge = ask("dead", "purge", "broken", "--older-than", "7d")

    assert "Requeue 1 dead jobs of `broken` whose error has `line 1` in it?" in requeue.err
    assert "Delete at most 3 dead jobs of `broken` that died 7d00h ago or before" in purge.err
    assert "the input that `taquba runs retry` needs" in purge.err


@pytest.mark.parametrize(
    "words",
    [
        ["dead", "requeue", "nothing", "--yes"],
        ["dead", "purge", "nothing", "--yes"],
        ["dead", "ls", "--queue", "nothing"],
        ["jobs", "ls", "--queue", "nothing"],
    ],
    ids=" ".join,
)
def test_a_queue_that_nobody_has_ends_with_two(ask: Taquba, words: list[str]) -> None:
    ended = ask(*words)

    assert (ended.code, ended.out) == (2, "")
    assert "there is no queue `nothing`" in ended.err
    assert "[queue-not-found]" in ended.err


@pytest.mark.parametrize("words", [["requeue"], ["purge"]])
def test_nobody_deletes_or_requeues_many_by_accident(ask: Taquba, words: list[str]) -> None:
    ended = ask("dead", *words, "broken")

    assert (ended.code, ended.out) == (2, "")
    assert "add --yes" in ended.err
    assert len(ask("dead", "ls", "--queue", "broken", "--ndjson").lines()) == 3


def test_keys_are_set_read_and_removed(ask: Taquba) -> None:
    assert ask("kv", "put", "new", "value").out == "new  set\n"
    assert ask("kv", "get", "new").out == "value"
    assert ask("kv", "get", "ne").code == 1
    assert ask("kv", "put", "new", "--file", __file__, "--json").json() == {}
    assert ask("kv", "get", "new").out == Path(__file__).read_text()
    removed = ask("kv", "rm", "new", "a/1", "a")
    assert (removed.code, removed.out) == (0, "new  removed\na/1  removed\na  was not there\n")
    [again] = ask("kv", "rm", "new", "--json").json()["done"]
    assert again == {"key": "new", "existed": False}
    assert [row["key"] for row in ask("kv", "ls", "--ndjson").lines()] == ["a/2", "b/1"]


def test_a_token_is_taken_from_the_environment(
    taquba: Taquba, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a-token-of-32-characters-or-more"  # noqa: S105 - opens nothing
    answers: list[Any] = []
    with OwnerThread(_empty(tmp_path), token, works=False) as owner:
        for given in (None, "another-token-of-32-characters-", token):
            if given is not None:
                monkeypatch.setenv("TAQUBA_ADMIN_TOKEN", given)
            answers.append(taquba("kv", "put", "a", "b", "--admin", owner.address))

    assert [ended.code for ended in answers] == [2, 2, 0]
    assert "set TAQUBA_ADMIN_TOKEN" in answers[0].err
    assert all(word not in ended.err for ended in answers for word in (token, "another-token"))


def _empty(tmp_path: Path) -> Path:
    return tmp_path / "empty"
