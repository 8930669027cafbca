"""Fixtures of every area: stores, and queues that are closed when a test ends."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from taquba import MockClock, OpenOptions, Queue
from taquba.exceptions import FencedError
from taquba.store import MemoryStore

Store = MemoryStore | Path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at the end what this machine lacks, and how many tests were skipped for it."""
    reasons = Counter(
        reason.removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if "MISSING" in (reason := report.longrepr[2])
    )
    if reasons:
        terminalreporter.section("NOT TESTED HERE", sep="!", yellow=True, bold=True)
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count} tests skipped. {reason}", yellow=True)


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
            stack.push_async_callback(close, queue)
            return queue

        yield open_


async def close(queue: Queue) -> None:
    """Closes a queue, whoever owns its store by now."""
    with suppress(FencedError):
        await queue.close()


@pytest.fixture
async def queue(open_queue: OpenQueue) -> Queue:
    """An open queue with default options."""
    return await open_queue()


@pytest.fixture
def clock() -> MockClock:
    """Time that only the test moves."""
    return MockClock()


@pytest.fixture
async def timed_queue(open_queue: OpenQueue, clock: MockClock) -> Queue:
    """An open queue whose time is `clock`."""
    return await open_queue(clock=clock)
