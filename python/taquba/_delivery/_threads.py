"""Threads for plain functions: one for each call that runs, kept warm for the next.

Invariants:
    1. A call never waits for a thread: one that outlived its delivery takes no place of another.
    2. The threads are bounded: as many as deliveries at once, and a multiple of that for functions
       that go on although nobody waits for them.
    3. The process ends after the functions do: the threads are the standard library's.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar, final

__all__ = ["AbandonedCallsError", "Threads"]

_R = TypeVar("_R")

# A retried job that hangs each time leaves as many threads as it has attempts; this many at once
# mean that the functions never end, and that more threads would not help.
_ABANDONED_PER_DELIVERY_MAX: Final = 4


@final
class AbandonedCallsError(RuntimeError):
    """Too many plain functions go on after their deliveries ended. It ends the work."""


@final
class Threads:
    """Threads of one worker loop or runtime. Used from one event loop's thread.

    Args:
        queue_name: What the threads are named after.
        concurrency: Most deliveries at once.
    """

    def __init__(self, queue_name: str, concurrency: int) -> None:
        self._queue_name = queue_name
        self._concurrency = concurrency
        self._started_count = 0
        # Each is one thread. Those that rest are added by the threads themselves.
        self._idle: deque[ThreadPoolExecutor] = deque()
        self._abandoned: set[ThreadPoolExecutor] = set()
        self._is_closed = False

    async def run(self, call: Callable[[], _R]) -> _R:
        """Run a call in a thread, and return what it returns.

        Cancellation: the call goes on; nobody waits for it any more.

        Raises:
            AbandonedCallsError: Too many calls go on that nobody waits for.
        """
        thread = self._idle.pop() if self._idle else self._start()
        running = thread.submit(call)
        # The first callback: a thread rests before its result is seen, and is there for the next.
        running.add_done_callback(lambda _: self._rest(thread))
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            self._abandon(thread, running)
            raise

    def close(self) -> None:
        """End the threads that rest, and each other one after its call."""
        self._is_closed = True
        self._end_idle()

    def _start(self) -> ThreadPoolExecutor:
        count_max = _ABANDONED_PER_DELIVERY_MAX * self._concurrency
        if len(self._abandoned) >= count_max:
            message = (
                f"queue `{self._queue_name}`: {len(self._abandoned)} plain functions still run "
                f"although their deliveries ended, the limit is {count_max} "
                f"({_ABANDONED_PER_DELIVERY_MAX} x `concurrency`): bound what they wait for, or "
                "raise the timeout"
            )
            raise AbandonedCallsError(message)
        self._started_count += 1
        name = f"taquba-{self._queue_name}-{self._started_count}"
        return ThreadPoolExecutor(1, thread_name_prefix=name)

    def _abandon(self, thread: ThreadPoolExecutor, running: "Future[_R]") -> None:
        self._abandoned.add(thread)
        # One that ended just now may have come to rest before it was added.
        if running.done():
            self._abandoned.discard(thread)

    def _rest(self, thread: ThreadPoolExecutor) -> None:
        """Keep a thread for the next call. Called by the thread itself."""
        self._abandoned.discard(thread)
        if len(self._idle) >= self._concurrency:
            thread.shutdown(wait=False)
            return
        self._idle.append(thread)
        if self._is_closed:
            self._end_idle()

    def _end_idle(self) -> None:
        while True:
            try:
                thread = self._idle.pop()
            except IndexError:
                return
            thread.shutdown(wait=False)
