"""Dead letters over HTTP: finding them by their error, requeueing and purging many."""

import pytest

from taquba import (
    JobState,
    MockClock,
    Queue,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    WorkflowRuntime,
)
from taquba.admin import create_app
from tests.admin.asking import Asker, asking

ERRORS = ["mailbox 17 is full", "mailbox 4 is full", "no route to 10.0.0.8", ""]


@pytest.fixture
async def dead(owned: Queue, clock: MockClock) -> list[str]:
    """Four dead jobs behind two that wait; they died a second apart."""
    ids = await owned.enqueue_batch("emails", [b"x"] * 4)
    for claim, error in zip(await owned.claim_batch("emails", 4), ERRORS, strict=True):
        clock.advance(1)
        await owned.dead_letter(claim, error)
    await owned.enqueue_batch("emails", [b"x"] * 2)
    return ids


async def test_dead_jobs_are_found_by_their_error(dead: list[str], asker: Asker) -> None:
    everything = await asker.get("/api/dead", queue="emails")
    full = await asker.get("/api/dead", queue="emails", error="is full")
    blanked = await asker.get("/api/dead", queue="emails", error="mailbox # is")
    untold = await asker.get("/api/dead", queue="emails", error="no error text")

    assert [job["job_id"] for job in everything["jobs"]] == dead
    assert [job["job_id"] for job in full["jobs"]] == dead[:2]
    assert [job["job_id"] for job in blanked["jobs"]] == dead[:2]
    assert [job["job_id"] for job in untold["jobs"]] == dead[3:]
    assert full["examined"] == 4


async def test_dead_jobs_are_grouped_without_numbers(dead: list[str], asker: Asker) -> None:
    answer = await asker.get("/api/dead/groups", queue="emails")

    assert (answer["examined"], answer["is_complete"]) == (4, True)
    assert answer["groups"][0] == {
        "error": "mailbox # is full",
        "count": 2,
        "queue": "emails",
        "first_at": "2030-01-01T00:00:01.000Z",
        "last_at": "2030-01-01T00:00:02.000Z",
        "job_id": dead[0],
    }
    assert {group["error"] for group in answer["groups"][1:]} == {"no route to #", "no error text"}


async def test_groups_are_of_all_queues_if_none_is_named(
    owned: Queue, dead: list[str], asker: Asker, reading: Asker
) -> None:
    await owned.enqueue("strict", b"x")
    [claim] = await owned.claim_batch("strict", 1)
    await owned.nack(claim, "mailbox 9 is full")

    for who in (asker, reading):
        groups = (await who.get("/api/dead/groups"))["groups"]
        assert sum(group["count"] for group in groups) == len(dead) + 1
        assert {group["queue"] for group in groups} == {"emails", "strict"}


async def test_a_group_is_requeued_and_the_rest_is_not(
    owned: Queue, dead: list[str], asker: Asker
) -> None:
    body = {"queue": "emails", "error": "mailbox # is full"}

    counted = await asker.post("/api/dead/requeue", **body, dry_run=True)
    done = await asker.post("/api/dead/requeue", **body)

    assert counted == {"matched": 2, "requeued": 0, "cursor": None}
    assert done == {"matched": 2, "requeued": 2, "cursor": None}
    states = [(await owned.get_job(job_id)).state for job_id in dead]
    assert states == [JobState.PENDING, JobState.PENDING, JobState.DEAD, JobState.DEAD]


async def test_many_are_requeued_page_by_page(owned: Queue, dead: list[str], asker: Asker) -> None:
    requeued, cursor = 0, None
    while True:
        answer = await asker.post("/api/dead/requeue", queue="emails", limit=1, cursor=cursor)
        requeued, cursor = requeued + answer["requeued"], answer["cursor"]
        if cursor is None:
            break

    assert requeued == len(dead)
    assert (await owned.stats()).queues["emails"].dead_count == 0


async def test_named_jobs_are_requeued_if_they_are_dead_and_in_that_queue(
    owned: Queue, dead: list[str], asker: Asker
) -> None:
    waiting = await owned.enqueue("emails", b"x")
    ids = [dead[0], dead[0], waiting, "00000000000000ff"]

    done = await asker.post("/api/dead/requeue", queue="emails", job_ids=ids)
    elsewhere = await asker.post("/api/dead/requeue", queue="other", job_ids=dead)
    both = await asker.post("/api/dead/requeue", 400, queue="emails", job_ids=ids, error="x")

    assert done == {"matched": 1, "requeued": 1, "cursor": None}
    assert elsewhere == {"matched": 0, "requeued": 0, "cursor": None}
    assert both["error"]["field"] == "job_ids"


async def test_dead_steps_are_not_requeued_since_their_runs_have_ended(owned: Queue) -> None:
    async def fail(_step: Step) -> StepOutcome:
        raise StepError.permanent("no")

    async with WorkflowRuntime(owned, fail) as runtime, asking(create_app(owned)) as asker:
        await (await runtime.submit(RunSpec(b"x"))).outcome(timeout=20)
        answer = await asker.post("/api/dead/requeue", queue="workflow")

    assert answer == {"matched": 0, "requeued": 0, "cursor": None}


async def test_the_old_ones_are_purged(owned: Queue, dead: list[str], asker: Asker) -> None:
    old = await asker.post("/api/dead/purge", queue="emails", older_than_seconds=1.5)
    rest = await asker.post("/api/dead/purge", queue="emails")

    assert (old, rest) == ({"purged": 2}, {"purged": len(dead) - 2})
