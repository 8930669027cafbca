"""Tables of notebooks: what they show, and what they never do."""

from datetime import UTC, datetime

import pytest

from taquba import (
    EnqueueOptions,
    JobInfo,
    JobPage,
    JobState,
    Queue,
    RunHandle,
    RunPage,
    RunState,
    RunStatus,
)
from taquba.queue._html import fields, table

HOSTILE = "<script>alert('x')</script>"
SECRET = "Bearer abcdefghijklmnopqrstuvwxyz0123456789"  # noqa: S105 - nobody's
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def job(**given: object) -> JobInfo:
    known: dict[str, object] = {
        "job_id": "job-1",
        "queue": "emails",
        "state": JobState.PENDING,
        "kind": "job",
        "run_id": None,
        "priority": 1,
        "attempts": 2,
        "max_attempts": 5,
        "enqueued_at": NOW,
        "run_at": None,
        "ended_at": None,
        "dedup_key": None,
        "headers": {},
        "payload_bytes": 6,
        "payload": b"secret",
        "last_error": None,
        "is_cancel_requested": False,
    }
    return JobInfo(**{**known, **given})  # type: ignore[arg-type]


def run(**given: object) -> RunStatus:
    known: dict[str, object] = {
        "run_id": "run-1",
        "queue": "pages",
        "state": RunState.FAILED,
        "step_number": 3,
        "attempts": 1,
        "max_attempts": None,
        "priority": None,
        "headers": {},
        "submitted_at": NOW,
        "run_at": None,
        "started_at": None,
        "ended_at": NOW,
        "last_error": None,
        "error": "no such page",
        "job_id": None,
    }
    return RunStatus(**{**known, **given})  # type: ignore[arg-type]


HOSTILE_THINGS = [
    job(headers={HOSTILE: HOSTILE}, last_error=HOSTILE, dedup_key=HOSTILE),
    JobPage([job(last_error=HOSTILE)], None),
    run(headers={HOSTILE: HOSTILE}, error=HOSTILE),
    RunPage([run(error=HOSTILE)], "more"),
]


@pytest.mark.parametrize("shown", HOSTILE_THINGS, ids=lambda each: type(each).__name__)
def test_what_users_wrote_is_text(shown: JobInfo | JobPage | RunStatus | RunPage) -> None:
    page = shown._repr_html_()

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.startswith("<table>")


def test_no_payload_and_no_secret_is_shown() -> None:
    headers = {"Authorization": SECRET, "tenant": "7"}
    shown = [
        job(headers=headers, last_error=SECRET)._repr_html_(),
        JobPage([job(headers=headers, last_error=SECRET)], None)._repr_html_(),
        run(headers=headers, error=SECRET)._repr_html_(),
        RunPage([run(headers=headers, error=SECRET)], None)._repr_html_(),
    ]

    assert "tenant: 7" in shown[0]
    assert [page for page in shown if "secret" in page] == []
    assert [page for page in shown if "abcdefghij" in page] == []


def test_a_job_is_a_table_of_its_fields() -> None:
    page = job(is_cancel_requested=True)._repr_html_()

    assert "<caption>job job-1</caption>" in page
    assert "<th>enqueued</th><td>2030-01-02 03:04:05 UTC</td>" in page
    assert "<th>asked to stop</th><td>yes</td>" in page
    assert "dedup key" not in page


def test_a_page_says_whether_there_are_more() -> None:
    assert "1 runs, and there are more" in RunPage([run()], "x")._repr_html_()
    assert "<caption>1 jobs</caption>" in JobPage([job()], None)._repr_html_()


def test_a_long_table_is_cut_and_says_so() -> None:
    page = table("jobs", ("job",), [(f"job-{number}",) for number in range(150)])

    assert page.count("<tr>") == 102
    assert "and 50 more" in page


def test_a_long_text_is_cut_and_what_cannot_be_seen_is_spelled_out() -> None:
    page = fields("job", {"error": "\u202e\x1b[2J\ud800" + "x" * 10_000})

    assert "\\u202e\\x1b[2J\\ud800xxx" in page
    assert len(page) < 400
    page.encode()


def test_many_headers_are_cut() -> None:
    page = job(headers={f"h{number}": "v" for number in range(64)})._repr_html_()

    assert "and 44 more" in page


async def test_stats_and_handles_are_tables(queue: Queue) -> None:
    await queue.enqueue_batch("emails", [b"x"] * 3)
    await queue.enqueue("letters", b"x", EnqueueOptions(delay=3600))

    page = (await queue.stats())._repr_html_()
    handle = RunHandle(queue, "run-1", newly_submitted=True, cancel=unused)

    assert "<caption>2 queues</caption>" in page
    assert "<tr><td>emails</td><td>3</td><td>0</td>" in page
    assert "<tr><td>letters</td><td>0</td><td>1</td>" in page
    assert "run run-1" in handle._repr_html_()


async def unused(_: str) -> bool:
    raise AssertionError
