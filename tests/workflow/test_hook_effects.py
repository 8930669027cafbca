"""What hooks may do besides listening: stage effects, choose ends, refuse submissions."""

import asyncio
import logging
from typing import Any

import pytest

from taquba import Effects, Queue
from taquba.exceptions import ArgumentTypeError, RunNotFoundError
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
from tests.waiting import drain, eventually
from tests.workflow.conftest import QUICK_RETRIES, StartRuntime
from tests.workflow.hooks import RecordingHook

ENDS = {
    b"succeed": TerminalStatus.Succeeded,
    b"fail": TerminalStatus.Failed,
    b"cancel": TerminalStatus.Cancelled,
    b"permanent": TerminalStatus.Failed,
}


async def end_as_asked(step: Step) -> StepOutcome:
    """Ends the run in the way that its input names."""
    if step.payload == b"permanent":
        raise StepError.permanent("hopeless")
    return {
        b"succeed": StepOutcome.Succeed(b"result"),
        b"fail": StepOutcome.Fail("reason"),
        b"cancel": StepOutcome.Cancel("reason"),
    }[step.payload]


def announce(outcome: RunOutcome) -> Effects:
    """Stages a job and a key that name the run."""
    effects = Effects().enqueue("ended", outcome.run_id.encode())
    return effects.kv_put(f"ended/{outcome.run_id}", str(outcome.status).encode())


class StagingHook(RecordingHook):
    """Stages effects each time it is called, also when it fails afterwards."""

    async def on_termination(self, outcome: RunOutcome) -> Effects:  # type: ignore[override]
        effects = announce(outcome)
        await super().on_termination(outcome)
        return effects


async def until_applied(queue: Queue) -> bytes:
    """Waits for the key that `announce` sets for the run `run`."""

    async def probe() -> bytes | None:
        return await queue.kv_get("ended/run")

    found = await eventually(probe, "the hook's effects")
    assert found is not None
    return found


async def until_settled(queue: Queue) -> None:
    async def nothing_is_left() -> bool:
        stats = (await queue.stats()).queues["workflow"]
        return stats.pending_count + stats.claimed_count + stats.scheduled_count == 0

    await eventually(nothing_is_left, "the end of all work")


@pytest.mark.parametrize("way", ENDS)
async def test_effects_of_a_hook_are_applied_however_the_run_ended(
    queue: Queue, start: StartRuntime, way: bytes
) -> None:
    runtime = await start(end_as_asked, hook=StagingHook())

    await runtime.submit(RunSpec(way, run_id="run"))

    assert await until_applied(queue) == str(ENDS[way]).encode()
    assert [claim.payload for claim in await drain(queue, "ended")] == [b"run"]


async def test_a_plain_hook_stages_effects_too(queue: Queue, start: StartRuntime) -> None:
    runtime = await start(end_as_asked, hook=announce)
    await runtime.submit(RunSpec(b"succeed", run_id="run"))

    assert await until_applied(queue) == b"succeeded"


async def test_effects_are_applied_once_although_the_hook_is_called_again(
    queue: Queue, start: StartRuntime
) -> None:
    hook = StagingHook(failure_count=2)
    runtime = await start(end_as_asked, hook=hook)

    await runtime.submit(RunSpec(b"succeed", run_id="run"))
    await until_applied(queue)

    assert hook.call_count == 3
    assert [claim.payload for claim in await drain(queue, "ended")] == [b"run"]


async def test_effects_of_a_hook_are_applied_when_cancel_returns(queue: Queue) -> None:
    runtime = WorkflowRuntime(queue, end_as_asked, StagingHook())
    handle = await runtime.submit(RunSpec(b"", run_id="run"))

    assert await handle.cancel() is True

    assert await queue.kv_get("ended/run") == b"cancelled"
    assert [claim.payload for claim in await drain(queue, "ended")] == [b"run"]
    # The notification went in the same commit: nobody is told again.
    stats = (await queue.stats()).queues["workflow"]
    assert (stats.pending_count, stats.claimed_count, stats.scheduled_count) == (0, 0, 0)


class OnceBadHook(RecordingHook):
    """Returns what is refused the first time."""

    def __init__(self, bad: Any) -> None:
        super().__init__()
        self.bad = bad

    async def on_termination(self, outcome: RunOutcome) -> Any:
        await super().on_termination(outcome)
        return self.bad if self.call_count == 1 else announce(outcome)


BAD_RETURNS = {
    "wrong type": ("an outcome", "return `None` or `Effects`"),
    "too large": (Effects().kv_put("k", bytes(256 * 1024 + 1)), "262144"),
    "too many": (Effects().enqueue_batch("ended", [b""] * 1001), "1000"),
}


@pytest.mark.parametrize("how", ["worked on", "cancelled"])
@pytest.mark.parametrize("bad", BAD_RETURNS)
async def test_effects_that_are_refused_are_logged_and_the_hook_is_told_again(
    queue: Queue,
    start: StartRuntime,
    caplog: pytest.LogCaptureFixture,
    bad: str,
    how: str,
) -> None:
    returned, text = BAD_RETURNS[bad]
    hook = OnceBadHook(returned)
    runtime = WorkflowRuntime(queue, end_as_asked, hook)
    handle = await runtime.submit(RunSpec(b"succeed", run_id="run"))
    with caplog.at_level(logging.WARNING, "taquba.workflow"):
        if how == "cancelled":
            assert await handle.cancel() is True
            assert hook.call_count == 1
        await start(end_as_asked, hook=hook)
        await until_applied(queue)

    assert hook.call_count == 2
    assert "terminal hook failed: run run" in caplog.text
    assert text in caplog.text
    assert [claim.payload for claim in await drain(queue, "ended")] == [b"run"]


async def test_effects_of_a_hook_that_was_not_reached_are_applied_after_reopening(
    open_queue: OpenQueue, queue: Queue
) -> None:
    async with WorkflowRuntime(
        queue, end_as_asked, RecordingHook(failure_count=1 << 30)
    ) as runtime:
        await (await runtime.submit(RunSpec(b"fail", run_id="run"))).outcome(timeout=20)
    await queue.close()
    again = await open_queue(default_queue_config=QUICK_RETRIES)

    async with WorkflowRuntime(again, end_as_asked, StagingHook()):
        assert await until_applied(again) == b"failed"
    assert len(await drain(again, "ended")) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        (),
        (TerminalStatus.Succeeded,),
        (TerminalStatus.Failed,),
        [TerminalStatus.Failed, TerminalStatus.Cancelled],
        frozenset(TerminalStatus),
    ],
    ids=lambda wanted: "+".join(map(str, wanted)) or "none",
)
async def test_a_hook_hears_of_the_ends_that_it_observes_and_others_cost_no_notification(
    queue: Queue, start: StartRuntime, wanted: Any
) -> None:
    class Choosy(RecordingHook):
        def observes(self) -> Any:
            return wanted

    hook = Choosy()
    runtime = await start(end_as_asked, hook=hook)
    for way in ENDS:
        handle = await runtime.submit(RunSpec(way, run_id=way.decode()))
        await handle.outcome(timeout=20)
    await until_settled(queue)

    expected = {way.decode() for way, status in ENDS.items() if status in wanted}
    assert {outcome.run_id for outcome in hook.outcomes} == expected
    assert hook.call_count == len(expected)
    enqueued = (await queue.stats()).queues["workflow"].enqueued_total
    assert enqueued == len(ENDS) + len(expected)


@pytest.mark.parametrize("wanted", ["succeeded", TerminalStatus.Failed, 1, None, ["failed"]])
async def test_a_hook_that_observes_nonsense_is_refused_at_once(queue: Queue, wanted: Any) -> None:
    class Odd(RecordingHook):
        def observes(self) -> Any:
            return wanted

    with pytest.raises(ArgumentTypeError, match="observes"):
        WorkflowRuntime(queue, end_as_asked, Odd())


class UnpayableError(Exception):
    """What a hook refuses a submission with."""


class CheckingHook(RecordingHook):
    """Refuses runs without an address."""

    def check_submission(self, spec: RunSpec) -> None:
        if "address" not in spec.headers:
            raise UnpayableError(spec.run_id)


class AwaitedCheckingHook(RecordingHook):
    """Does the same after looking something up."""

    async def check_submission(self, spec: RunSpec) -> None:
        await asyncio.sleep(0)
        CheckingHook.check_submission(CheckingHook(), spec)


@pytest.mark.parametrize("hook_class", [CheckingHook, AwaitedCheckingHook])
async def test_a_submission_that_the_hook_refuses_writes_nothing(
    queue: Queue, hook_class: type[RecordingHook]
) -> None:
    runtime = WorkflowRuntime(queue, end_as_asked, hook_class())
    good = RunSpec(b"", run_id="good", headers={"address": "here"})
    commits = (await queue.stats()).commit_count

    with pytest.raises(UnpayableError, match="bad"):
        await runtime.submit_many([good, RunSpec(b"", run_id="bad")])
    with pytest.raises(UnpayableError, match="bad"):
        await runtime.submit(RunSpec(b"", run_id="bad"))

    assert (await queue.stats()).commit_count == commits
    for run_id in ("good", "bad"):
        with pytest.raises(RunNotFoundError):
            await queue.get_run(run_id)
    assert (await runtime.submit(good)).newly_submitted is True
