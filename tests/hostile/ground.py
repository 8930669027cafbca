"""What the calls are made on: an open queue, a runtime, a step in flight, the same for threads.

One of each, used for thousands of calls: what a call has spent (a claim, a run) is replaced before
the next one.
"""

import asyncio
import threading
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import taquba.sync
from taquba import Claim, MemoStore, Queue, QueueReader, QueueStats, RunSpec, WorkflowRuntime
from taquba.memo import Memo
from taquba.store import MemoryStore
from taquba.webhooks import WebhookTerminalHook
from taquba.workflow import RunHandle, Step, StepOutcome

__all__ = ["READY", "Ground"]

READY = "ready"
"""A queue that always has a job, so that nobody waits for one."""
STEPS = "steps"
LEASE_SECONDS = 3600.0


class Ground:
    """Everything that a call of a row may need, open."""

    queue: Queue
    reader: QueueReader
    threads: taquba.sync.Queue
    thread_reader: taquba.sync.QueueReader
    runtime: WorkflowRuntime
    handle: RunHandle
    step: Step
    memo: Memo
    memos: MemoStore
    claim: Claim
    thread_claim: Claim

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._arrived = asyncio.Event()
        self._is_over = asyncio.Event()
        self.closed = asyncio.Event()
        """An event that is set: who is given it as `shutdown` returns at once."""
        self.closed.set()
        self.thread_closed = threading.Event()
        self.thread_closed.set()

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_async_context
        store, other = MemoryStore(), MemoryStore()
        self.queue = await enter(Queue.open(store))
        await self.queue.enqueue("emails", b"for the reader to see")
        self.threads = self._stack.enter_context(taquba.sync.Queue.open(other))
        self.threads.enqueue("emails", b"the same")
        self.reader = await enter(QueueReader.open(store))
        self.thread_reader = self._stack.enter_context(taquba.sync.QueueReader.open(other))
        self.memos = await enter(MemoStore(MemoryStore()))
        self.memo = self.memos.new_memo("run", 0)
        # Submitted to, and never works.
        self.runtime = WorkflowRuntime(self.queue, self._hold, queue_name="idle")
        self.handle = await self.runtime.submit(RunSpec(b"x", run_id="ended"))
        await self.handle.cancel()
        self._stack.callback(self._is_over.set)
        working = WorkflowRuntime(
            self.queue, self._hold, queue_name=STEPS, step_timeout=LEASE_SECONDS, shutdown_timeout=0
        )
        await enter(working)
        await working.submit(RunSpec(b'{"a": 1}'))
        async with asyncio.timeout(20):
            await self._arrived.wait()
        await self.take_claim()
        await self.take_thread_claim()
        await self.refill()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _hold(self, step: Step) -> StepOutcome:
        self.step = step
        self._arrived.set()
        await self._is_over.wait()
        return StepOutcome.Succeed(b"")

    async def take_claim(self) -> None:
        """Claims a job, for settlements that are refused."""
        await self.queue.enqueue("claimed", b"x")
        claim = await self.queue.claim("claimed", LEASE_SECONDS)
        assert claim is not None
        self.claim = claim
        # Claims are written with the next commit: it shall not look like that of a refusal.
        await self.queue.kv_put("settled", b"")

    async def take_thread_claim(self) -> None:
        """The same with the queue for threads."""
        self.threads.enqueue("claimed", b"x")
        claim = self.threads.claim("claimed", LEASE_SECONDS)
        assert claim is not None
        self.thread_claim = claim
        self.threads.kv_put("settled", b"")

    async def refill(self) -> None:
        """Puts a job where one is always to be had."""
        await self.queue.enqueue(READY, b"x")
        self.threads.enqueue(READY, b"x")

    def hook(self, **options: Any) -> WebhookTerminalHook:
        """A hook of this queue."""
        return WebhookTerminalHook(self.queue, "webhooks", **options)

    async def digest(self) -> Any:
        """What a refused call must leave as it is: rows written, and totals, which only grow.

        What waits for its time is not in it: time passes.
        """
        return [
            (stats.row_count, {name: totals(queue) for name, queue in stats.queues.items()})
            for stats in (await self.queue.stats(), self.threads.stats())
        ]


def totals(queue: QueueStats) -> tuple[int, ...]:
    """What a queue has seen."""
    return (
        queue.enqueued_total,
        queue.acked_total,
        queue.retried_total,
        queue.dead_total,
        queue.cancelled_total,
        queue.live_run_count,
    )
