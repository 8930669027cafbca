"""Dead letters: read in pages, revived, purged, and gone after their retention."""

import asyncio
from datetime import UTC, timedelta

import pytest

from taquba import EnqueueOptions, JobState, MockClock, Queue, QueueConfig
from taquba.exceptions import (
    InvalidArgumentError,
    InvalidJobIdError,
    JobNotFoundError,
    WrongJobStateError,
)
from tests.conftest import OpenQueue
from tests.waiting import claim_one, drain, eventually

UNKNOWN = "00000000deadbeef"


async def bury(queue: Queue, count: int, reason: str = "bad address") -> list[str]:
    """Makes dead letters."""
    ids = await queue.enqueue_batch("emails", [b"%d" % n for n in range(count)])
    claims = await queue.claim_batch("emails", count)
    await asyncio.gather(*(queue.dead_letter(claim, reason) for claim in claims))
    return ids


async def test_a_dead_letter_says_what_it_was_and_why_it_died(
    timed_queue: Queue, clock: MockClock
) -> None:
    options = EnqueueOptions(headers={"k": "v"}, priority=7, dedup_key="d", max_attempts=4)
    job_id = await timed_queue.enqueue("emails", b"payload", options)
    enqueued_at = clock.now()
    clock.advance(100)
    await timed_queue.dead_letter(await claim_one(timed_queue, "emails"), "bad address")

    [dead] = (await timed_queue.dead_jobs("emails")).jobs

    assert (dead.job_id, dead.queue, dead.state) == (job_id, "emails", JobState.DEAD)
    assert dead.last_error == "bad address"
    assert (dead.attempts, dead.max_attempts, dead.priority) == (1, 4, 7)
    assert (dead.headers, dead.dedup_key, dead.kind) == ({"k": "v"}, "d", "job")
    assert (dead.payload_bytes, dead.payload) == (7, None)
    assert dead.enqueued_at == enqueued_at
    assert dead.ended_at == enqueued_at + timedelta(seconds=100)
    assert dead.ended_at.tzinfo is UTC
    assert (await timed_queue.get_job(job_id)).payload == b"payload"


async def test_dead_letters_are_read_in_pages(queue: Queue) -> None:
    ids = await bury(queue, 25)
    await queue.enqueue_batch("emails", [b"alive"] * 5)

    pages = []
    cursor = None
    while True:
        page = await queue.dead_jobs("emails", cursor=cursor, limit=10)
        pages.append([job.job_id for job in page.jobs])
        cursor = page.cursor
        if cursor is None:
            break

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [job_id for page in pages for job_id in page] == ids


async def test_a_requeued_job_starts_over_under_its_own_id(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    options = EnqueueOptions(headers={"k": "v"}, max_attempts=2)
    job_id = await queue.enqueue("emails", b"x", options)
    await queue.dead_letter(await claim_one(queue, "emails"), "bad address")

    await queue.requeue_dead_job(job_id)

    assert not (await queue.dead_jobs("emails")).jobs
    await queue.close()
    again = await open_queue()
    claim = await claim_one(again, "emails")
    assert (claim.job_id, claim.payload, claim.headers) == (job_id, b"x", {"k": "v"})
    assert (claim.attempts, claim.max_attempts) == (1, 2)
    await again.ack(claim)
    stats = (await again.stats()).queues["emails"]
    assert (stats.dead_count, stats.pending_count, stats.acked_total) == (0, 0, 1)


async def test_a_requeued_job_takes_its_dedup_key_only_if_it_is_free(queue: Queue) -> None:
    keyed = EnqueueOptions(dedup_key="once")
    dead_id = await queue.enqueue("emails", b"first", keyed)
    await queue.dead_letter(await claim_one(queue, "emails"), "no")
    other_id = await queue.enqueue("emails", b"second", keyed)

    await queue.requeue_dead_job(dead_id)

    assert {claim.job_id for claim in await drain(queue, "emails")} == {dead_id, other_id}


async def test_only_a_dead_job_can_be_requeued(queue: Queue) -> None:
    pending = await queue.enqueue("emails", b"x", EnqueueOptions(priority=1))
    scheduled = await queue.enqueue("emails", b"x", EnqueueOptions(delay=3600))

    for job_id, state in ((pending, "pending"), (scheduled, "scheduled")):
        with pytest.raises(WrongJobStateError, match=job_id) as caught:
            await queue.requeue_dead_job(job_id)
        assert state in str(caught.value)
    claim = await claim_one(queue, "emails")
    with pytest.raises(WrongJobStateError, match="claimed"):
        await queue.requeue_dead_job(claim.job_id)
    await queue.ack(claim)
    with pytest.raises(JobNotFoundError, match=claim.job_id) as lost:
        await queue.requeue_dead_job(claim.job_id)
    assert isinstance(lost.value, LookupError)


async def test_a_job_that_never_was_cannot_be_requeued(queue: Queue) -> None:
    with pytest.raises(JobNotFoundError, match=UNKNOWN):
        await queue.requeue_dead_job(UNKNOWN)
    with pytest.raises(InvalidJobIdError, match="nonsense"):
        await queue.requeue_dead_job("nonsense")


async def test_purging_deletes_the_dead_and_nothing_else(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    ids = await bury(queue, 30)
    await queue.enqueue_batch("emails", [b"alive"] * 3)
    await queue.enqueue("other", b"x")
    await queue.dead_letter(await claim_one(queue, "other"), "no")

    purged_count = await queue.purge_dead("emails")

    assert purged_count == 30
    await queue.close()
    again = await open_queue()
    stats = (await again.stats()).queues
    assert (stats["emails"].dead_count, stats["emails"].pending_count) == (0, 3)
    assert stats["other"].dead_count == 1
    with pytest.raises(JobNotFoundError):
        await again.get_job(ids[0])
    assert await again.purge_dead("emails") == 0
    assert await again.purge_dead("unknown") == 0


async def test_purging_by_age_keeps_the_young(timed_queue: Queue, clock: MockClock) -> None:
    old = await bury(timed_queue, 3)
    clock.advance(3600)
    young = await bury(timed_queue, 2)

    purged_count = await timed_queue.purge_dead("emails", older_than=timedelta(minutes=30))

    assert purged_count == len(old)
    left = [job.job_id for job in (await timed_queue.dead_jobs("emails")).jobs]
    assert left == young


@pytest.mark.slow
async def test_more_dead_jobs_than_one_commit_takes_are_purged(queue: Queue) -> None:
    for count in (10_000, 5):
        await bury(queue, count)

    assert await queue.purge_dead("emails") == 10_005
    assert (await queue.stats()).queues["emails"].dead_count == 0


async def test_a_dead_job_is_gone_after_its_retention(
    open_queue: OpenQueue, clock: MockClock
) -> None:
    config = QueueConfig(dead_retention=timedelta(days=7))
    queue = await open_queue(clock=clock, default_queue_config=config)
    [job_id] = await bury(queue, 1)
    clock.advance(timedelta(days=6, hours=23).total_seconds())
    assert (await queue.get_job(job_id)).state is JobState.DEAD

    clock.advance(timedelta(hours=2).total_seconds())

    async def is_gone() -> bool:
        return (await queue.stats()).queues["emails"].dead_count == 0

    await eventually(is_gone, "the end of the retention")
    with pytest.raises(JobNotFoundError):
        await queue.get_job(job_id)
    assert (await queue.stats()).queues["emails"].dead_total == 1


async def test_a_retention_that_passed_while_closed_is_applied_after_opening(
    open_queue: OpenQueue, clock: MockClock
) -> None:
    queue = await open_queue(clock=clock)
    await bury(queue, 2)
    await queue.close()
    clock.advance(timedelta(days=8).total_seconds())

    again = await open_queue(clock=clock)

    async def are_gone() -> bool:
        return not (await again.dead_jobs("emails")).jobs

    await eventually(are_gone, "the dead jobs to be swept")


async def test_dead_jobs_without_retention_stay(open_queue: OpenQueue, clock: MockClock) -> None:
    queue = await open_queue(clock=clock, default_queue_config=QueueConfig(dead_retention=None))
    await bury(queue, 1)

    clock.advance(timedelta(days=3650).total_seconds())
    await queue.enqueue("other", b"")

    assert len((await queue.dead_jobs("emails")).jobs) == 1


@pytest.mark.parametrize("older_than", [-1, float("nan"), timedelta.max])
async def test_an_age_outside_its_bounds_is_refused_by_name(
    queue: Queue, older_than: float | timedelta
) -> None:
    with pytest.raises(InvalidArgumentError, match="older_than"):
        await queue.purge_dead("emails", older_than=older_than)
