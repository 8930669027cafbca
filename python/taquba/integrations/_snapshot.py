"""One look at all that is counted, taken on an event loop or from any thread.

A collector of metrics is asked in a thread of its own, or on the event loop's thread, where waiting
for that loop would be waiting for itself. So whoever cannot await has the look taken on the event
loop behind `taquba.sync`: a queue answers on several loops. It works while the service's own loop
is busy, which is when people look at metrics.

Invariants:
    1. Taking a look never raises, and ends within its timeout: what cannot be seen is `None`.
    2. The figures of one store are of one moment, but for the ages, which follow at once.
"""

import asyncio
import concurrent.futures
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from taquba import Metrics, Queue, StorageMetric, sync
from taquba._checks import check_instance, refuse
from taquba._redact import redact_text
from taquba.queue._queue import wall_clock
from taquba.sync._loop import loop

__all__ = ["TIMEOUT_SECONDS", "Queues", "Seen", "Snapshot", "Source"]

_logger = logging.getLogger("taquba.metrics")

TIMEOUT_SECONDS: Final = 5.0
"""How long a look may take: half of what a scrape of Prometheus waits for."""

# Of more queues than this the age of the oldest job would make a look expensive.
_AGED_QUEUES_MAX: Final = 256

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

    async def take(self) -> list[Seen]:
        """Look at all stores at once, on the running loop."""
        snapshots = await asyncio.gather(*(store.take() for store in self._stores))
        return self._seen(snapshots)

    def take_blocking(self, timeout: float = TIMEOUT_SECONDS) -> list[Seen]:
        """Look at all stores, from any thread.

        Args:
            timeout: How long it may take, in seconds.
        """
        try:
            taking = asyncio.run_coroutine_threadsafe(self.take(), loop())
        except RuntimeError as error:
            # The process is ending, or a blocking call was made inside taquba's own thread.
            _logger.warning("no metrics: %s", error)
            return self._seen([None] * len(self._stores))
        try:
            return taking.result(timeout)
        except (TimeoutError, concurrent.futures.CancelledError):
            taking.cancel()
            _logger.warning("no metrics: no answer within %g s", timeout)
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
        self._is_down = False

    async def take(self) -> Snapshot | None:
        """Look at it; `None` if that fails."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                snapshot = await _look(self._queue)
        except Exception as error:  # noqa: BLE001 - whatever it is, a look does not raise
            # Told once, not with each look.
            if not self._is_down:
                _logger.warning("no metrics of %r: %s", self._queue, _reason(error))
            self._is_down = True
            return None
        self._is_down = False
        return snapshot


def _reason(error: Exception) -> str:
    return redact_text(str(error)) or type(error).__name__


async def _look(queue: Queue) -> Snapshot:
    metrics = await queue.metrics()
    storage: defaultdict[str, list[StorageMetric]] = defaultdict(list)
    for metric in metrics.storage:
        storage[metric.name].append(metric)
    return Snapshot(metrics, await _ages(queue, metrics), storage)


async def _ages(queue: Queue, metrics: Metrics) -> dict[str, float]:
    pending = {name: counts.pending_count for name, counts in metrics.stats.queues.items()}
    waiting = sorted(filter(pending.__getitem__, pending), key=pending.__getitem__, reverse=True)
    names = waiting[:_AGED_QUEUES_MAX]
    jobs = await asyncio.gather(*map(queue.oldest_pending, names))
    now = wall_clock(queue)
    ages = dict.fromkeys(set(pending) - set(waiting), 0.0)
    for name, job in zip(names, jobs, strict=True):
        since = now if job is None else max(job.enqueued_at, job.run_at or job.enqueued_at)
        ages[name] = max(0.0, (now - since).total_seconds())
    return ages
