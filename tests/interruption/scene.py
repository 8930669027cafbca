"""Where a call is made and cancelled: a store, an open queue, and what the call needs beside it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taquba import Claim, MemoStore, OpenOptions, Queue, QueueConfig, RetryJitter, RunSpec
from taquba.store import MemoryStore
from taquba.workflow import Step, StepOutcome, WorkflowRuntime

__all__ = ["LEASE_SECONDS", "Case", "Scene", "opened", "seen"]

Store = MemoryStore | Path

LEASE_SECONDS = 3600.0
_CONFIG = QueueConfig(
    retry_backoff_base=LEASE_SECONDS,
    retry_backoff_max=LEASE_SECONDS,
    retry_jitter=RetryJitter.NONE,
    keep_done_jobs=LEASE_SECONDS,
)


@dataclass
class Scene:
    """One store, opened for one call."""

    store: Store
    path: str
    queue: Queue
    stack: AsyncExitStack
    """Ends what was begun for the call, before the queue is closed."""
    claim: Claim = field(init=False)
    job_id: str = field(init=False)
    runtime: WorkflowRuntime = field(init=False)
    step: Step = field(init=False)
    memos: MemoStore = field(init=False)

    async def claimed(self, count: int = 1) -> None:
        """Claims a job, and has that written."""
        await self.queue.enqueue_batch("emails", [b"x"] * count)
        claims = await self.queue.claim_batch("emails", count, LEASE_SECONDS)
        self.claim, self.job_id = claims[0], claims[0].job_id
        await self.queue.kv_put("settled", b"")

    async def holding(self, *, concurrency: int = 1) -> None:
        """Has a runtime work on a run whose step waits for ever."""
        arrived = asyncio.Event()

        async def hold(step: Step) -> StepOutcome:
            self.step = step
            arrived.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

        self.runtime = WorkflowRuntime(
            self.queue,
            hold,
            concurrency=concurrency,
            step_timeout=LEASE_SECONDS,
            shutdown_timeout=0,
        )
        await self.stack.enter_async_context(self.runtime)
        await self.runtime.submit(RunSpec(b"in", run_id="held"))
        async with asyncio.timeout(20):
            await arrived.wait()
        await self.queue.kv_put("settled", b"")


Prepare = Callable[[Scene], Awaitable[None]]
Call = Callable[[Scene], Awaitable[Any]]
Look = Callable[[Scene], Awaitable[Any]]


async def nothing(scene: Scene) -> None:
    """Nothing is needed, and nothing else is to be looked at."""


@dataclass(frozen=True)
class Case:
    """One call, which is either wholly done or not at all."""

    call: Call
    prepare: Prepare = nothing
    look: Look = nothing
    """What is to be seen of it beside jobs, runs and keys."""
    wakes: str | None = None
    """The queue in which it makes a job claimable."""
    gives_back: bool = False
    """Whether what it has taken goes back when nobody is there to have it, be that a bit later."""
    undo: Callable[[Any], Awaitable[None]] | None = None
    """Ends what it returned."""


async def opened(store: Store, path: str, stack: AsyncExitStack) -> Scene:
    """Opens one of the queues of a store."""
    options = OpenOptions(fsync=False, default_queue_config=_CONFIG)
    queue = await stack.enter_async_context(Queue.open(store, path, options))
    scene = Scene(store, path, queue, AsyncExitStack())
    await stack.enter_async_context(scene.stack)
    return scene


async def seen(queue: Queue) -> dict[str, Any]:
    """All that can be seen of a queue, but for what differs from life to life."""
    jobs = [
        (job.job_id, name, job.state.value, job.attempts, job.last_error, job.is_cancel_requested)
        for name in await queue.list_queues()
        for job in (await queue.list_jobs(name, limit=1000)).jobs
    ]
    runs = [
        (run.run_id, run.state.value, run.step_number, run.attempts, run.error)
        for run in (await queue.list_runs(limit=1000)).runs
    ]
    stats = (await queue.stats()).queues
    totals = {
        name: (one.enqueued_total, one.acked_total, one.dead_total, one.cancelled_total)
        for name, one in stats.items()
        # A queue that a waiting claim has named is there, with nothing in it.
        if one.enqueued_total
    }
    keys = (await queue.kv_scan(limit=1000)).entries
    return {"jobs": jobs, "runs": runs, "totals": totals, "keys": keys}
