"""Loops, closes and deliveries, cancelled at each turn: what they held is free again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from taquba import (
    Claim,
    EnqueueOptions,
    JobState,
    MemoStore,
    NewJob,
    Queue,
    QueueStats,
    RunSpec,
    WorkflowRuntime,
    run_worker,
)
from taquba.store import MemoryStore
from taquba.webhooks import WebhookWorker
from taquba.workflow import Step, StepOutcome
from tests.interruption.scene import opened, seen
from tests.waiting import eventually
from tests.webhooks.conftest import job_for, worker_for
from tests.webhooks.receiver import answer, receiving

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]

# While it begins, while it works, and while it waits for more.
TURNS = [*range(8), 10, 14, 20, 30, 45, 70]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Interrupted deliveries are logged, and here all of them are."""
    caplog.set_level(logging.ERROR, "taquba")


async def cut(turns: int, call: Awaitable[Any]) -> None:
    """Cancels a call after so many turns, and sees it to its end."""
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))


async def succeed(step: Step) -> StepOutcome:
    await asyncio.sleep(0)
    return StepOutcome.Succeed(step.payload)


async def entered(runtime: WorkflowRuntime) -> None:
    async with runtime:
        await asyncio.sleep(30)


async def worked(queue: Queue) -> None:
    async def work(job: Claim) -> None:
        await asyncio.sleep(0)

    await run_worker(queue, "workflow", work, concurrency=2)


LOOPS: dict[str, Callable[[Queue, WorkflowRuntime], Awaitable[None]]] = {
    "run_worker": lambda queue, _: worked(queue),
    "WorkflowRuntime.run": lambda _, runtime: runtime.run(),
    "async with WorkflowRuntime": lambda _, runtime: entered(runtime),
}


@pytest.mark.parametrize("name", LOOPS)
async def test_a_cancelled_loop_holds_nothing_and_loses_nothing(name: str) -> None:
    for turns in TURNS:
        before = asyncio.all_tasks()
        async with AsyncExitStack() as stack:
            scene = await opened(MemoryStore(), "taquba", stack)
            runtime = WorkflowRuntime(scene.queue, succeed, concurrency=2)
            if name == "run_worker":
                await scene.queue.enqueue_batch("workflow", [b"x"] * 3)
            else:
                await runtime.submit_many([RunSpec(b"x", run_id=f"run-{n}") for n in range(3)])

            await cut(turns, LOOPS[name](scene.queue, runtime))

            # Cancelled as it begins, it may be over before the engine has heard of that.
            stats = await nothing_held(scene.queue)
            waiting = stats.pending_count + stats.scheduled_count
            assert stats.dead_count == 0, turns
            assert waiting + stats.acked_total == 3, turns
            # The same runtime may begin again, and does what is left.
            if name != "run_worker":
                async with runtime:
                    outcomes = [await runtime.handle(f"run-{n}").outcome(20) for n in range(3)]
                assert {str(outcome.status) for outcome in outcomes} == {"succeeded"}, turns
        assert asyncio.all_tasks() == before, turns


async def nothing_held(queue: Queue) -> QueueStats:
    """The counts of the queue of the loops, once none of its jobs is claimed."""

    async def probe() -> list[QueueStats]:
        stats = (await queue.stats()).queues["workflow"]
        return [] if stats.claimed_count else [stats]

    [stats] = await eventually(probe, "all jobs to be handed back")
    return stats


async def test_a_cancelled_close_closes(tmp_path: Path) -> None:
    for turns in TURNS:
        path = f"after-{turns}"
        async with AsyncExitStack() as stack:
            scene = await opened(tmp_path, path, stack)
            await scene.queue.enqueue("emails", b"x")
            enqueueing = asyncio.ensure_future(scene.queue.enqueue("emails", b"y"))
            await asyncio.sleep(0)

            await cut(turns, scene.queue.close())

            await scene.queue.close()
            [added] = await asyncio.gather(enqueueing, return_exceptions=True)
        async with AsyncExitStack() as stack:
            again = await opened(tmp_path, path, stack)
            found = len((await again.queue.list_jobs("emails", JobState.PENDING)).jobs)
            assert found == 2 if isinstance(added, str) else found in {1, 2}, turns


async def test_a_cancelled_close_of_a_store_of_memos_closes() -> None:
    store = MemoryStore()
    for turns in TURNS[:6]:
        memos = MemoStore(store)
        putting = asyncio.ensure_future(memos.new_memo("run", turns).put("k", b"x"))
        await asyncio.sleep(0)

        await cut(turns, memos.close())

        await memos.close()
        await putting
        async with MemoStore(store) as again:
            assert await again.new_memo("run", turns).get("k") == b"x", turns


async def test_a_cancelled_delivery_leaves_its_place_to_the_next() -> None:
    async with receiving(answer(200)) as receiver, Queue.open(MemoryStore()) as queue:
        worker = worker_for(receiver, host_concurrency=1)
        for turns in TURNS:
            before = asyncio.all_tasks()
            claim = await delivery(queue, receiver)

            await cut(turns, worker.process(claim))
            async with asyncio.timeout(20):
                await worker.process(claim)

            await queue.ack(claim)
            assert await doors(worker) == 0, turns
            # The receiver's own tasks end by themselves.
            left = {task for task in asyncio.all_tasks() - before if "serve" not in repr(task)}
            assert left == set(), turns
        assert (await seen(queue))["totals"]["webhooks"][1] == len(TURNS)


async def delivery(queue: Queue, receiver: Any) -> Claim:
    await queue.enqueue_batch("webhooks", [job_for(receiver)])
    claim = await queue.claim("webhooks", 600)
    assert claim is not None
    return claim


async def doors(worker: WebhookWorker) -> int:
    """The doors that deliveries have left open."""
    return len(worker._ports)  # noqa: SLF001 - no user sees them, and descriptors are few


async def test_a_close_while_a_given_up_batch_is_being_read_costs_no_job_an_attempt(
    tmp_path: Path,
) -> None:
    once = EnqueueOptions(max_attempts=1)
    # The one in the middle has to be read while the one behind it is at hand.
    jobs = [NewJob(b"0", once), NewJob(bytes(4_000_000), once), NewJob(b"2", once)]
    for turns in range(4):
        path = f"after-{turns}"
        async with AsyncExitStack() as stack:
            scene = await opened(tmp_path, path, stack)
            await scene.queue.enqueue_batch("emails", jobs)
            claiming = asyncio.ensure_future(scene.queue.claim_batch("emails", 3))
            for _ in range(turns):
                await asyncio.sleep(0)
            has_seen = claiming.done()
            claiming.cancel()
            await scene.queue.close()
            await asyncio.wait((claiming,))
        async with AsyncExitStack() as stack:
            again = await opened(tmp_path, path, stack)
            found = (await again.queue.list_jobs("emails")).jobs
            attempts = 1 if has_seen else 0
            assert [job.attempts for job in found] == [attempts] * 3, turns
