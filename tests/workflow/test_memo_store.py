"""A runtime with a store of memos: marks of ends, and the sweep of what is not needed any more."""

import asyncio
import logging

import pytest

from taquba import MemoStore, Queue, RunState, TerminalMarker
from taquba.exceptions import InvalidArgumentError
from taquba.store import MemoryStore
from taquba.workflow import (
    RunOutcome,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    TerminalStatus,
    WorkflowRuntime,
)
from tests.waiting import eventually
from tests.workflow.conftest import StartRuntime
from tests.workflow.hooks import RecordingHook

ENDS = ("succeed", "fail", "cancel", "permanent")


async def remember_and_end(step: Step) -> StepOutcome:
    """Keeps a memo, then ends the run in the way that its id names."""
    await step.memo.put("k", step.payload)
    if step.run_id == "permanent":
        raise StepError.permanent("hopeless")
    verdicts = {
        "fail": StepOutcome.Fail("reason"),
        "cancel": StepOutcome.Cancel("reason"),
    }
    return verdicts.get(step.run_id, StepOutcome.Succeed(b""))


async def markers_of(memos: MemoStore, count: int) -> dict[str, TerminalMarker]:
    async def probe() -> list[TerminalMarker] | None:
        markers = await memos.list_terminal_markers()
        return markers if len(markers) >= count else None

    markers = await eventually(probe, f"{count} marks") or []
    assert len(markers) == count
    return {marker.run_id: marker for marker in markers}


@pytest.mark.parametrize("hook_observes", [True, False])
async def test_each_end_is_marked_with_its_instant_whatever_the_hook_observes(
    queue: Queue, start: StartRuntime, *, hook_observes: bool
) -> None:
    class Choosy(RecordingHook):
        def observes(self) -> bool:
            return hook_observes

    hook = Choosy()
    async with MemoStore(MemoryStore()) as memos:
        runtime = await start(remember_and_end, hook=hook, memo_store=memos)
        for run_id in ENDS:
            await (await runtime.submit(RunSpec(b"v", run_id=run_id))).outcome(timeout=20)
        markers = await markers_of(memos, len(ENDS))
        for run_id in ENDS:
            ended_at = (await runtime.status(run_id)).ended_at
            assert ended_at is not None
            assert markers[run_id].terminal_at_ms == round(ended_at.timestamp() * 1000)
            assert await memos.new_memo(run_id, 0).get("k") == b"v"

        async def all_told() -> bool:
            return hook.call_count == len(ENDS) * hook_observes

        await eventually(all_told, "the hook's notifications")


async def test_a_cancelled_run_is_marked_when_cancel_returns(queue: Queue) -> None:
    hook = RecordingHook()
    async with MemoStore(MemoryStore()) as memos:
        runtime = WorkflowRuntime(queue, remember_and_end, hook, memo_store=memos)
        handle = await runtime.submit(RunSpec(b"", run_id="run"))

        assert await handle.cancel() is True

        assert [marker.run_id for marker in await memos.list_terminal_markers()] == ["run"]
        assert [outcome.status for outcome in hook.outcomes] == [TerminalStatus.Cancelled]


async def test_memos_of_ended_runs_are_swept_and_those_of_live_ones_stay(
    queue: Queue, start: StartRuntime
) -> None:
    begun = asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        if step.run_id == "live":
            await step.memo.put("k", b"kept")
            begun.set()
            await step.cancel_token.wait()
        return await remember_and_end(step)

    async with MemoStore(MemoryStore()) as memos:
        runtime = await start(runner, memo_store=memos, memo_retention=0)
        live = await runtime.submit(RunSpec(b"", run_id="live"))
        await begun.wait()
        # As if it had ended before, under the same id.
        await memos.write_terminal_marker("live", 1)
        await (await runtime.submit(RunSpec(b"v", run_id="succeed"))).outcome(timeout=20)

        async def is_swept() -> bool:
            marked = {marker.run_id for marker in await memos.list_terminal_markers()}
            value = await memos.new_memo("succeed", 0).get("k")
            return marked == {"live"} and value is None

        await eventually(is_swept, "the sweep")
        assert await memos.new_memo("live", 0).get("k") == b"kept"
        await live.cancel()


async def test_without_retention_nothing_is_marked(queue: Queue, start: StartRuntime) -> None:
    async with MemoStore(MemoryStore()) as memos:
        runtime = await start(remember_and_end, memo_store=memos, memo_retention=None)
        await (await runtime.submit(RunSpec(b"v", run_id="run"))).outcome(timeout=20)

        assert (await queue.stats()).queues["workflow"].enqueued_total == 1
        assert await memos.list_terminal_markers() == []
        assert await memos.new_memo("run", 0).get("k") == b"v"


async def test_a_sweep_that_fails_is_logged_and_does_not_end_the_work(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    memos = MemoStore(MemoryStore())
    await memos.close()

    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"fine")

    with caplog.at_level(logging.WARNING, "taquba"):
        async with WorkflowRuntime(queue, runner, memo_store=memos) as runtime:
            handle = await runtime.submit(RunSpec(b""))
            assert (await handle.outcome(timeout=20)).result == b"fine"

            async def is_logged() -> bool:
                return "swept" in caplog.text and "the end is not marked" in caplog.text

            await eventually(is_logged, "the failures in the log")
            assert (await handle.status()).state is RunState.SUCCEEDED


async def test_an_end_is_marked_although_the_hook_fails(queue: Queue, start: StartRuntime) -> None:
    async def hook(_: RunOutcome) -> None:
        raise ConnectionError

    async with MemoStore(MemoryStore()) as memos:
        runtime = await start(remember_and_end, hook=hook, memo_store=memos)
        await runtime.submit(RunSpec(b"v", run_id="run"))

        assert set(await markers_of(memos, 1)) == {"run"}


async def test_the_sweeper_ends_with_the_runtime(queue: Queue) -> None:
    async with MemoStore(MemoryStore()) as memos:
        before = asyncio.all_tasks()
        async with WorkflowRuntime(queue, remember_and_end, memo_store=memos):
            assert len(asyncio.all_tasks() - before) == 1

        assert asyncio.all_tasks() == before


async def test_a_setting_of_memos_that_cannot_be_is_refused_at_once(queue: Queue) -> None:
    with pytest.raises(TypeError, match="memo_store"):
        WorkflowRuntime(queue, remember_and_end, memo_store=MemoryStore())  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="memo_retention"):
        WorkflowRuntime(queue, remember_and_end, memo_retention=-1)
