"""A subscription: jobs of a queue pushed to a dispatcher, from its begin to its end.

Invariants:
    1. A subscription that has ended holds no delivery: each was settled or handed back.
    2. When `Subscription.end` returns, what was settled is durable.
"""

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, ClassVar, Final, Never, Self, final

from taquba import _taquba
from taquba._delivery._dispatcher import Dispatcher
from taquba._taquba import MemoScope
from taquba.exceptions import ClosedError

__all__ = ["BLOCKED_LOOP_GRACE", "Subscription", "work_until"]

BLOCKED_LOOP_GRACE: Final[timedelta] = timedelta(seconds=5)
"""The task's own timeout comes first; the engine's only catches what blocks the event loop."""


@final
class Subscription:
    """Jobs of one queue, on their way to a dispatcher. Made by `Subscription.begin`."""

    alive: "ClassVar[weakref.WeakSet[Subscription]]" = weakref.WeakSet()  # noqa: RUF012 - it is one
    """Those that have not begun to end: a test that moves the time has to know who works."""

    def __init__(
        self, dispatcher: Dispatcher, queue_name: str, number: int, shutdown_timeout: timedelta
    ) -> None:
        self.port = dispatcher.port
        self.queue_name = queue_name
        self._dispatcher = dispatcher
        self._number = number
        self._shutdown_timeout = shutdown_timeout
        self._stopping: asyncio.Future[None] | None = None
        self.failed = dispatcher.failed
        """Fails when the work cannot go on. Nothing new is delivered then."""
        self.failed.add_done_callback(self._stop_failed)
        self.alive.add(self)

    @classmethod
    async def begin(  # noqa: PLR0913 - one per field of the command
        cls,
        dispatcher: Dispatcher,
        queue_name: str,
        concurrency: int,
        *,
        observes_runs: Collection[str] = (),
        memos: Callable[[MemoScope], object] | None = None,
        leases: Callable[[MemoScope], object] | None = None,
        job_timeout: timedelta | None,
        shutdown_timeout: timedelta,
    ) -> Self:
        """Have jobs delivered.

        Cancellation: the subscription is ended if it was begun by then.

        Args:
            dispatcher: What runs them.
            queue_name: Where they come from.
            concurrency: Most of them in flight.
            observes_runs: Names of the ends of this queue's runs that a hook hears of.
            memos: Makes `Step.memo`.
            leases: Makes `Step.lease`.
            job_timeout: How long one may take before its task is interrupted.
            shutdown_timeout: How long those in flight may take at the end.
        """
        port = dispatcher.port
        answer = port.call(
            port.native.subscribe,
            dispatcher.start,
            queue_name,
            concurrency,
            observes_runs=list(observes_runs),
            memos=memos,
            leases=leases,
            job_timeout=None if job_timeout is None else _with_grace(job_timeout),
        )
        try:
            number = await answer
        except asyncio.CancelledError:
            # Answered in the tick in which the caller was cancelled: deliveries may run already.
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                await cls(dispatcher, queue_name, answer.result(), shutdown_timeout).end()
            raise
        return cls(dispatcher, queue_name, number, shutdown_timeout)

    async def end(self) -> None:
        """Take nothing new, finish what is in flight, and wait until all of it is durable.

        Nothing is waited for if the store is lost, because nothing could be settled.
        """
        self.alive.discard(self)
        port = self.port
        patience = timedelta()
        # Closing the queue ends the subscription as well, and makes all of it durable.
        with contextlib.suppress(ClosedError):
            try:
                await self._stop()
                patience = self._shutdown_timeout
            finally:
                port.native.forget(self._number)
                await self._dispatcher.drain(patience)
                _look_at(self.failed)
            # Answered when everything sent before it is durable.
            await port.call(port.native.await_room)

    def _stop_failed(self, _: "asyncio.Future[Never]") -> None:
        # Of a closed queue nothing is delivered any more.
        with contextlib.suppress(ClosedError):
            self._stop()

    def _stop(self) -> "asyncio.Future[None]":
        """Have nothing new delivered."""
        if self._stopping is None:
            self._stopping = self.port.call(self.port.native.unsubscribe, self._number)
        return self._stopping


def _with_grace(job_timeout: timedelta) -> timedelta:
    return min(job_timeout + BLOCKED_LOOP_GRACE, _taquba.DURATION_MAX)


def _look_at(failed: "asyncio.Future[Never]") -> None:
    """Of a future that has failed, asyncio wants to know that somebody looked."""
    if failed.done() and not failed.cancelled():
        failed.exception()


async def work_until(shutdown: asyncio.Event | None, *failures: "asyncio.Future[Never]") -> None:
    """Wait until the work is to end.

    Args:
        shutdown: Ends it; `None` has it go on until cancelled.
        *failures: Fail when the work cannot go on; see `Port.watching` and `Subscription.failed`.

    Raises:
        TaqubaError: What one of `failures` failed with, such as this.
        AbandonedCallsError: The same.
    """
    asked = asyncio.ensure_future(asyncio.Event().wait() if shutdown is None else shutdown.wait())
    try:
        ends: set[asyncio.Future[Any]] = {asked, *failures}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
    for failed in failures:
        if failed.done():
            failed.result()
