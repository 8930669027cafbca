"""One piece of work that several wait for: done once, and its failure told to all of them.

Invariants:
    1. While it is under way nobody starts it again: a store that does not answer is asked once,
       not once for each who waits.
    2. It goes on when somebody who waits for it is cancelled.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, final

__all__ = ["Shared"]

_T = TypeVar("_T")


@final
class Shared(Generic[_T]):
    """Work that is done once for all who ask while it is done.

    Args:
        work: Does it.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> None:
        self._work = work
        self._task: asyncio.Task[_T] | None = None

    async def get(self) -> _T:
        """Return what the work under way returns; begin it if it is not."""
        loop = asyncio.get_running_loop()
        task = self._task
        # What began in an event loop that is gone never ends.
        if task is None or task.done() or task.get_loop() is not loop:
            task = self._task = loop.create_task(self._work())
            task.add_done_callback(_look)
        return await asyncio.shield(task)


def _look(task: "asyncio.Task[Any]") -> None:
    # Of a failure that nobody waits for any more, asyncio would log that nobody looked.
    if not task.cancelled():
        task.exception()
