"""An event loop that is blocked for ten leases: nothing is delivered twice before its time.

By `time.sleep`, which lets other threads of Python run, and by a computation in C that holds the
interpreter's lock all the while. Leases are kept by threads that need neither.
"""

import asyncio
import time
from collections.abc import Callable

import pytest

from taquba import Claim, OpenOptions, Queue, QueueConfig, run_worker
from taquba.workflow import RunSpec, Step, StepOutcome, TerminalStatus, WorkflowRuntime
from tests.waiting import WAIT_SECONDS_MAX, eventually

pytestmark = [pytest.mark.timeout(60), pytest.mark.slow]

LEASE_SECONDS = 0.1
BLOCKED_SECONDS = 10 * LEASE_SECONDS
OPTIONS = OpenOptions(
    default_queue_config=QueueConfig(lease_duration=LEASE_SECONDS, retry_backoff_base=0)
)


def sleep() -> None:
    """Blocks the loop; other threads of Python go on."""
    time.sleep(BLOCKED_SECONDS)


def compute() -> None:
    """Blocks the loop and every other thread of Python, in calls into C of about a second each."""
    begun = time.monotonic()
    base = 3**150_000
    while time.monotonic() - begun < BLOCKED_SECONDS:
        assert pow(base, 12) > 0


BLOCKS = {"time.sleep": sleep, "a computation in C": compute}


def seconds_of(block: Callable[[], None]) -> float:
    """Blocks, and says for how long."""
    begun = time.monotonic()
    block()
    return time.monotonic() - begun


@pytest.mark.parametrize("name", BLOCKS)
async def test_jobs_of_a_blocked_loop_are_delivered_once(name: str) -> None:
    delivered: list[bytes] = []
    blocked: list[float] = []

    async def work(job: Claim) -> None:
        delivered.append(job.payload)
        if job.payload == b"blocks":
            await asyncio.sleep(0)
            blocked.append(seconds_of(BLOCKS[name]))
        await asyncio.sleep(LEASE_SECONDS / 10)

    payloads = [b"first", b"blocks", b"second", b"third"]
    async with Queue.open("memory://", options=OPTIONS) as queue:
        await queue.enqueue_batch("emails", payloads)
        shutdown = asyncio.Event()
        worker = asyncio.create_task(run_worker(queue, "emails", work, shutdown=shutdown))

        async def are_acked() -> bool:
            return (await queue.stats()).queues["emails"].acked_total == len(payloads)

        await eventually(are_acked, "the jobs")
        shutdown.set()
        await worker
        retried = (await queue.stats()).queues["emails"].retried_total

    assert sorted(delivered) == sorted(payloads)
    assert retried == 0
    assert blocked[0] >= BLOCKED_SECONDS


@pytest.mark.parametrize("name", BLOCKS)
async def test_steps_of_a_blocked_loop_are_delivered_once(name: str) -> None:
    delivered: list[tuple[str, int]] = []

    async def runner(step: Step) -> StepOutcome:
        delivered.append((step.run_id, step.step_number))
        await asyncio.sleep(0)
        if step.run_id == "blocks":
            BLOCKS[name]()
        if step.step_number == 0:
            return StepOutcome.Continue(b"")
        return StepOutcome.Succeed(step.run_id.encode())

    async with (
        Queue.open("memory://", options=OPTIONS) as queue,
        # Longer than it blocks: the step is not to be interrupted either.
        WorkflowRuntime(queue, runner, step_timeout=5 * BLOCKED_SECONDS) as runtime,
    ):
        names = ["waits", "blocks", "waits-too"]
        handles = await runtime.submit_many([RunSpec(b"", run_id=name) for name in names])
        outcomes = [await handle.outcome(timeout=WAIT_SECONDS_MAX) for handle in handles]

    assert {outcome.status for outcome in outcomes} == {TerminalStatus.Succeeded}
    assert sorted(delivered) == sorted((name, number) for name in names for number in (0, 1))


async def test_a_loop_that_is_blocked_beyond_the_step_timeout_has_its_step_tried_again() -> None:
    attempts: list[int] = []

    async def runner(step: Step) -> StepOutcome:
        attempts.append(step.attempts)
        if step.attempts == 1:
            sleep()
            await asyncio.sleep(WAIT_SECONDS_MAX)
        return StepOutcome.Succeed(b"")

    async with (
        Queue.open("memory://", options=OPTIONS) as queue,
        WorkflowRuntime(queue, runner, step_timeout=BLOCKED_SECONDS / 2) as runtime,
    ):
        handle = await runtime.submit(RunSpec(b"", max_attempts=3))
        outcome = await handle.outcome(timeout=WAIT_SECONDS_MAX)

    assert outcome.status is TerminalStatus.Succeeded
    assert attempts == [1, 2]
