"""Jobs that are tried again when their holder says, and not with backoff."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from taquba import (
    Claim,
    Effects,
    JobState,
    MockClock,
    Postponed,
    Queue,
    QueueConfig,
    RetryJitter,
    TransientFailure,
    run_worker,
)
from taquba.exceptions import InvalidArgumentError
from tests.conftest import OpenQueue
from tests.waiting import claim_one, eventually

BACKOFF = QueueConfig(
    max_attempts=3, retry_backoff_base=1000, retry_backoff_max=1000, retry_jitter=RetryJitter.NONE
)


@pytest.fixture
async def queue(open_queue: OpenQueue, clock: MockClock) -> Queue:
    """An open queue whose backoff is long, and whose time is `clock`."""
    return await open_queue(clock=clock, default_queue_config=BACKOFF)


async def nack(queue: Queue, claim: Claim, retry_after: Any) -> None:
    await queue.nack(claim, "busy", retry_after=retry_after)


async def nack_with(queue: Queue, claim: Claim, retry_after: Any) -> None:
    await queue.nack_with(claim, "busy", Effects().kv_put("k", b"v"), retry_after=retry_after)


async def raise_in_a_worker(queue: Queue, claim: Claim, retry_after: Any) -> None:
    await queue.nack(claim, "handed to the worker", retry_after=0)
    shutdown = asyncio.Event()

    async def worker(job: Claim) -> None:
        shutdown.set()
        raise TransientFailure("busy", retry_after=retry_after)

    await run_worker(queue, claim.queue, worker, shutdown=shutdown)


@pytest.mark.parametrize("fail", [nack, nack_with, raise_in_a_worker])
@pytest.mark.parametrize(
    ("retry_after", "waits"), [(30, 30), (timedelta(hours=3), 3 * 3600), (None, 1000)]
)
async def test_a_job_is_tried_again_after_the_time_its_holder_names(
    queue: Queue,
    clock: MockClock,
    fail: Callable[[Queue, Claim, Any], Awaitable[None]],
    retry_after: Any,
    waits: float,
) -> None:
    job_id = await queue.enqueue("jobs", b"")
    await fail(queue, await claim_one(queue, "jobs"), retry_after)

    job = await queue.get_job(job_id)
    assert (job.state, job.last_error) == (JobState.SCHEDULED, "busy")
    assert job.run_at == clock.now() + timedelta(seconds=waits)
    clock.advance(waits)
    assert (await claim_one(queue, "jobs")).job_id == job_id


async def test_a_job_that_asks_for_time_is_dead_once_its_attempts_are_used_up(
    queue: Queue,
) -> None:
    attempts: list[int] = []
    shutdown = asyncio.Event()

    async def worker(job: Claim) -> None:
        attempts.append(job.attempts)
        raise TransientFailure(f"attempt {job.attempts}", retry_after=0)

    job_id = await queue.enqueue("jobs", b"")
    working = asyncio.create_task(run_worker(queue, "jobs", worker, shutdown=shutdown))

    async def is_dead() -> bool:
        return (await queue.get_job(job_id)).state is JobState.DEAD

    await eventually(is_dead, "the job's end")
    shutdown.set()
    await working

    assert attempts == [1, 2, 3]
    assert (await queue.get_job(job_id)).last_error == "attempt 3"


@pytest.mark.parametrize("retry_after", [-1, float("nan"), "soon", True])
async def test_a_time_that_cannot_be_is_refused_and_the_claim_stays(
    queue: Queue, retry_after: Any
) -> None:
    await queue.enqueue("jobs", b"")
    claim = await claim_one(queue, "jobs")

    for refused in (nack, nack_with):
        with pytest.raises(InvalidArgumentError, match="retry_after"):
            await refused(queue, claim, retry_after)
    with pytest.raises(InvalidArgumentError, match="retry_after"):
        TransientFailure("busy", retry_after=retry_after)

    await queue.ack(claim)
    assert await queue.kv_get("k") is None


async def test_a_job_that_is_put_off_comes_back_as_if_for_the_first_time(
    queue: Queue, clock: MockClock
) -> None:
    attempts: list[int] = []
    shutdown = asyncio.Event()

    async def worker(job: Claim) -> None:
        attempts.append(job.attempts)
        if len(attempts) < 6:
            raise Postponed("not yet", retry_after=60)
        shutdown.set()

    job_id = await queue.enqueue("jobs", b"")
    working = asyncio.create_task(run_worker(queue, "jobs", worker, shutdown=shutdown))

    async def is_scheduled() -> bool:
        return (await queue.get_job(job_id)).state is JobState.SCHEDULED

    for _ in range(5):
        await eventually(is_scheduled, "the job to be put off")
        job = await queue.get_job(job_id)
        assert (job.attempts, job.last_error) == (0, None)
        assert await queue.attempt_history(job_id) == []
        clock.advance(60)
    await working

    assert attempts == [1] * 6


@pytest.mark.parametrize("retry_after", [-1, float("nan"), "soon", None])
def test_a_time_to_put_a_job_off_is_checked(retry_after: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="retry_after"):
        Postponed("not yet", retry_after=retry_after)
