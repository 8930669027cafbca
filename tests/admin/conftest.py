"""Fixtures: a queue in memory with a clock of its own, and somebody who asks its app."""

from collections.abc import AsyncIterator

import pytest

from taquba import MockClock, OpenOptions, Queue, QueueConfig, QueueReader
from taquba.admin import _attention, _sampler, create_app
from taquba.store import MemoryStore
from taquba.testing import open_queue
from tests.admin.asking import Asker, asking


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes somebody who looks for a while, and waits between changes, is done at once."""
    monkeypatch.setattr(_attention, "_LOOKED_SECONDS_MIN", 0.0)
    monkeypatch.setattr(_sampler, "_PAUSE_SECONDS", 0.0)


@pytest.fixture
def memory() -> MemoryStore:
    """The store of the test."""
    return MemoryStore()


@pytest.fixture
async def owned(memory: MemoryStore, clock: MockClock) -> AsyncIterator[Queue]:
    """Its queue, whose time the test moves."""
    options = OpenOptions(clock=clock, queue_configs={"strict": QueueConfig(max_attempts=1)})
    async with open_queue(memory, options=options) as queue:
        yield queue


@pytest.fixture
async def asker(owned: Queue) -> AsyncIterator[Asker]:
    """Asks the owner's app."""
    async with asking(create_app(owned)) as asker:
        yield asker


@pytest.fixture
async def reading(memory: MemoryStore, owned: Queue) -> AsyncIterator[Asker]:
    """Asks the app of a reader of the same store."""
    del owned
    async with QueueReader.open(memory) as reader, asking(create_app(reader)) as asker:
        yield asker
