"""A subscription: jobs of a queue pushed to a dispatcher, from its begin to its end.

Invariants:
    1. A subscription that has ended holds no delivery: each was settled or handed back.
    2. When `Subscription.end` returns, what was settled is durable.
"""

import asyncio
import contextlib
from datetime import timedelta
from typing import Final, Never, Self, final

from taquba._delivery._dispatcher import Dispatcher
from taquba.exceptions import ClosedError

__all__ = ["Subscription", "work_until"]

# The task's own timeout comes first; the engine's only catches what blocks the event loop.
_BLOCKED_LOOP_GRACE: Final = timedelta(seconds=5)


@final
class Subscription:
    """Jobs of one queue, on their way to a dispatcher. Made by `Subscription.begin`."""

    def __init__(self, dispatcher: Dispatcher, number: int) -> None:
        self._dispatcher = dispatcher
        self._number = number

    @classmethod
    async def begin(
        cls,
        dispatcher: Dispatcher,
        queue_name: str,
        concurrency: int,
        *,
        observes_runs: bool,
        job_timeout: timedelta | None,
    ) -> Self:
        """Have jobs delivered.

        Args:
            dispatcher: What runs them.
            queue_name: Where they come from.
            concurrency: Most of them in flight.
            observes_runs: Whether runs of this queue have a hook.
            job_timeout: How long one may take before its task is interrupted.
        """
        port = dispatcher.port
        number = await port.call(
            port.native.subscribe,
            dispatcher.start,
            queue_name,
            concurrency,
            observes_runs=observes_runs,
            job_timeout=None if job_timeout is None else job_timeout + _BLOCKED_LOOP_GRACE,
        )
        return cls(dispatcher, number)

    async def end(self, limit: timedelta) -> None:
        """Take nothing new, finish what is in flight, and wait until all of it is durable.

        Args:
            limit: How long that may take; nothing is waited for if the store is lost, because
                nothing could be settled.
        """
        port = self._dispatcher.port
        patience = timedelta()
        # Closing the queue ends the subscription as well, and makes all of it durable.
        with contextlib.suppress(ClosedError):
            try:
                await port.call(port.native.unsubscribe, self._number)
                patience = limit
            finally:
                await self._dispatcher.drain(patience)
                port.native.forget(self._number)
            # Answered when everything sent before it is durable.
            await port.call(port.native.await_room)


async def work_until(shutdown: asyncio.Event | None, lost: "asyncio.Future[Never]") -> None:
    """Wait until the work is to end.

    Args:
        shutdown: Ends it; `None` has it go on until cancelled.
        lost: Fails when the store is lost; see `Port.watching`.

    Raises:
        TaqubaError: What `lost` failed with.
    """
    asked = asyncio.ensure_future(asyncio.Event().wait() if shutdown is None else shutdown.wait())
    try:
        await asyncio.wait((asked, lost), return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
    if lost.done():
        lost.result()
