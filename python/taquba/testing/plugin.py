"""The pytest plugin: a queue for each test, its time, and seeds.

pytest loads it by its entry point; `-p no:taquba` leaves it out.

Invariants:
    1. All fixtures are plain functions, so they serve tests of pytest-asyncio in both modes, of
       anyio on asyncio, and such as call `asyncio.run`. Each test uses the queue in its own loop.
    2. A test that asks for none of them pays nothing.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

import pytest

from taquba.exceptions import FencedError
from taquba.options import OpenOptions
from taquba.queue import Queue
from taquba.store import MemoryStore, StoreLike
from taquba.testing._clock import VirtualClock

__all__: list[str] = []

_T = TypeVar("_T")

_SEED_MAX: Final = 2**64 - 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("taquba")
    text = "run each test that uses `taquba_seed` with this seed alone"
    group.addoption("--taquba-seed", type=_seed, metavar="SEED", help=text)
    text = "run each of them with the seeds below this, whatever its mark says"
    group.addoption("--taquba-seeds", type=_count, metavar="COUNT", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    text = "taquba_seeds(count): run a test that uses `taquba_seed` with the seeds 0 to count - 1."
    config.addinivalue_line("markers", text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each seed; its id says which."""
    if "taquba_seed" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("taquba_seeds")
    count = 1 if mark is None else _count(*mark.args, **mark.kwargs)
    count = metafunc.config.getoption("taquba_seeds") or count
    only: int | None = metafunc.config.getoption("taquba_seed")
    seeds = range(count) if only is None else (only,)
    metafunc.parametrize("taquba_seed", seeds, ids=lambda seed: f"seed={seed}", indirect=True)


@pytest.fixture
def taquba_seed(request: pytest.FixtureRequest) -> int:
    """A seed, for `ChaosStore` or for a generator of the test's own: 0 if nobody says otherwise.

    `@pytest.mark.taquba_seeds(20)` runs the test with 20 seeds, `--taquba-seeds` with as many as it
    says, `--taquba-seed` with one. The test's id names the seed.
    """
    seed: int = request.param
    return seed


@pytest.fixture
def taquba_store() -> StoreLike:
    """What `taquba_queue` opens: a memory store of the test's own. Override it for another."""
    return MemoryStore()


@pytest.fixture
def taquba_options() -> OpenOptions:
    """How `taquba_queue` is opened. Override it for other options."""
    return OpenOptions()


@pytest.fixture
def taquba_clock() -> VirtualClock:
    """Virtual time, of `taquba_queue` and of each queue that is opened with it."""
    return VirtualClock()


@pytest.fixture
def taquba_queue(
    request: pytest.FixtureRequest, taquba_store: StoreLike, taquba_options: OpenOptions
) -> Iterator[Queue]:
    """An open queue, closed when the test ends.

    Its time is that of `taquba_clock` if the test asks for this too, else that of
    `taquba_options`.
    """
    clock: VirtualClock | None = None
    if "taquba_clock" in request.fixturenames:
        clock = request.getfixturevalue("taquba_clock")
        taquba_options = dataclasses.replace(taquba_options, clock=clock.mock)

    async def open_() -> Queue:
        return await Queue.open(taquba_store, options=taquba_options)

    queue = _in_loop(open_)
    if clock is not None:
        clock.watch(queue)
    yield queue
    # A test that plays a crash opens the store a second time.
    with suppress(FencedError):
        _in_loop(queue.close)


def _in_loop(make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine in a loop of its own, in a thread of its own.

    Not in this thread: `asyncio.run` would leave it without the loop that a plugin has set.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(make())).result()


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed <= _SEED_MAX:
        message = f"give 0 to {_SEED_MAX}"
        raise ValueError(message)
    return seed


def _count(count: int | str) -> int:
    number = int(count)
    if number < 1:
        message = "give at least 1"
        raise ValueError(message)
    return number
