"""Claims that wait for a job: woken as soon as there is one, and losing none when given up."""

import asyncio
from datetime import timedelta

import pytest

from taquba import Claim, EnqueueOptions, MockClock, Queue, QueueConfig, RetryJitter
from taquba.exceptions import ClosedError, InvalidArgumentError, InvalidQueueNameError
from tests.conftest import OpenQueue
from tests.waiting import WAIT_SECONDS_MAX, claim_one, drain

# Far beyond what a test may take: whoever waits for these leases has lost a job.
FOREVER = 3600.0
TICKS = [0, 1, 2, 3, 4, 5, 6, 8, 12, 20, 40]


async def waiting_claim(queue: Queue, **options: float) -> "asyncio.Task[Claim | None]":
    """A claim that the engine knows to be waiting."""
    task = asyncio.create_task(queue.claim_with_wait("emails", lease=FOREVER, **options))
    await asyncio.sleep(0)
    # Calls are carried out in order: when this one is answered, the claim waits.
    await queue.stats()
    return task


async def claimed(task: "asyncio.Task[Claim | None]") -> Claim:
    """What the waiting claim brought."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        claim = await task
    assert claim is not None
    return claim


async def test_a_claim_takes_one_job_or_says_that_there_is_none(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x")

    claim = await queue.claim("emails", lease=12.5)
    nothing = await queue.claim("emails")

    assert claim is not None
    assert (claim.job_id, claim.lease) == (job_id, timedelta(seconds=12.5))
    assert nothing is None


async def test_a_waiting_claim_takes_what_is_there_at_once(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x")

    claim = await queue.claim_with_wait("emails", timeout=0)

    assert claim is not None
    assert claim.job_id == job_id


async def test_a_waiting_claim_is_woken_by_an_enqueue(queue: Queue) -> None:
    task = await waiting_claim(queue)
    assert not task.done()

    job_id = await queue.enqueue("emails", b"x")

    claim = await claimed(task)
    assert (claim.job_id, claim.attempts) == (job_id, 1)
    await queue.ack(claim)


async def test_a_waiting_claim_is_not_woken_by_another_queue(queue: Queue) -> None:
    task = await waiting_claim(queue)

    await queue.enqueue("other", b"x")
    await queue.stats()

    assert not task.done()
    await queue.enqueue("emails", b"x")
    assert (await claimed(task)).queue == "emails"


async def test_a_waiting_claim_is_woken_by_a_job_that_becomes_due(
    timed_queue: Queue, clock: MockClock
) -> None:
    await timed_queue.enqueue("emails", b"x", EnqueueOptions(delay=3600))
    task = await waiting_claim(timed_queue)

    clock.advance(3600)

    assert (await claimed(task)).attempts == 1


async def test_a_waiting_claim_is_woken_by_an_expired_lease(
    timed_queue: Queue, clock: MockClock
) -> None:
    await timed_queue.enqueue("emails", b"x")
    await claim_one(timed_queue, "emails", lease=60.0)
    task = await waiting_claim(timed_queue)

    clock.advance(61)

    assert (await claimed(task)).attempts == 2


async def test_a_waiting_claim_is_woken_by_a_retry(open_queue: OpenQueue) -> None:
    config = QueueConfig(retry_backoff_base=0, retry_jitter=RetryJitter.NONE)
    queue = await open_queue(default_queue_config=config)
    await queue.enqueue("emails", b"x")
    first = await claim_one(queue, "emails")
    task = await waiting_claim(queue)

    await queue.nack(first, "again")

    assert (await claimed(task)).attempts == 2


async def test_waiting_claims_share_a_batch_one_job_each(queue: Queue) -> None:
    tasks = [await waiting_claim(queue) for _ in range(20)]

    ids = await queue.enqueue_batch("emails", [b"x"] * 20)

    assert {(await claimed(task)).job_id for task in tasks} == set(ids)


async def test_one_job_wakes_one_of_many_waiting_claims(queue: Queue) -> None:
    tasks = [await waiting_claim(queue) for _ in range(5)]
    await queue.enqueue("emails", b"x")

    done, pending = await asyncio.wait(
        tasks, timeout=WAIT_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED
    )
    await queue.stats()

    assert (len(done), len(pending)) == (1, 4)
    await queue.enqueue_batch("emails", [b"x"] * 4)
    for task in pending:
        await claimed(task)


async def test_a_waiting_claim_gives_up_after_its_timeout(
    timed_queue: Queue, clock: MockClock
) -> None:
    task = await waiting_claim(timed_queue, timeout=3600.0)
    clock.advance(3599)
    await timed_queue.stats()
    assert not task.done()

    clock.advance(2)

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        assert await task is None


async def test_a_timeout_of_the_real_clock_ends_the_wait(queue: Queue) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        assert await queue.claim_with_wait("emails", timeout=0.02) is None
        assert await queue.claim_with_wait("emails", timeout=timedelta(milliseconds=20)) is None


async def test_a_wait_that_was_given_up_takes_no_job_afterwards(queue: Queue) -> None:
    task = await waiting_claim(queue)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await queue.enqueue("emails", b"x")

    assert [claim.attempts for claim in await drain(queue, "emails")] == [1]


@pytest.mark.parametrize("ticks", TICKS)
async def test_a_wait_given_up_while_it_is_granted_hands_its_job_back_at_once(
    queue: Queue, ticks: int
) -> None:
    task = await waiting_claim(queue)
    enqueuing = asyncio.create_task(queue.enqueue("emails", b"x"))
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    got = await asyncio.gather(task, return_exceptions=True)
    await enqueuing

    if isinstance(got[0], BaseException):
        # Not left to the lease, which would take an hour.
        claim = await queue.claim_with_wait("emails", timeout=WAIT_SECONDS_MAX)
    else:
        claim = got[0]

    assert claim is not None
    assert claim.payload == b"x"
    await queue.ack(claim)


async def test_a_timeout_around_a_wait_loses_no_job(queue: Queue) -> None:
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002):
                await queue.claim_with_wait("emails", lease=FOREVER)

    await queue.enqueue("emails", b"x")

    assert (await claim_one(queue, "emails")).attempts == 1


async def test_closing_ends_a_wait_with_an_error(queue: Queue) -> None:
    task = await waiting_claim(queue)

    await queue.close()

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        with pytest.raises(ClosedError):
            await task


@pytest.mark.parametrize("name", ["timeout", "lease"])
@pytest.mark.parametrize("value", [-1, float("nan"), timedelta.max])
async def test_a_wait_outside_its_bounds_is_refused_by_name(
    queue: Queue, name: str, value: float | timedelta
) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        await queue.claim_with_wait("emails", **{name: value})


async def test_a_wait_for_a_name_that_cannot_be_is_refused(queue: Queue) -> None:
    with pytest.raises(InvalidQueueNameError):
        await queue.claim_with_wait("a b")
