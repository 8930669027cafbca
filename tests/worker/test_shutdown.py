"""The end of a worker loop: in flight work is finished or handed back, within a bound."""

import asyncio
import threading

import pytest

from taquba import Claim, Effects, Queue, run_worker
from taquba.exceptions import ClosedError, FencedError
from tests.conftest import OpenQueue
from tests.waiting import WAIT_SECONDS_MAX, claim_one, drain, eventually
from tests.worker.working import all_acked, working


class Gate:
    """A worker that is held until it is let go."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.finished_count = 0

    async def process(self, job: Claim) -> Effects:
        """Waits at the gate."""
        self.started.set()
        await self.release.wait()
        self.finished_count += 1
        return Effects().kv_put("done", job.payload)


async def test_jobs_in_flight_are_finished_and_no_new_ones_begun(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    gate = Gate()
    shutdown = asyncio.Event()
    await queue.enqueue_batch("emails", [b"x"] * 5)
    loop = asyncio.create_task(run_worker(queue, "emails", gate, concurrency=2, shutdown=shutdown))
    await gate.started.wait()
    shutdown.set()
    await queue.stats()
    assert not loop.done()

    gate.release.set()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await loop

    # What was settled is durable by the time the loop returns.
    assert gate.finished_count == 2
    assert (await queue.stats()).queues["emails"].acked_total == 2
    await queue.close()
    again = await open_queue()
    assert await again.kv_get("done") == b"x"
    assert [claim.attempts for claim in await drain(again, "emails")] == [1, 1, 1]


async def test_jobs_that_do_not_end_in_time_are_interrupted_and_handed_back(
    queue: Queue,
) -> None:
    gate = Gate()
    shutdown = asyncio.Event()
    await queue.enqueue("emails", b"x")
    loop = asyncio.create_task(
        run_worker(queue, "emails", gate, shutdown=shutdown, shutdown_timeout=0.05)
    )
    await gate.started.wait()

    shutdown.set()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await loop

    assert gate.finished_count == 0
    # At once, not when a lease runs out.
    claim = await queue.claim_with_wait("emails", timeout=WAIT_SECONDS_MAX)
    assert claim is not None
    assert claim.attempts == 2


@pytest.mark.slow
async def test_a_worker_that_will_not_be_interrupted_does_not_hold_the_shutdown_up(
    queue: Queue,
) -> None:
    started = asyncio.Event()
    release = asyncio.Event()

    async def stubborn(job: Claim) -> None:
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    shutdown = asyncio.Event()
    await queue.enqueue("emails", b"x")
    loop = asyncio.create_task(
        run_worker(queue, "emails", stubborn, shutdown=shutdown, shutdown_timeout=0.05)
    )
    await started.wait()
    shutdown.set()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await asyncio.wait([loop], timeout=WAIT_SECONDS_MAX / 2)
        ended_by_itself = loop.done()
        release.set()
        await loop

    assert ended_by_itself


async def test_an_idle_loop_ends_at_once(queue: Queue) -> None:
    async def send(job: Claim) -> None: ...

    for _ in range(10):
        async with working(queue, send):
            await asyncio.sleep(0)


async def test_a_shutdown_that_came_first_begins_nothing(queue: Queue) -> None:
    async def send(job: Claim) -> None:
        raise AssertionError("begun")

    shutdown = asyncio.Event()
    shutdown.set()
    await queue.enqueue("emails", b"x")

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await run_worker(queue, "emails", send, shutdown=shutdown, shutdown_timeout=0.5)

    assert len(await drain(queue, "emails")) == 1


async def test_cancelling_the_loop_finishes_or_hands_back_its_jobs(queue: Queue) -> None:
    gate = Gate()
    await queue.enqueue("emails", b"x")
    loop = asyncio.create_task(run_worker(queue, "emails", gate, shutdown_timeout=0.05))
    await gate.started.wait()

    loop.cancel()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        with pytest.raises(asyncio.CancelledError):
            await loop

    claim = await queue.claim_with_wait("emails", timeout=WAIT_SECONDS_MAX)
    assert claim is not None
    await queue.ack(claim)


async def test_cancelling_the_loop_at_any_tick_of_its_begin_leaves_no_ghost(queue: Queue) -> None:
    done: list[bytes] = []

    async def send(job: Claim) -> None:
        done.append(job.payload)

    hits = 0
    for _ in range(5):
        loop = asyncio.create_task(run_worker(queue, "emails", send))
        while not loop.done():
            await asyncio.sleep(0)
            # What the task waits for was answered, and the task does not know yet.
            awaited = loop._fut_waiter  # type: ignore[attr-defined] # noqa: SLF001
            if awaited is not None and awaited.done():
                hits += 1
                loop.cancel()
                break
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            with pytest.raises(asyncio.CancelledError):
                await loop
    assert hits == 5

    job_id = await queue.enqueue("emails", b"x")
    claim = await queue.claim_with_wait("emails", timeout=WAIT_SECONDS_MAX)
    assert claim is not None
    assert (claim.job_id, done) == (job_id, [])


async def test_work_goes_on_in_the_next_loop(queue: Queue) -> None:
    async def send(job: Claim) -> None: ...

    for number in range(1, 6):
        await queue.enqueue("emails", b"x")
        async with working(queue, send):
            await all_acked(queue, number)


async def test_a_loop_whose_store_was_taken_away_ends_with_the_error(
    open_queue: OpenQueue,
) -> None:
    first = await open_queue()
    gate = Gate()
    await first.enqueue("emails", b"x")
    loop = asyncio.create_task(run_worker(first, "emails", gate, shutdown_timeout=1.0))
    await gate.started.wait()
    second = await open_queue()
    gate.release.set()

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        with pytest.raises(FencedError):
            await loop

    assert (await claim_one(second, "emails")).payload == b"x"
    assert await second.kv_get("done") is None


async def test_a_loop_whose_queue_is_closed_ends_with_the_error(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    gate = Gate()
    await queue.enqueue("emails", b"x")
    loop = asyncio.create_task(run_worker(queue, "emails", gate, shutdown_timeout=0.05))
    await gate.started.wait()

    await queue.close()

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        with pytest.raises(ClosedError):
            await loop


async def test_a_thread_that_does_not_end_does_not_hold_the_shutdown_up(queue: Queue) -> None:
    started = threading.Event()
    release = threading.Event()

    def send(job: Claim) -> None:
        started.set()
        release.wait(WAIT_SECONDS_MAX)

    shutdown = asyncio.Event()
    await queue.enqueue("emails", b"x")
    loop = asyncio.create_task(
        run_worker(queue, "emails", send, shutdown=shutdown, shutdown_timeout=0.05)
    )

    async def is_started() -> bool:
        return started.is_set()

    await eventually(is_started, "the job")
    shutdown.set()
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX / 2):
            await loop
    finally:
        release.set()

    claim = await queue.claim_with_wait("emails", timeout=WAIT_SECONDS_MAX)
    assert claim is not None
    assert claim.attempts == 2
