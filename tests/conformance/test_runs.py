"""Runs and their memos, on every store."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from taquba import MemoStore, QueueReader, RunState
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.conformance.backends import Place
from tests.waiting import eventually

LARGE_BYTES = 300 * 1024


async def unused(_: Step) -> StepOutcome:
    raise AssertionError


async def test_memos_of_a_step_are_there_for_its_next_delivery_after_reopening(
    place: Place,
) -> None:
    computed: list[str] = []
    reopened = asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        for key, size in (("small", 3), ("large", LARGE_BYTES)):

            def compute(key: str = key, size: int = size) -> bytes:
                computed.append(key)
                return b"x" * size

            value = await step.memo.get_or_compute(key, compute)
            assert len(value) == size
        if not reopened.is_set():
            raise ConnectionError
        return StepOutcome.Succeed(b"done")

    queue = await place.open()
    async with WorkflowRuntime(queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b"", run_id="run"))

        async def is_waiting() -> bool:
            return (await handle.status()).state is RunState.SCHEDULED

        await eventually(is_waiting, "a delivery to fail")
    await queue.close()

    reopened.set()
    again = await place.open()
    async with WorkflowRuntime(again, runner) as runtime:
        outcome = await runtime.handle("run").outcome(timeout=50)

    assert outcome.result == b"done"
    assert computed == ["small", "large"]


async def test_a_cancelled_run_stays_cancelled_and_a_reader_sees_it(place: Place) -> None:
    queue = await place.open()
    runtime = WorkflowRuntime(queue, unused)
    later = datetime.now(UTC) + timedelta(days=1)
    await runtime.submit_many(
        RunSpec(b"", run_id=run_id, run_at=later) for run_id in ("stopped", "kept")
    )
    assert await runtime.cancel("stopped")
    assert not await runtime.cancel("stopped")
    await queue.close()

    async with QueueReader.open(place.store, place.path) as reader:
        page = await reader.list_runs()

    states = [(run.run_id, run.state) for run in page.runs]
    assert states == [("kept", RunState.SCHEDULED), ("stopped", RunState.CANCELLED)]


async def test_a_store_of_memos_keeps_and_clears_and_marks(place: Place) -> None:
    async with MemoStore(place.store, f"{place.path}-memos") as memos:
        for run_id in ("run", "run-suffix"):
            memo = memos.new_memo(run_id, 0)
            for key in ("", "a/b", "..", "\ud800"):
                await memo.put(key, key.encode("utf-8", "surrogatepass"))
        now_ms = time.time_ns() // 1_000_000
        for _ in range(2):
            await memos.write_terminal_marker("run", now_ms)

        assert await memos.new_memo("run", 0).get("..") == b".."
        assert await memos.clear_memos_for_run("run") == 4
        assert await memos.new_memo("run", 0).get("..") is None
        assert await memos.new_memo("run-suffix", 0).get("..") == b".."
        (marker,) = await memos.list_terminal_markers()
        assert (marker.run_id, marker.terminal_at_ms) == ("run", now_ms)
        await memos.delete_terminal_marker(marker)
        await memos.delete_terminal_marker(marker)
        assert await memos.list_terminal_markers() == []


async def test_memos_of_ended_runs_are_swept_from_a_store_and_others_stay(place: Place) -> None:
    async def runner(step: Step) -> StepOutcome:
        await step.memo.put("k", b"v")
        return StepOutcome.Succeed(b"")

    queue = await place.open()
    async with MemoStore(place.store, f"{place.path}-memos") as memos:
        await memos.new_memo("other", 0).put("k", b"v")
        async with WorkflowRuntime(queue, runner, memo_store=memos, memo_retention=0.1) as runtime:
            await (await runtime.submit(RunSpec(b"", run_id="run"))).outcome(timeout=50)

            async def is_swept() -> bool:
                return await memos.new_memo("run", 0).get("k") is None

            await eventually(is_swept, "the sweep")
        assert await memos.new_memo("other", 0).get("k") == b"v"
