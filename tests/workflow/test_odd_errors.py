"""Errors that are not what their class says, and runtimes that are used in odd ways."""

import asyncio
import gc
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taquba import Claim, MemoStore, MockClock, Queue, RunState, TransientFailure, run_worker
from taquba.exceptions import ArgumentTypeError, ClaimLostError
from taquba.workflow import (
    RunOutcome,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    TerminalStatus,
    WorkflowRuntime,
    current_step,
)
from tests.conftest import OpenQueue
from tests.waiting import eventually
from tests.workflow.conftest import StartRuntime
from tests.workflow.hooks import RecordingHook


class UnmadeError(StepError):  # type: ignore[misc]
    """A step's error whose maker was never called."""

    def __init__(self) -> None:
        pass


class UnmadeFailure(TransientFailure):  # type: ignore[misc]
    """The same for a worker."""

    def __init__(self) -> None:
        pass


def with_an_odd_delay() -> StepError:
    error = StepError.transient("busy")
    error.retry_after = "soon"  # type: ignore[assignment]
    return error


@pytest.fixture
def without_collections() -> Iterator[None]:
    """What only a collection would free is held."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collections")
@pytest.mark.parametrize("make", [UnmadeError, with_an_odd_delay], ids=["unmade", "odd delay"])
async def test_an_error_that_is_not_what_its_class_says_fails_its_step_and_frees_its_place(
    start: StartRuntime, make: Any
) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.run_id == "odd":
            raise make()
        return StepOutcome.Succeed(b"")

    runtime = await start(runner, concurrency=1)
    odd = await runtime.submit(RunSpec(b"", run_id="odd"))
    after = await runtime.submit(RunSpec(b"", run_id="after"))

    assert (await after.outcome(timeout=20)).status is TerminalStatus.Succeeded
    assert (await odd.outcome(timeout=20)).status is TerminalStatus.Failed


@pytest.mark.usefixtures("without_collections")
async def test_an_error_that_is_not_what_its_class_says_fails_its_job(queue: Queue) -> None:
    attempts: list[int] = []
    shutdown = asyncio.Event()

    async def worker(job: Claim) -> None:
        attempts.append(job.attempts)
        if len(attempts) == 3:
            shutdown.set()
        raise UnmadeFailure

    await queue.enqueue("jobs", b"")
    await run_worker(queue, "jobs", worker, concurrency=1, shutdown=shutdown)

    assert attempts == [1, 2, 3]


@pytest.mark.usefixtures("without_collections")
async def test_a_log_filter_that_raises_holds_up_neither_steps_nor_hooks(
    start: StartRuntime,
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError(record.getMessage())

    logger = logging.getLogger("taquba.workflow")
    told: list[str] = []

    async def runner(step: Step) -> StepOutcome:
        if step.attempts == 1:
            raise ValueError(step.run_id)
        return StepOutcome.Succeed(b"")

    async def hook(outcome: RunOutcome) -> None:
        told.append(outcome.run_id)
        if len(told) == 1:
            raise ValueError(outcome.run_id)

    runtime = await start(runner, hook=hook, concurrency=1)
    logger.addFilter(refuse)
    try:
        handle = await runtime.submit(RunSpec(b"", run_id="r"))
        await handle.outcome(timeout=20)

        async def is_told_twice() -> bool:
            return told == ["r", "r"]

        await eventually(is_told_twice, "the hook to be told again")
    finally:
        logger.removeFilter(refuse)


async def test_a_runtime_works_once_however_it_is_entered(queue: Queue) -> None:
    async def runner(_: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"")

    runtime = WorkflowRuntime(queue, runner)
    shutdown = asyncio.Event()
    first = asyncio.create_task(runtime.run(shutdown))
    second = asyncio.create_task(runtime.run(shutdown))
    done, _ = await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED, timeout=20)

    assert done == {second}
    with pytest.raises(RuntimeError, match="works already"):
        await second
    shutdown.set()
    await first
    async with runtime:
        with pytest.raises(RuntimeError, match="works already"):
            await runtime.run(shutdown)
    await runtime.run(shutdown)


async def test_the_end_of_a_run_that_nobody_is_told_of_is_logged(
    queue: Queue, start: StartRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    async def runner(_: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"")

    submitting = WorkflowRuntime(queue, runner, RecordingHook())
    await start(runner)

    handle = await submitting.submit(RunSpec(b"", run_id="unheard"))
    await handle.outcome(timeout=20)

    async def is_logged() -> bool:
        return "nobody is told that run unheard has ended" in caplog.text

    await eventually(is_logged, "the warning")


async def test_neither_hooks_nor_jobs_are_taken_for_a_step_that_opened_their_queue(
    queue: Queue, start: StartRuntime
) -> None:
    seen: list[Step | None] = []
    shutdown = asyncio.Event()

    async def work(_: Claim) -> None:
        seen.append(current_step())
        shutdown.set()

    async def hook(_: RunOutcome) -> None:
        seen.append(current_step())

    async def runner(step: Step) -> StepOutcome:
        assert current_step() is step
        async with Queue.open("memory://") as inner:
            await inner.enqueue("jobs", b"")
            await run_worker(inner, "jobs", work, shutdown=shutdown)
        await other.cancel()
        assert current_step() is step
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    waiting = WorkflowRuntime(queue, runner, hook, queue_name="waiting")
    other = await waiting.submit(RunSpec(b""))
    await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)

    assert seen == [None, None]


async def test_a_lease_is_over_when_its_step_is_whoever_keeps_the_error(
    start: StartRuntime,
) -> None:
    kept: list[BaseException] = []
    asked: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    async def ask(step_lease: Any) -> None:
        await over.wait()
        await step_lease.ensure_at_least(60)

    async def runner(step: Step) -> StepOutcome:
        asked.append(asyncio.create_task(ask(step.lease)))
        try:
            int("no number")
        except ValueError as error:
            kept.append(error)
            raise StepError.permanent("ends") from error
        return StepOutcome.Succeed(b"")

    runtime = await start(runner, step_timeout=30)
    await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)
    over.set()

    with pytest.raises(ClaimLostError):
        await asked[0]
    assert kept


async def test_memos_of_a_store_are_kept_by_the_queues_clock(open_queue: OpenQueue) -> None:
    clock = MockClock(datetime(2020, 1, 1, tzinfo=UTC))
    queue = await open_queue(clock=clock)

    async def runner(step: Step) -> StepOutcome:
        await step.memo.put("k", b"v")
        return StepOutcome.Succeed(b"")

    async with MemoStore("memory://") as memos:
        runtime = WorkflowRuntime(queue, runner, memo_store=memos, memo_retention=3600)

        async def markers() -> int:
            return len(await memos.list_terminal_markers())

        async with runtime:
            handle = await runtime.submit(RunSpec(b"", run_id="r"))
            await handle.outcome(timeout=20)
            await eventually(markers, "the mark of the end")
        async with runtime:
            await asyncio.sleep(0.05)
        assert await memos.new_memo("r", 0).get("k") == b"v"

        clock.advance(timedelta(hours=2))

        async def is_swept() -> bool:
            return await markers() == 0

        async with runtime:
            await eventually(is_swept, "the sweep")
        assert await memos.new_memo("r", 0).get("k") is None


async def test_a_hook_is_told_although_the_store_of_memos_fails(
    queue: Queue, start: StartRuntime
) -> None:
    hook = RecordingHook()

    async def runner(_: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"")

    memos = MemoStore("memory://")
    runtime = await start(runner, hook=hook, memo_store=memos)
    await memos.close()
    handle = await runtime.submit(RunSpec(b""))
    await handle.outcome(timeout=20)

    async def is_told() -> bool:
        return hook.call_count > 0

    await eventually(is_told, "the hook")
    assert (await handle.status()).state is RunState.SUCCEEDED


def test_a_hook_whose_check_is_no_function_is_refused(queue: Queue) -> None:
    class Hook(RecordingHook):
        check_submission = 5

    with pytest.raises(ArgumentTypeError, match="check_submission"):
        WorkflowRuntime(queue, lambda _: StepOutcome.Succeed(b""), Hook())
