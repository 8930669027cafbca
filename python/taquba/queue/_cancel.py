"""The token by which the holder of a delivery hears that its job or run was cancelled."""

import asyncio
import threading
from typing import final

__all__ = ["CancelToken"]


@final
class CancelToken:
    """Fires when a claimed job, or the run of a step, is cancelled.

    Got from `Claim.cancel_token` or `Step.cancel_token`.

    It may be looked at from any thread and waited for in any event loop.
    """

    __slots__ = ("_is_cancelled", "_lock", "_waiters")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_cancelled = False
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def is_cancelled(self) -> bool:
        """Whether the job, or the run, was cancelled."""
        return self._is_cancelled

    async def wait(self) -> None:
        """Wait until the job, or the run, is cancelled, which may never happen.

        Cancellation: nothing is left behind.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._is_cancelled:
                return
            self._waiters.add(waiter)
        try:
            await waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def __repr__(self) -> str:
        """Show whether it has fired."""
        return f"CancelToken(is_cancelled={self._is_cancelled})"

    def _fire(self) -> None:
        with self._lock:
            self._is_cancelled = True
            waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            loop = waiter.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, waiter)


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
