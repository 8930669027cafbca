"""Cancelling a job: one that waits is removed, the holder of a claimed one is asked to stop."""

import asyncio

import pytest

from taquba import (
    EnqueueOptions,
    JobCancelled,
    MockClock,
    Queue,
    QueueConfig,
    RetryJitter,
)
from taquba.exceptions import (
    ClaimLostError,
    InvalidJobIdError,
    JobNotFoundError,
    WrongJobStateError,
)
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.conftest import OpenQueue
from tests.waiting import WAIT_SECONDS_MAX, claim_one, drain, eventually

NO_BACKOFF = QueueConfig(retry_backoff_base=0, retry_jitter=RetryJitter.NONE)


@pytest.mark.parametrize("options", [EnqueueOptions(), EnqueueOptions(delay=3600)])
async def test_a_waiting_job_is_removed(open_queue: OpenQueue, options: EnqueueOptions) -> None:
    queue = await open_queue()
    job_id = await queue.enqueue("emails", b"x", options)

    assert await queue.cancel(job_id) is JobCancelled.REMOVED

    await queue.close()
    again = await open_queue()
    stats = (await again.stats()).queues["emails"]
    assert (stats.pending_count, stats.scheduled_count, stats.cancelled_total) == (0, 0, 1)
    with pytest.raises(JobNotFoundError):
        await again.get_job(job_id)


async def test_a_job_that_waits_for_a_retry_is_removed(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=QueueConfig(retry_backoff_base=3600.0))
    job_id = await queue.enqueue("emails", b"x")
    await queue.nack(await claim_one(queue, "emails"), "later")

    assert await queue.cancel(job_id) is JobCancelled.REMOVED

    assert await drain(queue, "emails") == []


async def test_removing_a_job_frees_its_dedup_key(queue: Queue) -> None:
    keyed = EnqueueOptions(dedup_key="once", dedup_scope="settled")
    first = await queue.enqueue("emails", b"", keyed)
    await queue.cancel(first)

    second = await queue.enqueue("emails", b"", keyed)

    assert second != first
    assert [claim.job_id for claim in await drain(queue, "emails")] == [second]


async def test_the_token_of_a_claimed_job_fires(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")
    waiting = asyncio.create_task(claim.cancel_token.wait())
    await asyncio.sleep(0)
    assert (claim.cancel_token.is_cancelled, waiting.done()) == (False, False)

    assert await queue.cancel(job_id) is JobCancelled.REQUESTED

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await waiting
        await claim.cancel_token.wait()
    assert claim.cancel_token.is_cancelled
    assert (await queue.get_job(job_id)).is_cancel_requested


async def test_only_the_token_of_the_cancelled_job_fires(queue: Queue) -> None:
    await queue.enqueue_batch("emails", [b"0", b"1"])
    first, second = await queue.claim_batch("emails", 2)

    await queue.cancel(first.job_id)

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await first.cancel_token.wait()
    assert not second.cancel_token.is_cancelled


async def test_a_cancelled_job_may_still_be_acked(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")
    await queue.cancel(job_id)

    await queue.ack(claim)

    stats = (await queue.stats()).queues["emails"]
    assert (stats.claimed_count, stats.pending_count) == (0, 0)
    with pytest.raises(JobNotFoundError):
        await queue.cancel(job_id)


async def test_a_cancelled_job_that_is_nacked_is_not_delivered_again(
    open_queue: OpenQueue,
) -> None:
    queue = await open_queue(default_queue_config=NO_BACKOFF)
    job_id = await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")
    await queue.cancel(job_id)

    await queue.nack(claim, "stopped")

    assert await drain(queue, "emails") == []
    stats = (await queue.stats()).queues["emails"]
    assert (stats.pending_count, stats.scheduled_count, stats.claimed_count) == (0, 0, 0)
    assert stats.cancelled_total == 1


async def test_a_cancelled_job_whose_lease_expires_is_not_delivered_again(
    timed_queue: Queue, clock: MockClock
) -> None:
    job_id = await timed_queue.enqueue("emails", b"x")
    claim = await claim_one(timed_queue, "emails", lease=60.0)
    await timed_queue.cancel(job_id)

    clock.advance(61)

    async def is_over() -> bool:
        return (await timed_queue.stats()).queues["emails"].claimed_count == 0

    await eventually(is_over, "the lease to expire")
    assert await drain(timed_queue, "emails") == []
    with pytest.raises(ClaimLostError):
        await timed_queue.ack(claim)
    assert (await timed_queue.stats()).queues["emails"].cancelled_total == 1


@pytest.mark.parametrize("end", ["close", "crash"])
async def test_the_request_survives_a_restart(open_queue: OpenQueue, end: str) -> None:
    queue = await open_queue()
    job_id = await queue.enqueue("emails", b"x")
    await claim_one(queue, "emails", lease=3600.0)
    assert await queue.cancel(job_id) is JobCancelled.REQUESTED
    if end == "close":
        await queue.close()

    # Without a close, this is what a process finds that follows one that was killed.
    again = await open_queue()

    assert await drain(again, "emails") == []
    stats = (await again.stats()).queues["emails"]
    assert (stats.pending_count, stats.scheduled_count, stats.claimed_count) == (0, 0, 0)
    assert stats.dead_count == 0
    with pytest.raises(JobNotFoundError):
        await again.cancel(job_id)


async def test_asking_twice_is_asking_once(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")

    assert await queue.cancel(job_id) is JobCancelled.REQUESTED
    assert await queue.cancel(job_id) is JobCancelled.REQUESTED

    await queue.dead_letter(claim, "stopped")
    assert (await queue.stats()).queues["emails"].cancelled_total <= 1


async def test_a_job_that_is_not_there_is_not_found(queue: Queue) -> None:
    settled = await queue.enqueue("emails", b"x")
    await drain(queue, "emails")

    for job_id in (settled, "00000000deadbeef"):
        with pytest.raises(JobNotFoundError, match=job_id):
            await queue.cancel(job_id)
    with pytest.raises(InvalidJobIdError, match="nonsense"):
        await queue.cancel("nonsense")


async def test_a_dead_job_cannot_be_cancelled(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x")
    await queue.dead_letter(await claim_one(queue, "emails"), "no")

    with pytest.raises(JobNotFoundError, match=job_id):
        await queue.cancel(job_id)

    assert len((await queue.dead_jobs("emails")).jobs) == 1


async def test_a_step_is_cancelled_with_its_run_and_not_as_a_job(queue: Queue) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"done")

    runtime = WorkflowRuntime(queue, runner, queue_name="runs")
    await runtime.submit(RunSpec(b"", run_id="run"))
    [step] = (await queue.list_jobs("runs")).jobs

    with pytest.raises(WrongJobStateError, match="run"):
        await queue.cancel(step.job_id)

    async with runtime:
        assert (await runtime.handle("run").outcome(timeout=20)).result == b"done"
