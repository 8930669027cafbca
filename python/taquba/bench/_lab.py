"""What a scenario works with: its sizes, its store, its rounds, its payloads.

Invariants:
    1. One round comes first that warms everything up and is in no figure.
    2. The payload of a number is always the same, and no other number has it.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Final, final

from taquba import OpenOptions, Queue
from taquba.bench._places import Place
from taquba.bench._result import NotDoneError, Round
from taquba.store import StoreLike

__all__ = ["NUMBER_BYTES", "Lab", "Seen", "Settings", "fill", "in_lanes", "payload_of"]

NUMBER_BYTES: Final = 8
"""A payload begins with its number, so it has at least so many bytes."""

_FILL_BATCH = 1_000
_FILL_LANES = 8
# What queues are filled with is in flight all together, so batches of large payloads are short.
_FILL_BYTES_MAX = 16 * 1024 * 1024
# A round has fewer jobs if its payloads would be more than this: they may all be in memory.
_ROUND_BYTES_MAX = 1024 * 1024 * 1024


def payload_of(number: int, payload_bytes: int) -> bytes:
    """The payload of a number: the number, and as many bytes more as are missing."""
    return number.to_bytes(NUMBER_BYTES, "big").ljust(payload_bytes, b"x")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What is measured, and how much of it.

    Args:
        store: Where: see `place_of`.
        is_quick: Whether a look will do: about a tenth of the work.
        round_count: Measured rounds of each case, at least 1.
        payload_bytes: Size of a payload, at least `NUMBER_BYTES`.
        in_flight: Calls, jobs or runs that are under way at a time.
        jobs_per_second: The rate that the scenario `steady` offers.
        drift_minutes: How long the scenario `drift` goes on.
        count_max: Most units of work of a round; for tests.
        seconds_max: Most seconds of whatever is bounded by time; for tests.
    """

    store: str | None = None
    is_quick: bool = False
    round_count: int = 3
    payload_bytes: int = 64
    in_flight: int = 512
    jobs_per_second: float = 2_000.0
    drift_minutes: float = 10.0
    count_max: int | None = None
    seconds_max: float | None = None


@final
class Lab:
    """What one scenario works with."""

    def __init__(self, settings: Settings, place: Place) -> None:
        self.settings = settings
        self._place = place

    def count(self, full: int, quick: int) -> int:
        """How many units of work a round has."""
        count = quick if self.settings.is_quick else full
        fitting = max(1, _ROUND_BYTES_MAX // self.settings.payload_bytes)
        return min(count, fitting, self.settings.count_max or count)

    def seconds(self, full: float, quick: float) -> float:
        """How long something goes on that is bounded by time."""
        seconds = quick if self.settings.is_quick else full
        return min(seconds, self.settings.seconds_max or seconds)

    @property
    def round_seconds_max(self) -> float:
        """After so long no call is begun: what a slow store does not get done is not counted."""
        return self.seconds(15.0, 3.0)

    def payload(self, number: int) -> bytes:
        """The payload of a number."""
        return payload_of(number, self.settings.payload_bytes)

    def seen(self, count: int) -> "Seen":
        """A check of so many payloads."""
        return Seen(count, self.settings.payload_bytes)

    def with_payload_bytes(self, payload_bytes: int) -> "Lab":
        """The same lab with other payloads."""
        return Lab(replace(self.settings, payload_bytes=payload_bytes), self._place)

    @contextmanager
    def spot(self) -> Iterator[tuple[StoreLike, str]]:
        """A store and a path in it where nothing is; what is there goes when the block ends."""
        store, path = self._place.fresh()
        try:
            yield store, path
        finally:
            self._place.discard(store)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Queue]:
        """A queue in a store where nothing is; the store goes when the block ends."""
        with self.spot() as (store, path):
            async with Queue.open(store, path, OpenOptions(fsync=True)) as queue:
                yield queue

    async def rounds(self, measure: Callable[[int], Awaitable[Round]]) -> list[Round]:
        """Measures once to warm up, then as often as is wanted; each call gets its own number."""
        await measure(0)
        found = []
        for number in range(1, self.settings.round_count + 1):
            gc.collect()
            found.append(await measure(number))
        return found


@final
class Seen:
    """Checks that each payload comes back once, and is what was sent."""

    def __init__(self, count: int, payload_bytes: int) -> None:
        self._payload_bytes = payload_bytes
        self._flags = bytearray(count)
        self._count = 0

    def add(self, payload: bytes) -> None:
        """One payload came back.

        Raises:
            NotDoneError: Nobody sent it, or it was here before.
        """
        number = int.from_bytes(payload[:NUMBER_BYTES], "big")
        if number >= len(self._flags) or payload != payload_of(number, self._payload_bytes):
            message = f"a payload of {len(payload)} bytes came back that nobody sent"
            raise NotDoneError(message)
        if self._flags[number]:
            message = f"payload {number} came back twice"
            raise NotDoneError(message)
        self._flags[number] = 1
        self._count += 1

    @property
    def is_complete(self) -> bool:
        """Whether all of them came back."""
        return self._count == len(self._flags)

    def check(self) -> None:
        """Refuse to go on if one is missing.

        Raises:
            NotDoneError: Not all of them came back.
        """
        if not self.is_complete:
            message = f"{self._count} of {len(self._flags)} payloads came back"
            raise NotDoneError(message)


async def in_lanes(
    width: int, count: int, call: Callable[[int], Awaitable[None]], seconds_max: float
) -> int:
    """Makes calls side by side, each lane its next one when its last has returned.

    Args:
        width: Most calls at a time.
        count: Most calls at all; they get the numbers from 0.
        call: What is called.
        seconds_max: After so long no call is begun any more.

    Returns:
        How many calls were made; all of them have returned.
    """
    numbers = iter(range(count))
    made_count = 0
    deadline = time.perf_counter() + seconds_max

    async def lane() -> None:
        nonlocal made_count
        while time.perf_counter() < deadline:
            number = next(numbers, None)
            if number is None:
                return
            made_count += 1
            await call(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(width, count)):
            group.create_task(lane())
    return made_count


async def fill(queue: Queue, name: str, payloads: Iterable[bytes], payload_bytes: int) -> None:
    """Enqueues payloads in batches, some of them side by side.

    Args:
        queue: An open queue.
        name: The queue of the jobs.
        payloads: What to enqueue.
        payload_bytes: The size of each.
    """
    left = iter(payloads)
    batch_count = max(1, min(_FILL_BATCH, _FILL_BYTES_MAX // (payload_bytes * _FILL_LANES)))

    async def lane() -> None:
        while batch := [payload for _, payload in zip(range(batch_count), left, strict=False)]:
            await queue.enqueue_batch(name, batch)

    async with asyncio.TaskGroup() as group:
        for _ in range(_FILL_LANES):
            group.create_task(lane())
