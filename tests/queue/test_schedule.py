"""Jobs for later: never before their time, and not forgotten."""

from datetime import UTC, datetime, timedelta

import pytest

from taquba import EnqueueOptions, JobState, MockClock, NewJob, Queue, QueueConfig
from taquba.exceptions import (
    InvalidArgumentError,
    InvalidJobIdError,
    JobNotFoundError,
    WrongJobStateError,
)
from tests.conftest import OpenQueue
from tests.waiting import claim_one, drain


@pytest.mark.parametrize("delay", [3600, 3600.5, timedelta(hours=1)])
async def test_a_delayed_job_is_not_claimable_before_its_time(
    queue: Queue, delay: float | timedelta
) -> None:
    await queue.enqueue("emails", b"later", EnqueueOptions(delay=delay))

    assert await queue.claim_batch("emails", 1, lease=1.0) == []
    stats = (await queue.stats()).queues["emails"]
    assert (stats.pending_count, stats.scheduled_count) == (0, 1)


async def test_a_delayed_job_becomes_claimable_once_due(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"soon", EnqueueOptions(delay=0.05))

    assert (await claim_one(queue, "emails")).job_id == job_id


async def test_a_job_is_never_claimable_before_its_instant(queue: Queue) -> None:
    run_at = datetime.now(UTC) + timedelta(seconds=0.2)
    await queue.enqueue("emails", b"soon", EnqueueOptions(run_at=run_at))

    await claim_one(queue, "emails")

    # Stored instants have milliseconds, and a clock that never goes back may be ahead by one.
    assert datetime.now(UTC) >= run_at - timedelta(milliseconds=2)


async def test_a_due_job_wakes_a_waiting_claim_and_nobody_has_to_ask_again(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"soon", EnqueueOptions(delay=0.05))
    run_at = (await queue.get_job(job_id)).run_at

    claim = await queue.claim_with_wait("emails", timeout=20)

    [attempt] = await queue.attempt_history(job_id)
    assert claim is not None
    assert (claim.job_id, claim.attempts) == (job_id, 1)
    assert run_at is not None
    assert attempt.started_at is not None
    assert run_at <= attempt.started_at < run_at + timedelta(seconds=2)


async def test_an_instant_in_the_past_means_now(queue: Queue) -> None:
    run_at = datetime.now(UTC) - timedelta(days=1)

    job_id = await queue.enqueue("emails", b"overdue", EnqueueOptions(run_at=run_at))

    assert [claim.job_id for claim in await drain(queue, "emails")] == [job_id]


async def test_a_scheduled_job_survives_reopening(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    far = EnqueueOptions(delay=3600)
    near = EnqueueOptions(delay=0.05)
    _, near_id = await queue.enqueue_batch("emails", [NewJob(b"far", far), NewJob(b"near", near)])
    await queue.close()

    again = await open_queue()

    assert (await claim_one(again, "emails")).job_id == near_id
    assert await again.claim_batch("emails", 1, lease=1.0) == []
    assert (await again.stats()).queues["emails"].scheduled_count == 1


async def test_jobs_become_due_in_the_order_of_their_time(queue: Queue) -> None:
    for delay in (0.15, 0.05, 0.1):
        await queue.enqueue("emails", str(delay).encode(), EnqueueOptions(delay=delay))

    delivered = [(await claim_one(queue, "emails")).payload for _ in range(3)]

    assert delivered == [b"0.05", b"0.1", b"0.15"]


async def test_a_naive_datetime_is_refused(queue: Queue) -> None:
    with pytest.raises(InvalidArgumentError, match="run_at"):
        await queue.enqueue("emails", b"", EnqueueOptions(run_at=datetime(2030, 1, 1)))  # noqa: DTZ001


async def test_a_delay_and_an_instant_together_are_refused(queue: Queue) -> None:
    with pytest.raises(InvalidArgumentError):
        options = EnqueueOptions(delay=1, run_at=datetime.now(UTC))
        await queue.enqueue("emails", b"", options)


BAD_DELAYS = [-1, -0.001, float("nan"), float("inf"), timedelta.max, timedelta(seconds=-1)]


@pytest.mark.parametrize("delay", BAD_DELAYS)
async def test_a_delay_outside_its_bounds_is_refused_and_named(
    queue: Queue, delay: float | timedelta
) -> None:
    with pytest.raises(InvalidArgumentError, match="delay"):
        await queue.enqueue("emails", b"", EnqueueOptions(delay=delay))


async def test_a_job_woken_early_is_claimable_at_once_and_stays_so(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    options = EnqueueOptions(delay=3600)
    woken, _ = await queue.enqueue_batch("emails", [NewJob(b"x", options), NewJob(b"y", options)])

    await queue.wake_scheduled(woken)

    assert (await queue.get_job(woken)).state is JobState.PENDING
    await queue.close()
    again = await open_queue()
    assert [claim.job_id for claim in await drain(again, "emails")] == [woken]


async def test_a_job_that_waits_for_a_retry_can_be_woken(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=QueueConfig(retry_backoff_base=3600.0))
    job_id = await queue.enqueue("emails", b"x")
    await queue.nack(await claim_one(queue, "emails"), "later")

    await queue.wake_scheduled(job_id)

    claim = await claim_one(queue, "emails")
    assert (claim.job_id, claim.attempts) == (job_id, 2)


async def test_waking_a_job_that_is_claimable_changes_nothing(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x")

    await queue.wake_scheduled(job_id)

    assert [claim.job_id for claim in await drain(queue, "emails")] == [job_id]


async def test_a_job_that_does_not_wait_cannot_be_woken(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")

    with pytest.raises(WrongJobStateError, match="claimed"):
        await queue.wake_scheduled(job_id)
    await queue.dead_letter(claim, "no")
    with pytest.raises(WrongJobStateError, match="dead"):
        await queue.wake_scheduled(job_id)
    await queue.purge_dead("emails")
    with pytest.raises(JobNotFoundError, match=job_id):
        await queue.wake_scheduled(job_id)
    with pytest.raises(InvalidJobIdError):
        await queue.wake_scheduled("nonsense")


async def test_a_woken_job_keeps_its_place_in_the_queue(timed_queue: Queue) -> None:
    first = await timed_queue.enqueue("emails", b"x", EnqueueOptions(delay=3600))
    second = await timed_queue.enqueue("emails", b"y")

    await timed_queue.wake_scheduled(first)

    assert [claim.job_id for claim in await drain(timed_queue, "emails")] == [first, second]


async def test_a_job_is_due_to_the_millisecond(timed_queue: Queue, clock: MockClock) -> None:
    days, instant = timedelta(days=400), timedelta(milliseconds=1)
    options = EnqueueOptions(run_at=clock.now() + days)
    await timed_queue.enqueue("emails", b"x", options)
    clock.advance(days - instant)
    assert await timed_queue.claim("emails") is None

    clock.advance(instant)

    claim = await claim_one(timed_queue, "emails")
    assert claim.payload == b"x"
