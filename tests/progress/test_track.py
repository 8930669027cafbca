"""Following batches of runs to their end."""

import asyncio
import weakref

import pytest

from taquba import Queue, RunSpec, Step, StepOutcome, WorkflowRuntime
from taquba.exceptions import ClosedError, InvalidArgumentError, InvalidRunIdError
from taquba.progress import Progress, Tracker, track
from tests.conftest import OpenQueue
from tests.waiting import eventually


async def run(step: Step) -> StepOutcome:
    """Ends as its input says; `wait` waits for its cancellation."""
    if step.payload == b"wait":
        return StepOutcome.ContinueAfter(b"wait", delay=3600)
    if step.payload == b"fail":
        return StepOutcome.Fail("as asked")
    if step.payload == b"cancel":
        return StepOutcome.Cancel("as asked")
    return StepOutcome.Succeed(b"x" * 100)


def ends(progress: Progress) -> tuple[int, int, int, int]:
    return (
        progress.succeeded_count,
        progress.failed_count,
        progress.cancelled_count,
        progress.missing_count,
    )


async def test_runs_are_counted_by_their_ends(queue: Queue) -> None:
    async with WorkflowRuntime(queue, run) as runtime:
        inputs = [b"ok"] * 5 + [b"fail"] * 3 + [b"cancel"] * 2
        handles = await runtime.submit_many(RunSpec(each) for each in inputs)

        told = [progress async for progress in track(handles, interval=0.02)]

    assert ends(told[-1]) == (5, 3, 2, 0)
    assert told[-1].is_done
    assert (told[-1].total_count, told[-1].live_count, told[-1].eta_seconds) == (10, 0, 0.0)
    assert [progress.is_done for progress in told[:-1]] == [False] * (len(told) - 1)
    counts = [progress.ended_count for progress in told]
    assert counts == sorted(counts)


async def test_runs_that_have_ended_are_counted_from_their_ids(queue: Queue) -> None:
    async with WorkflowRuntime(queue, run) as runtime:
        for handle in await runtime.submit_many(RunSpec(b"", run_id=f"r-{n}") for n in range(3)):
            await handle.outcome(timeout=20)

    progress = await track([f"r-{n}" for n in range(3)], queue=queue).finish()

    assert ends(progress) == (3, 0, 0, 0)


async def test_a_run_that_is_not_there_counts_as_missing(queue: Queue) -> None:
    progress = await track(["nobody", "nobody-else"], queue=queue).finish()

    assert ends(progress) == (0, 0, 0, 2)
    assert "2 missing" in str(progress)


async def test_a_run_that_is_there_twice_counts_twice(queue: Queue) -> None:
    async with WorkflowRuntime(queue, run) as runtime:
        handle = await runtime.submit(RunSpec(b""))
        progress = await track([handle, handle], interval=0.02).finish()

    assert ends(progress) == (2, 0, 0, 0)


async def test_no_runs_are_done_at_once(queue: Queue) -> None:
    told = [progress async for progress in track([], queue=queue)]

    assert [(progress.total_count, progress.is_done) for progress in told] == [(0, True)]


async def test_live_runs_are_told_of_again_and_again(queue: Queue) -> None:
    async with WorkflowRuntime(queue, run) as runtime:
        handles = await runtime.submit_many([RunSpec(b"wait"), RunSpec(b"ok")])
        told: list[Progress] = []
        async for progress in track(handles, interval=0.02):
            told.append(progress)
            if len(told) > 3 and progress.ended_count == 1:
                await handles[0].cancel()

    assert ends(told[-1]) == (1, 0, 1, 0)


async def test_a_loop_that_is_left_takes_back_what_it_asked_for(queue: Queue) -> None:
    async with WorkflowRuntime(queue, run) as runtime:
        handles = await runtime.submit_many(RunSpec(b"wait") for _ in range(20))
        tracker = track(handles, interval=0.02)
        gone = weakref.ref(tracker)
        async for _ in tracker:
            break

        assert len(waits(tracker)) == 20
        futures = list(waits(tracker))
        del tracker

        assert gone() is None
        assert all(future.cancelled() for future in futures)


def waits(tracker: Tracker) -> list["asyncio.Future[object]"]:
    """What is waited for."""
    tally = tracker._tally  # noqa: SLF001 - what must not stay behind
    assert tally is not None
    return list(tally._waiting)  # type: ignore[arg-type]  # noqa: SLF001 - the same


def test_a_tracker_that_outlives_its_loop_is_dropped_quietly() -> None:
    async def begin() -> Tracker:
        async with Queue.open("memory://") as queue:
            runtime = WorkflowRuntime(queue, run)
            tracker = track([await runtime.submit(RunSpec(b"wait"))])
            assert (await anext(tracker)).live_count == 1
            return tracker

    tracker = asyncio.run(begin())

    tracker.close()
    with pytest.raises(StopAsyncIteration):
        asyncio.run(advance(tracker))


async def advance(tracker: Tracker) -> Progress:
    """The next progress."""
    return await anext(tracker)


async def test_a_cancelled_task_takes_back_what_it_asked_for(queue: Queue) -> None:
    async with WorkflowRuntime(queue, run) as runtime:
        handles = await runtime.submit_many(RunSpec(b"wait") for _ in range(5))
        tracker = track(handles, interval=3600)
        await anext(tracker)
        futures = waits(tracker)
        task = asyncio.create_task(tracker.finish())
        await asyncio.sleep(0)

        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(futures) == 5
        assert all(future.cancelled() for future in futures)
        with pytest.raises(StopAsyncIteration):
            await anext(tracker)


async def test_the_runs_go_on_when_nobody_tracks_them(queue: Queue) -> None:
    async with WorkflowRuntime(queue, run) as runtime:
        handles = await runtime.submit_many(RunSpec(b"ok") for _ in range(5))
        async for _ in track(handles):
            break

        assert ends(await track(handles, interval=0.02).finish()) == (5, 0, 0, 0)
        assert (await handles[0].outcome(timeout=20)).result == b"x" * 100


async def test_a_closed_queue_ends_the_tracking(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    runtime = WorkflowRuntime(queue, run)
    handle = await runtime.submit(RunSpec(b"wait"))
    tracker = track([handle], interval=3600)
    await anext(tracker)

    await queue.close()

    with pytest.raises(ClosedError):
        await anext(tracker)
    with pytest.raises(StopAsyncIteration):
        await anext(tracker)


async def test_nothing_is_kept_of_a_run_that_has_ended(queue: Queue) -> None:
    async with WorkflowRuntime(queue, run) as runtime:
        handles = await runtime.submit_many([RunSpec(b"ok"), RunSpec(b"wait")])
        tracker = track(handles, interval=0.02)

        async def one_left() -> bool:
            return (await anext(tracker)).live_count == 1

        await eventually(one_left, "the end of one run")
        assert len(waits(tracker)) == 1
        tracker.close()


async def test_a_tracker_that_has_told_everything_says_so(queue: Queue) -> None:
    tracker = track([], queue=queue)
    await tracker.finish()

    with pytest.raises(RuntimeError, match="call `track` again"):
        await tracker.finish()


async def test_odd_arguments_are_refused(queue: Queue) -> None:
    with pytest.raises(InvalidArgumentError, match="`interval`"):
        track([], interval=0)
    with pytest.raises(InvalidArgumentError, match="`window`"):
        track([], window=0.5)
    with pytest.raises(InvalidArgumentError, match="`queue`"):
        track(["run-1"])
    with pytest.raises(InvalidRunIdError):
        track(["no run id"], queue=queue)
    with pytest.raises(TypeError, match="`runs`"):
        track([7], queue=queue)  # type: ignore[list-item]
