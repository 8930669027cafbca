"""Cancelling an await never leaves half an operation: the call happened, or it did not."""

import asyncio
from typing import Any

import pytest

from taquba import Claim, OpenOptions, Queue
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.conftest import OpenQueue, Store
from tests.waiting import drain

pytestmark = pytest.mark.timeout(60)

# Loop ticks that pass before the cancel: none, during the sending, while the commit is under way.
TICKS = [0, 1, 2, 3, 4, 5, 7, 10, 20, 50]
BATCH_COUNT = 3


async def cancel_after(ticks: int, task: "asyncio.Task[Any]") -> bool:
    """Cancels a task after some ticks; returns whether it had been too late for that."""
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True


async def test_a_cancelled_batch_is_there_whole_or_not_at_all(queue: Queue) -> None:
    returned: dict[int, bool] = {}
    for ticks in TICKS:
        batch = [b"%d" % ticks] * BATCH_COUNT
        task = asyncio.create_task(queue.enqueue_batch("emails", batch))
        returned[ticks] = await cancel_after(ticks, task)

    await queue.enqueue("emails", b"afterwards")
    payloads = [claim.payload for claim in await drain(queue, "emails")]

    counts = {ticks: payloads.count(b"%d" % ticks) for ticks in TICKS}
    assert set(counts.values()) <= {0, BATCH_COUNT}
    assert counts[0] == 0, "the task was cancelled before it began"
    assert all(counts[ticks] == BATCH_COUNT for ticks, ended in returned.items() if ended)
    assert payloads.count(b"afterwards") == 1
    assert len(payloads) == sum(counts.values()) + 1


async def test_a_job_whose_enqueue_was_cancelled_is_claimable_without_reopening(
    queue: Queue,
) -> None:
    task = asyncio.create_task(queue.enqueue("emails", b"x"))
    # One tick: the call was made, its answer is not there yet.
    assert await cancel_after(1, task) is False

    # Calls are carried out in order, so after this one the first is carried out too.
    await queue.enqueue("other", b"")

    assert len(await drain(queue, "emails")) == 1


async def test_a_cancelled_ack_settles_the_claim_or_leaves_it(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    await queue.enqueue_batch("emails", [b"%d" % ticks for ticks in TICKS])
    claims = await queue.claim_batch("emails", len(TICKS), lease=3600.0)
    returned = []
    for ticks, claim in zip(TICKS, claims, strict=True):
        returned.append(await cancel_after(ticks, asyncio.create_task(queue.ack(claim))))
    await queue.enqueue("other", b"")
    stats = (await queue.stats()).queues["emails"]
    await queue.close()

    again = await open_queue()
    left = {claim.payload for claim in await drain(again, "emails")}

    assert len(left) == stats.claimed_count == len(TICKS) - stats.acked_total
    for claim, ended in zip(claims, returned, strict=True):
        assert not (ended and claim.payload in left)


async def test_a_cancelled_submission_is_a_whole_run_or_none(queue: Queue) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.step_number == 0:
            return StepOutcome.Continue(step.payload)
        return StepOutcome.Succeed(step.payload)

    async with WorkflowRuntime(queue, runner) as runtime:
        for ticks in TICKS:
            spec = RunSpec(b"%d" % ticks, run_id=f"run-{ticks}")
            await cancel_after(ticks, asyncio.create_task(runtime.submit(spec)))
        # Submitting again is how a caller finds out; it must give a whole run each time.
        handles = [
            await runtime.submit(RunSpec(b"%d" % ticks, run_id=f"run-{ticks}")) for ticks in TICKS
        ]
        outcomes = [await handle.outcome(timeout=20) for handle in handles]

    assert [outcome.result for outcome in outcomes] == [b"%d" % ticks for ticks in TICKS]
    assert handles[0].newly_submitted is True


async def test_waiting_for_an_outcome_can_be_given_up_and_taken_up_again(queue: Queue) -> None:
    gate = asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        await gate.wait()
        return StepOutcome.Succeed(b"late")

    async with WorkflowRuntime(queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b""))
        for ticks in TICKS:
            assert await cancel_after(ticks, asyncio.create_task(handle.outcome())) is False
        gate.set()
        outcome = await handle.outcome(timeout=20)

    assert outcome.result == b"late"


async def test_an_open_that_is_cancelled_when_the_answer_is_there_closes_the_store(
    store: Store,
) -> None:
    async def open_store() -> Queue:
        return await Queue.open(store, options=OpenOptions(fsync=False))

    for _ in range(5):
        task = asyncio.create_task(open_store())
        await asyncio.sleep(0)
        # The future that the open awaits. No public way leads to it.
        answer: asyncio.Future[Any] | None = task._fut_waiter  # type: ignore[attr-defined] # noqa: SLF001
        assert answer is not None
        # The callback before the task's own: it finds the answer there, and itself cancelled.
        while not answer.done():  # noqa: ASYNC110 - the tick matters
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        # The store is nobody's: whoever asks politely gets it.
        async with Queue.open(store, options=OpenOptions(fsync=False, takeover=False)) as queue:
            await queue.enqueue("emails", b"x")


async def test_a_cancelled_open_does_not_take_the_store_from_the_next_one(store: Store) -> None:
    async def open_store() -> Queue:
        return await Queue.open(store, options=OpenOptions(fsync=False))

    for ticks in TICKS:
        task = asyncio.create_task(open_store())
        if await cancel_after(ticks, task):
            await task.result().close()
            continue

        queue = await open_store()
        # Time for what the cancelled open may still be doing.
        for _ in range(20):
            await queue.enqueue("emails", b"%d" % ticks)
            await asyncio.sleep(0.001)
        await queue.close()

    async with Queue.open(store, options=OpenOptions(fsync=False)) as queue:
        assert len(await drain(queue, "emails")) % 20 == 0


def test_a_loop_that_was_closed_under_a_call_does_not_keep_others_from_the_queue() -> None:
    async def begin() -> tuple[Queue, "asyncio.Task[Claim | None]"]:
        queue = await Queue.open("memory://")
        waiting = asyncio.create_task(queue.claim_with_wait("jobs", timeout=60))
        await asyncio.sleep(0.01)
        return queue, waiting

    async def go_on(queue: Queue) -> list[Claim]:
        async with queue:
            await queue.enqueue("jobs", b"payload")
            return await queue.claim_batch("jobs", 1, lease=30)

    loop = asyncio.new_event_loop()
    queue, waiting = loop.run_until_complete(begin())
    loop.close()
    claims = asyncio.run(go_on(queue))

    assert [claim.payload for claim in claims] == [b"payload"]
    assert not waiting.done()
