"""Steps that fail: what is retried, what is not, and what the run's end says."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from taquba import Queue, QueueConfig, RetryJitter
from taquba.workflow import (
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    TerminalStatus,
    WorkflowRuntime,
)
from tests.conftest import OpenQueue
from tests.waiting import WAIT_SECONDS_MAX
from tests.workflow.conftest import StartRuntime


def busy() -> StepError:
    return StepError.transient("the server is busy")


def unexpected() -> Exception:
    return ZeroDivisionError("surprise")


@pytest.mark.parametrize("make_error", [busy, unexpected, lambda: KeyError("k")])
async def test_a_transient_failure_is_retried_with_the_same_payload(
    start: StartRuntime, make_error: Callable[[], Exception]
) -> None:
    deliveries: list[tuple[int, int, bytes]] = []

    async def runner(step: Step) -> StepOutcome:
        deliveries.append((step.step_number, step.attempts, step.payload))
        if step.step_number == 0:
            return StepOutcome.Continue(b"from 0")
        if step.attempts < 3:
            raise make_error()
        return StepOutcome.Succeed(b"third time lucky")

    runtime = await start(runner)
    outcome = await (await runtime.submit(RunSpec(b"in"))).outcome(timeout=20)

    assert outcome.result == b"third time lucky"
    assert deliveries == [(0, 1, b"in"), (1, 1, b"from 0"), (1, 2, b"from 0"), (1, 3, b"from 0")]


async def test_a_step_that_keeps_failing_is_dead_lettered_and_its_run_fails(
    queue: Queue, start: StartRuntime
) -> None:
    delivery_count = 0

    async def runner(step: Step) -> StepOutcome:
        nonlocal delivery_count
        delivery_count += 1
        assert step.max_attempts == 3
        raise StepError.transient(f"failure {delivery_count}")

    runtime = await start(runner)
    outcome = await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)

    assert outcome.status is TerminalStatus.Failed
    assert outcome.error is not None
    assert "failure 3" in outcome.error
    assert delivery_count == 3
    assert (await queue.stats()).queues["workflow"].dead_count == 1


async def test_a_permanent_failure_is_not_retried(queue: Queue, start: StartRuntime) -> None:
    delivery_count = 0

    async def runner(step: Step) -> StepOutcome:
        nonlocal delivery_count
        delivery_count += 1
        raise StepError.permanent("the account is closed")

    runtime = await start(runner)
    outcome = await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)

    assert outcome.status is TerminalStatus.Failed
    assert outcome.error is not None
    assert "the account is closed" in outcome.error
    assert delivery_count == 1
    assert (await queue.stats()).queues["workflow"].dead_count == 1


async def test_an_unexpected_exception_is_reported_with_type_message_and_place(
    start: StartRuntime,
) -> None:
    async def divide(step: Step) -> StepOutcome:
        raise ZeroDivisionError("nothing to share")

    runtime = await start(divide)
    outcome = await (await runtime.submit(RunSpec(b"", max_attempts=1))).outcome(timeout=20)

    assert outcome.error is not None
    assert "ZeroDivisionError" in outcome.error
    assert "nothing to share" in outcome.error
    assert "test_failures.py" in outcome.error
    assert "divide" in outcome.error


class UnprintableError(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "make_error",
    [
        lambda: ValueError("x" * 1_000_000),
        lambda: ValueError("nul \x00 and lone surrogate \ud800"),
        UnprintableError,
        lambda: ExceptionGroup("several", [ValueError("a"), OSError("b")]),
    ],
    ids=["huge", "odd characters", "unprintable", "group"],
)
async def test_no_exception_text_can_stop_the_runtime(
    start: StartRuntime, make_error: Callable[[], Exception]
) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.run_id == "good":
            return StepOutcome.Succeed(b"fine")
        raise make_error()

    runtime = await start(runner)
    bad = await runtime.submit(RunSpec(b"", run_id="bad", max_attempts=1))
    outcome = await bad.outcome(timeout=20)
    good = await runtime.submit(RunSpec(b"", run_id="good"))

    assert outcome.status is TerminalStatus.Failed
    assert outcome.error is not None
    assert type(make_error()).__name__ in outcome.error
    assert (await good.outcome(timeout=20)).result == b"fine"


async def test_the_attempts_of_a_run_apply_to_each_of_its_steps(start: StartRuntime) -> None:
    deliveries: list[tuple[int, int]] = []

    async def runner(step: Step) -> StepOutcome:
        deliveries.append((step.step_number, step.attempts))
        if step.attempts < 2:
            raise StepError.transient("once more")
        if step.step_number < 2:
            return StepOutcome.Continue(b"")
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b"", max_attempts=2))
    outcome = await handle.outcome(timeout=20)

    assert outcome.status is TerminalStatus.Succeeded
    assert deliveries == [(step, attempts) for step in range(3) for attempts in (1, 2)]


async def test_a_retry_waits_for_its_backoff(open_queue: OpenQueue, queue: Queue) -> None:
    await queue.close()
    config = QueueConfig(retry_backoff_base=3600, retry_jitter=RetryJitter.NONE)
    slow = await open_queue(queue_configs={"workflow": config})
    delivery_count = 0

    async def runner(step: Step) -> StepOutcome:
        nonlocal delivery_count
        delivery_count += 1
        raise StepError.transient("later")

    async with WorkflowRuntime(slow, runner) as runtime:
        handle = await runtime.submit(RunSpec(b""))
        with pytest.raises(TimeoutError):
            await handle.outcome(timeout=0.2)

    stats = (await slow.stats()).queues["workflow"]
    assert (stats.scheduled_count, stats.claimed_count) == (1, 0)
    assert delivery_count == 1


async def test_a_step_that_exceeds_its_time_is_cut_off_and_counts_as_an_attempt(
    start: StartRuntime,
) -> None:
    attempts: list[int] = []
    cut_off = 0

    async def runner(step: Step) -> StepOutcome:
        nonlocal cut_off
        attempts.append(step.attempts)
        if step.attempts == 1:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cut_off += 1
                raise
        return StepOutcome.Succeed(b"in time")

    runtime = await start(runner, step_timeout=0.05)
    outcome = await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)

    assert outcome.result == b"in time"
    assert attempts == [1, 2]
    assert cut_off == 1


@pytest.mark.parametrize("is_plain", [True, False])
async def test_a_runner_that_raises_what_looks_like_an_interruption_fails(
    start: StartRuntime, *, is_plain: bool
) -> None:
    def plain(step: Step) -> StepOutcome:
        if step.attempts == 1:
            raise asyncio.CancelledError if not is_plain else SystemExit(3)
        return StepOutcome.Succeed(b"%d" % step.attempts)

    async def runner(step: Step) -> StepOutcome:
        return plain(step)

    runtime = await start(plain if is_plain else runner)
    outcome = await (await runtime.submit(RunSpec(b"", max_attempts=2))).outcome(timeout=20)

    assert outcome.result == b"2"
    once = await runtime.submit(RunSpec(b"", max_attempts=1))
    error = (await once.outcome(timeout=20)).error or ""
    assert ("SystemExit" if is_plain else "CancelledError") in error


async def test_a_plain_runner_that_outlives_its_timeout_takes_no_thread_from_others(
    start: StartRuntime,
) -> None:
    release = threading.Event()

    def runner(step: Step) -> StepOutcome:
        if step.payload == b"hangs":
            release.wait(WAIT_SECONDS_MAX)
        return StepOutcome.Succeed(b"")

    # Over 36 that hang, the event loop's own threads would be used up.
    runtime = await start(runner, step_timeout=0.2, concurrency=40)
    hanging = await runtime.submit_many([RunSpec(b"hangs", max_attempts=1)] * 40)
    try:
        for handle in hanging:
            assert (await handle.outcome(timeout=20)).status is TerminalStatus.Failed
        handles = await runtime.submit_many([RunSpec(b"", max_attempts=1)] * 10)
        outcomes = [await handle.outcome(timeout=20) for handle in handles]
    finally:
        release.set()

    assert {outcome.status for outcome in outcomes} == {TerminalStatus.Succeeded}


async def test_plain_runners_that_never_end_end_the_work_with_a_clear_error(queue: Queue) -> None:
    release = threading.Event()

    def runner(step: Step) -> StepOutcome:
        release.wait(WAIT_SECONDS_MAX)
        return StepOutcome.Succeed(b"")

    runtime = WorkflowRuntime(queue, runner, step_timeout=0.02, concurrency=1)
    await runtime.submit_many([RunSpec(b"", max_attempts=1)] * 6)
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            with pytest.raises(RuntimeError, match="4 plain functions"):
                await runtime.run()
    finally:
        release.set()

    assert (await queue.stats()).queues["workflow"].dead_count == 4


async def test_a_blocked_event_loop_loses_no_step(open_queue: OpenQueue, queue: Queue) -> None:
    await queue.close()
    brief = await open_queue(queue_configs={"workflow": QueueConfig(lease_duration=0.1)})
    attempts: list[int] = []

    async def runner(step: Step) -> StepOutcome:
        attempts.append(step.attempts)
        time.sleep(0.4)  # noqa: ASYNC251 - the point: four leases pass while nothing can renew here
        return StepOutcome.Succeed(b"kept")

    async with WorkflowRuntime(brief, runner) as runtime:
        outcome = await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)

    assert outcome.result == b"kept"
    assert attempts == [1]
