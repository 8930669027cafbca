"""A runtime's life: start, shutdown with steps in flight, and going on in the next process."""

import asyncio
from typing import Any

import pytest

from taquba import Queue
from taquba.exceptions import InvalidArgumentError
from taquba.workflow import (
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    TerminalStatus,
    WorkflowRuntime,
)
from tests.conftest import OpenQueue
from tests.workflow.conftest import QUICK_RETRIES


async def echo(step: Step) -> StepOutcome:
    """Ends each run with its input."""
    return StepOutcome.Succeed(step.payload)


async def test_leaving_the_runtime_waits_for_steps_in_flight(queue: Queue) -> None:
    started = asyncio.Event()
    finished = False

    async def runner(step: Step) -> StepOutcome:
        nonlocal finished
        started.set()
        await asyncio.sleep(0.1)
        finished = True
        return StepOutcome.Succeed(b"drained")

    async with WorkflowRuntime(queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b""))
        await started.wait()

    assert finished
    async with WorkflowRuntime(queue, runner) as runtime:
        outcome = await runtime.handle(handle.run_id).outcome(timeout=20)
    assert outcome.result == b"drained"


async def test_a_drained_step_that_continues_leaves_its_next_step_for_later(queue: Queue) -> None:
    started = asyncio.Event()
    steps: list[tuple[int, int]] = []

    async def runner(step: Step) -> StepOutcome:
        steps.append((step.step_number, step.attempts))
        if step.step_number == 0:
            started.set()
            await asyncio.sleep(0.05)
            return StepOutcome.Continue(b"handed on")
        return StepOutcome.Succeed(step.payload)

    async with WorkflowRuntime(queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b""))
        await started.wait()
    steps_at_exit = list(steps)
    async with WorkflowRuntime(queue, runner) as runtime:
        outcome = await runtime.handle(handle.run_id).outcome(timeout=20)

    assert steps_at_exit[0] == (0, 1)
    assert outcome.result == b"handed on"
    assert [step for step, _ in steps] == [0, 1]


async def test_a_step_that_does_not_end_in_time_is_interrupted_and_delivered_again(
    queue: Queue,
) -> None:
    started = asyncio.Event()
    interrupted = False

    async def stuck(step: Step) -> StepOutcome:
        nonlocal interrupted
        started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            interrupted = True
            raise
        return StepOutcome.Fail("cannot be reached")

    async with WorkflowRuntime(queue, stuck, shutdown_timeout=0.05) as runtime:
        handle = await runtime.submit(RunSpec(b"again"))
        await started.wait()
    attempts: list[int] = []

    async def runner(step: Step) -> StepOutcome:
        attempts.append(step.attempts)
        return StepOutcome.Succeed(step.payload)

    async with WorkflowRuntime(queue, runner) as runtime:
        outcome = await runtime.handle(handle.run_id).outcome(timeout=20)

    assert interrupted
    assert outcome.result == b"again"
    assert attempts == [2]


async def test_run_works_until_the_event_is_set_and_then_drains(queue: Queue) -> None:
    shutdown = asyncio.Event()
    runtime = WorkflowRuntime(queue, echo)

    async with asyncio.TaskGroup() as group:
        working = group.create_task(runtime.run(shutdown))
        handles = await runtime.submit_many([RunSpec(b"%d" % n) for n in range(20)])
        results = [(await handle.outcome(timeout=20)).result for handle in handles]
        assert not working.done()
        shutdown.set()

    assert results == [b"%d" % n for n in range(20)]
    assert working.done()


async def test_nothing_is_started_after_shutdown(queue: Queue) -> None:
    delivered: list[str] = []

    async def runner(step: Step) -> StepOutcome:
        delivered.append(step.run_id)
        return StepOutcome.Succeed(b"")

    runtime = WorkflowRuntime(queue, runner)
    async with runtime:
        await (await runtime.submit(RunSpec(b"", run_id="before"))).outcome(timeout=20)
    submitter = WorkflowRuntime(queue, runner)
    await submitter.submit(RunSpec(b"", run_id="after"))

    for _ in range(20):
        await asyncio.sleep(0.005)

    assert delivered == ["before"]
    assert (await queue.stats()).queues["workflow"].pending_count == 1


async def test_an_error_inside_the_with_block_is_not_hidden_by_the_drain(queue: Queue) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with WorkflowRuntime(queue, echo) as runtime:
            await runtime.submit(RunSpec(b""))
            raise LookupError("mine")


async def test_cancelling_the_task_that_holds_the_runtime_ends_it(queue: Queue) -> None:
    started = asyncio.Event()

    async def hold() -> None:
        async with WorkflowRuntime(queue, echo):
            started.set()
            await asyncio.sleep(3600)

    task = asyncio.create_task(hold())
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    async with WorkflowRuntime(queue, echo) as runtime:
        assert (await (await runtime.submit(RunSpec(b"x"))).outcome(timeout=20)).result == b"x"


async def test_a_run_goes_on_at_its_step_after_the_store_is_opened_again(
    open_queue: OpenQueue, queue: Queue
) -> None:
    seen: list[tuple[str, int, bytes]] = []
    reached = asyncio.Event()

    async def first_process(step: Step) -> StepOutcome:
        seen.append(("first", step.step_number, step.payload))
        if step.step_number == 0:
            return StepOutcome.Continue(b"notes")
        reached.set()
        await asyncio.sleep(3600)
        raise AssertionError("not reached")

    async def second_process(step: Step) -> StepOutcome:
        seen.append(("second", step.step_number, step.payload))
        return StepOutcome.Succeed(b"report on " + step.payload)

    async with WorkflowRuntime(queue, first_process, shutdown_timeout=0.01) as runtime:
        await runtime.submit(RunSpec(b"in", run_id="run"))
        await reached.wait()
    await queue.close()
    again = await open_queue(default_queue_config=QUICK_RETRIES)
    async with WorkflowRuntime(again, second_process) as runtime:
        handle = await runtime.submit(RunSpec(b"in", run_id="run"))
        outcome = await handle.outcome(timeout=20)

    assert handle.newly_submitted is False
    assert outcome.result == b"report on notes"
    assert seen == [("first", 0, b"in"), ("first", 1, b"notes"), ("second", 1, b"notes")]


async def test_the_end_of_a_run_is_known_after_the_store_is_opened_again(
    open_queue: OpenQueue, queue: Queue
) -> None:
    async with WorkflowRuntime(queue, echo) as runtime:
        handle = await runtime.submit(RunSpec(b"x", run_id="run", headers={"k": "v"}))
        before = await handle.outcome(timeout=20)
    await queue.close()

    again = await open_queue()
    async with WorkflowRuntime(again, echo) as runtime:
        handle = runtime.handle("run")
        after = await handle.outcome(timeout=20)

    assert handle.newly_submitted is False
    assert after == before
    assert (after.status, after.result, after.headers) == (
        TerminalStatus.Succeeded,
        b"x",
        {"k": "v"},
    )


async def test_a_retry_that_was_waiting_goes_on_after_reopening(
    open_queue: OpenQueue, queue: Queue
) -> None:
    failed = asyncio.Event()

    async def fail_once(step: Step) -> StepOutcome:
        failed.set()
        raise StepError.transient("first process")

    async with WorkflowRuntime(queue, fail_once, shutdown_timeout=5) as runtime:
        await runtime.submit(RunSpec(b"in", run_id="run", max_attempts=1000))
        await failed.wait()
    await queue.close()
    attempts: list[int] = []

    async def runner(step: Step) -> StepOutcome:
        attempts.append(step.attempts)
        return StepOutcome.Succeed(b"")

    again = await open_queue(default_queue_config=QUICK_RETRIES)
    async with WorkflowRuntime(again, runner) as runtime:
        await runtime.handle("run").outcome(timeout=20)

    assert len(attempts) == 1
    assert attempts[0] >= 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concurrency", 0),
        ("concurrency", 100_001),
        ("step_timeout", -1),
        ("step_timeout", float("nan")),
        ("run_retention", -1),
        ("shutdown_timeout", -1),
        ("queue_name", "a b"),
    ],
)
async def test_a_setting_outside_its_bounds_is_refused_at_once(
    queue: Queue, name: str, value: Any
) -> None:
    options: dict[str, Any] = {name: value}

    with pytest.raises(ValueError, match="a b" if name == "queue_name" else name) as caught:
        WorkflowRuntime(queue, echo, **options)

    assert name == "queue_name" or isinstance(caught.value, InvalidArgumentError)


@pytest.mark.parametrize("runner", [None, 5, "runner", object()])
async def test_a_runner_that_cannot_run_steps_is_refused_at_once(queue: Queue, runner: Any) -> None:
    with pytest.raises(TypeError, match="run_step"):
        WorkflowRuntime(queue, runner)
