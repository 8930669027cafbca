"""Queues for tests: in memory, gone with the test."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator

from taquba.exceptions import FencedError
from taquba.options import OPEN_DEFAULTS, OpenOptions
from taquba.queue import Queue
from taquba.store import MemoryStore, StoreLike
from taquba.testing._clock import VirtualClock

__all__ = ["open_queue"]


@contextlib.asynccontextmanager
async def open_queue(
    store: StoreLike | None = None,
    *,
    path: str = "taquba",
    options: OpenOptions = OPEN_DEFAULTS,
    clock: VirtualClock | None = None,
) -> AsyncIterator[Queue]:
    """Open a queue for a test, and close it at the end, whoever owns its store by then.

    Args:
        store: As for `Queue.open`; a memory store of its own if absent.
        path: As for `Queue.open`.
        options: As for `Queue.open`.
        clock: The queue's time, instead of `options.clock`.

    Raises:
        TaqubaError: What `Queue.open` raises.

    Example:
        >>> async with open_queue() as queue:
        ...     await queue.enqueue("emails", b"hello")
    """
    if clock is not None:
        options = dataclasses.replace(options, clock=clock.mock)
    queue = await Queue.open(MemoryStore() if store is None else store, path, options)
    if clock is not None:
        clock.watch(queue)
    try:
        yield queue
    finally:
        # A test that plays a crash opens the store a second time.
        with contextlib.suppress(FencedError):
            await queue.close()
