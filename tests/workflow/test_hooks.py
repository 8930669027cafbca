"""Terminal hooks: told of every run's end, whichever way it ended, and until they have heard."""

import asyncio
from typing import Any

import pytest

from taquba import Queue
from taquba.workflow import (
    RunOutcome,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    TerminalStatus,
    WorkflowRuntime,
)
from tests.conftest import OpenQueue
from tests.waiting import eventually
from tests.workflow.conftest import QUICK_RETRIES, StartRuntime
from tests.workflow.hooks import RecordingHook


async def end_as_asked(step: Step) -> Any:
    """Ends the run in the way that its input names."""
    way = step.payload.decode()
    if way == "transient":
        raise StepError.transient("used up")
    if way == "permanent":
        raise StepError.permanent("hopeless")
    if way == "exception":
        raise ValueError("surprise")
    if way == "malformed":
        return "not an outcome"
    return {
        "succeed": StepOutcome.Succeed(b"result"),
        "fail": StepOutcome.Fail("reason"),
        "cancel": StepOutcome.Cancel("reason"),
    }[way]


WAYS = {
    "succeed": (TerminalStatus.Succeeded, None),
    "fail": (TerminalStatus.Failed, "reason"),
    "cancel": (TerminalStatus.Cancelled, "reason"),
    "transient": (TerminalStatus.Failed, "used up"),
    "permanent": (TerminalStatus.Failed, "hopeless"),
    "exception": (TerminalStatus.Failed, "surprise"),
    "malformed": (TerminalStatus.Failed, "str"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_the_hook_is_told_of_every_kind_of_end(start: StartRuntime, way: str) -> None:
    hook = RecordingHook()
    runtime = await start(end_as_asked, hook=hook)

    handle = await runtime.submit(RunSpec(way.encode(), headers={"k": "v"}))
    outcome = await handle.outcome(timeout=20)
    told = await hook.told()

    status, error = WAYS[way]
    assert told == outcome
    assert (told.run_id, told.status, told.headers) == (handle.run_id, status, {"k": "v"})
    assert told.result == (b"result" if way == "succeed" else None)
    assert (told.error is None) == (error is None)
    assert error is None or error in str(told.error)


async def test_the_hook_is_told_once_if_it_does_not_fail(start: StartRuntime) -> None:
    hook = RecordingHook()
    runtime = await start(end_as_asked, hook=hook)

    handles = await runtime.submit_many([RunSpec(b"succeed") for _ in range(50)])

    async def all_told() -> bool:
        return hook.call_count >= 50

    await eventually(all_told, "50 notifications")
    assert sorted(o.run_id for o in hook.outcomes) == sorted(h.run_id for h in handles)


async def test_a_hook_that_raises_is_told_again(start: StartRuntime) -> None:
    hook = RecordingHook(failure_count=2)
    runtime = await start(end_as_asked, hook=hook)

    handle = await runtime.submit(RunSpec(b"succeed"))
    told = await hook.told()

    assert hook.call_count == 3
    assert told.run_id == handle.run_id
    assert told.result == b"result"


async def test_a_run_ends_although_its_hook_fails(start: StartRuntime) -> None:
    hook = RecordingHook(failure_count=1_000_000)
    runtime = await start(end_as_asked, hook=hook)

    outcome = await (await runtime.submit(RunSpec(b"succeed"))).outcome(timeout=20)

    assert outcome.status is TerminalStatus.Succeeded


async def test_the_end_is_durable_before_the_hook_hears_of_it(
    open_queue: OpenQueue, queue: Queue
) -> None:
    seen: list[TerminalStatus] = []
    asked = asyncio.Event()

    class AskingHook:
        async def on_termination(self, outcome: RunOutcome) -> None:
            known = await runtime.handle(outcome.run_id).outcome(timeout=20)
            seen.append(known.status)
            asked.set()

    runtime = WorkflowRuntime(queue, end_as_asked, AskingHook())
    async with runtime, asyncio.timeout(20):
        await runtime.submit(RunSpec(b"fail"))
        await asked.wait()

    assert seen == [TerminalStatus.Failed]


async def test_a_hook_that_was_not_reached_is_told_after_reopening(
    open_queue: OpenQueue, queue: Queue
) -> None:
    failing = RecordingHook(failure_count=1_000_000)
    async with WorkflowRuntime(queue, end_as_asked, failing) as runtime:
        handle = await runtime.submit(RunSpec(b"succeed", run_id="run"))
        await handle.outcome(timeout=20)

        async def was_called() -> bool:
            return failing.call_count > 0

        await eventually(was_called, "the first call of the hook")
    await queue.close()

    again = await open_queue(default_queue_config=QUICK_RETRIES)
    hook = RecordingHook()
    async with WorkflowRuntime(again, end_as_asked, hook):
        told = await hook.told()

    assert (told.run_id, told.status, told.result) == ("run", TerminalStatus.Succeeded, b"result")


@pytest.mark.parametrize(("observes", "job_count"), [(True, 2), (False, 1)])
async def test_a_hook_that_observes_nothing_is_not_called_and_costs_no_notification(
    queue: Queue, observes: bool, job_count: int
) -> None:
    class Choosy(RecordingHook):
        def observes(self) -> bool:
            return observes

    hook = Choosy()
    async with WorkflowRuntime(queue, end_as_asked, hook) as runtime:
        await (await runtime.submit(RunSpec(b"succeed"))).outcome(timeout=20)

        async def nothing_is_left() -> bool:
            stats = (await queue.stats()).queues["workflow"]
            return stats.pending_count + stats.claimed_count == 0

        await eventually(nothing_is_left, "the end of all work")

    # The step's job, and the notification of the run's end.
    assert (await queue.stats()).queues["workflow"].enqueued_total == job_count
    assert hook.call_count == job_count - 1


@pytest.mark.parametrize("hook", [object(), None, "hook"])
async def test_a_hook_without_the_method_is_refused_at_once(queue: Queue, hook: Any) -> None:
    with pytest.raises(TypeError, match="on_termination"):
        WorkflowRuntime(queue, end_as_asked, hook)
