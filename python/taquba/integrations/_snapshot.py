"""One look at all that is counted, taken on an event loop or from any thread.

A collector of metrics is asked in a thread of its own, or on the event loop's thread, where waiting
for that loop would be waiting for itself. So whoever cannot await has the look taken on the event
loop behind `taquba.sync`: a queue answers on several loops. It works while the service's own loop
is busy, which is when people look at metrics.

Invariants:
    1. Taking a look never raises, and ends half a second after its timeout at the latest: what
       cannot be seen is `None`. One store that hangs takes nothing from the others.
    2. The figures of one store are of one moment, but for the ages, which follow at once. An age
       that does not read is left out, and no more.
    3. That a store is down is told once, however many look at it.
"""

import asyncio
import concurrent.futures
import logging
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final
from weakref import WeakKeyDictionary

from taquba import Metrics, Queue, StorageMetric, sync
from taquba._checks import check_instance, refuse
from taquba._redact import redact_text
from taquba.integrations._ownership import Ownership
from taquba.queue._queue import wall_clock
from taquba.sync._loop import loop

__all__ = ["TIMEOUT_SECONDS", "Queues", "Seen", "Snapshot", "Source"]

_logger = logging.getLogger("taquba.metrics")

TIMEOUT_SECONDS: Final = 5.0
"""How long a look may take: half of what a scrape of Prometheus waits for."""

# So much longer waits whoever waits for all stores: each of them ends by itself before.
_GRACE_SECONDS: Final = 0.5

# Each age reads a job, with its payload: of more queues a look would be expensive.
_AGED_QUEUES_MAX: Final = 16
_AGE_TIMEOUT_SECONDS: Final = 1.0
_AGES_TIMEOUT_SECONDS: Final = 3.0

Queues = Queue | sync.Queue | Mapping[str, Queue | sync.Queue]
"""An open queue; or several, by the name that each store is to have in the label `store`."""


@final
@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one store has counted.

    Args:
        metrics: The engine's figures.
        ages: For how many seconds the oldest claimable job has waited, by queue name.
        storage: What the storage engine counts, by name.
    """

    metrics: Metrics
    ages: Mapping[str, float]
    storage: Mapping[str, Sequence[StorageMetric]]


@final
@dataclass(frozen=True, slots=True)
class Seen:
    """One store, and what was seen of it.

    Args:
        labels: The values of `Source.label_names`.
        snapshot: `None` if it did not answer, or is closed.
    """

    labels: tuple[str, ...]
    snapshot: Snapshot | None


@final
class Source:
    """Where looks are taken.

    Args:
        queues: One queue, or several by name.

    Raises:
        ArgumentTypeError: It is neither.
        InvalidArgumentError: There is none in it.
    """

    def __init__(self, queues: Queues) -> None:
        named = queues if isinstance(queues, Mapping) else {"": queues}
        if not named:
            refuse("queues", named, "give at least one queue")
        self.label_names = ("store",) if isinstance(queues, Mapping) else ()
        self._stores = [_Store(name, queue) for name, queue in named.items()]

    async def take(self, within: float | None = None) -> list[Seen]:
        """Look at all stores at once, on the running loop.

        Args:
            within: How long each may take, in seconds; `TIMEOUT_SECONDS` if absent.
        """
        seconds = TIMEOUT_SECONDS if within is None else within
        snapshots = await asyncio.gather(*(store.take(seconds) for store in self._stores))
        return self._seen(snapshots)

    def take_blocking(self, timeout: float | None = None) -> list[Seen]:
        """Look at all stores, from any thread.

        Args:
            timeout: How long each may take, in seconds; `TIMEOUT_SECONDS` if absent.
        """
        seconds = TIMEOUT_SECONDS if timeout is None else timeout
        try:
            events = loop()
        except RuntimeError as error:
            # The process is ending, or a blocking call was made inside taquba's own thread.
            return self._nothing(str(error))
        looking = self.take(seconds)
        try:
            taking = asyncio.run_coroutine_threadsafe(looking, events)
        except RuntimeError as error:
            looking.close()
            return self._nothing(str(error))
        try:
            return taking.result(seconds + _GRACE_SECONDS)
        except (TimeoutError, concurrent.futures.CancelledError):
            taking.cancel()
            return self._nothing(f"no answer within {seconds:g} s")

    def _nothing(self, reason: str) -> list[Seen]:
        _logger.warning("no metrics: %s", reason)
        return self._seen([None] * len(self._stores))

    def _seen(self, snapshots: Sequence[Snapshot | None]) -> list[Seen]:
        return [
            Seen((store.name,) if self.label_names else (), snapshot)
            for store, snapshot in zip(self._stores, snapshots, strict=True)
        ]


@final
class _Store:
    def __init__(self, name: str, queue: Queue | sync.Queue) -> None:
        check_instance("store", name, str)
        self.name = name
        wrapped = queue.wrapped if isinstance(queue, sync.Queue) else queue
        check_instance("queue", wrapped, Queue)
        self._queue = wrapped
        self._known = _known_of(wrapped)

    async def take(self, within: float) -> Snapshot | None:
        """Look at it; `None` if that fails."""
        known = self._known
        try:
            snapshot = await _look(self._queue, known.ownership, within)
        except Exception as error:  # noqa: BLE001 - whatever it is, a look does not raise
            # Told once, not with each look.
            if not known.is_down:
                _logger.warning("no metrics of %r: %s", self._queue, _reason(error))
            known.is_down = True
            return None
        known.is_down = False
        return snapshot


@final
class _Known:
    """What is remembered of a queue from one look to the next, whoever takes them."""

    def __init__(self) -> None:
        self.ownership = Ownership()
        self.is_down = False


_known: WeakKeyDictionary[Queue, _Known] = WeakKeyDictionary()
_known_lock = threading.Lock()


def _known_of(queue: Queue) -> _Known:
    with _known_lock:
        return _known.setdefault(queue, _Known())


def _reason(error: Exception) -> str:
    return redact_text(str(error)) or type(error).__name__


async def _look(queue: Queue, ownership: Ownership, within: float) -> Snapshot:
    ends_at = asyncio.get_running_loop().time() + within
    async with asyncio.timeout_at(ends_at):
        metrics = await queue.metrics()
    await ownership.check(queue, ends_at)
    storage: defaultdict[str, list[StorageMetric]] = defaultdict(list)
    for metric in metrics.storage:
        storage[metric.name].append(metric)
    return Snapshot(metrics, await _ages(queue, metrics, ends_at), storage)


async def _ages(queue: Queue, metrics: Metrics, ends_at: float) -> dict[str, float]:
    """Return the ages that are read in time, the longest lines first."""
    pending = {name: counts.pending_count for name, counts in metrics.stats.queues.items()}
    waiting = sorted(filter(pending.__getitem__, pending), key=pending.__getitem__, reverse=True)
    ages = {name: 0.0 for name, count in pending.items() if not count}
    clock = asyncio.get_running_loop().time
    ends_at = min(ends_at, clock() + _AGES_TIMEOUT_SECONDS)
    # One after another: each brings a payload into memory.
    for name in waiting[:_AGED_QUEUES_MAX]:
        if clock() >= ends_at:
            break
        try:
            async with asyncio.timeout_at(min(ends_at, clock() + _AGE_TIMEOUT_SECONDS)):
                job = await queue.oldest_pending(name)
        except Exception as error:  # noqa: BLE001 - all else is shown all the same
            _logger.debug("no age of the queue %r: %s", name, _reason(error))
            continue
        now = wall_clock(queue)
        since = now if job is None else max(job.enqueued_at, job.run_at or job.enqueued_at)
        ages[name] = max(0.0, (now - since).total_seconds())
    return ages
