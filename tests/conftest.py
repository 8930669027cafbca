"""Fixtures of every area: stores, and queues that are closed when a test ends."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from taquba import OpenOptions, Queue
from taquba.store import MemoryStore

Store = MemoryStore | Path


class OpenQueue(Protocol):
    """Opens the test's store; the same store at each call."""

    async def __call__(self, **options: Any) -> Queue: ...


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """One store for the test, in memory and on local disk."""
    return MemoryStore() if request.param == "memory" else tmp_path / "store"


@pytest.fixture
async def open_queue(store: Store) -> AsyncIterator[OpenQueue]:
    """Opens the test's store with the given `OpenOptions`; what is still open is closed at the end.

    Without fsync: no test of this fixture loses power, and the crash tests open their own.
    """
    async with AsyncExitStack() as stack:

        async def open_(**options: Any) -> Queue:
            queue = await Queue.open(store, options=OpenOptions(fsync=False, **options))
            stack.push_async_callback(queue.close)
            return queue

        yield open_


@pytest.fixture
async def queue(open_queue: OpenQueue) -> Queue:
    """An open queue with default options."""
    return await open_queue()
