"""What was counted at one moment, and what two such moments say together.

Invariants:
    1. A rate is per second, over the time that has really passed.
    2. A quantile is of what happened between the two, not of all that ever did.
    3. A queue that was not there at the first moment had counted nothing then.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, final

from taquba.queue import (
    Histogram,
    Metrics,
    Queue,
    QueueMetrics,
    QueueReader,
    QueueStats,
    Stats,
)
from taquba.queue._queue import wall_clock

__all__ = ["RATES", "Sample", "counted", "quantiles", "rates"]

RATES: Final = ("enqueued", "acked", "retried", "dead", "cancelled")
"""What is shown per second; each is a `_total` of `QueueStats`."""


@final
@dataclass(frozen=True, slots=True)
class Sample:
    """What was counted at one moment.

    Args:
        at: When, by a clock that never jumps; in seconds.
        taken_at: When, in UTC.
        stats: The counts.
        metrics: What the owner's engine has measured; `None` of a reader.
    """

    at: float
    taken_at: datetime
    stats: Stats
    metrics: Metrics | None

    @classmethod
    async def take(cls, source: Queue | QueueReader) -> "Sample":
        """Count now.

        Raises:
            TaqubaError: It cannot be counted.
        """
        metrics = await source.metrics() if isinstance(source, Queue) else None
        stats = await source.stats() if metrics is None else metrics.stats
        # By the clock that the instants of jobs are from.
        now = wall_clock(source) if isinstance(source, Queue) else datetime.now(UTC)
        return cls(time.monotonic(), now, stats, metrics)

    def measured(self, queue: str | None) -> list[QueueMetrics]:
        """Return what was measured of one queue, or of each; nothing of a reader."""
        if self.metrics is None:
            return []
        by_name = self.metrics.queues
        if queue is None:
            return list(by_name.values())
        return [by_name[queue]] if queue in by_name else []


def counted(queues: Iterable[QueueStats], name: str) -> int:
    """Return the sum of one count over queues."""
    return sum(getattr(queue, name) for queue in queues)


def rates(earlier: Sample, later: Sample, queue: str | None) -> Mapping[str, float] | None:
    """Return what happened per second in one queue or in all; `None` if no time has passed."""
    seconds = later.at - earlier.at
    if seconds <= 0:
        return None
    before, after = _queues(earlier.stats, queue), _queues(later.stats, queue)
    return {
        name: max(0, counted(after, f"{name}_total") - counted(before, f"{name}_total")) / seconds
        for name in RATES
    }


def quantiles(
    earlier: Sample, later: Sample, queue: str | None, name: str
) -> Mapping[str, float] | None:
    """Return median and 99th percentile of what was measured between two moments, in seconds.

    Args:
        earlier: The first moment.
        later: The second one.
        queue: Of one queue; of all if absent.
        name: `wait_seconds` or `run_seconds`.

    Returns:
        `None` if nothing was measured.
    """
    after: list[Histogram] = [getattr(one, name) for one in later.measured(queue)]
    before: list[Histogram] = [getattr(one, name) for one in earlier.measured(queue)]
    # Most queues of many rest.
    if not after or [one.counts for one in after] == [one.counts for one in before]:
        return None
    bounds, counts = after[0].bounds, _merged(after)
    if before:
        counts = [max(0, new - old) for new, old in zip(counts, _merged(before), strict=True)]
    median, high = _quantile(bounds, counts, 0.5), _quantile(bounds, counts, 0.99)
    return None if median is None or high is None else {"p50": median, "p99": high}


def _queues(stats: Stats, queue: str | None) -> list[QueueStats]:
    if queue is None:
        return list(stats.queues.values())
    return [stats.queues[queue]] if queue in stats.queues else []


def _merged(histograms: list[Histogram]) -> list[int]:
    """Return the counts of histograms together; all of one kind have the same bounds."""
    return [sum(column) for column in zip(*(one.counts for one in histograms), strict=True)]


def _quantile(bounds: tuple[float, ...], counts: list[int], share: float) -> float | None:
    """Return the upper bound of the bucket in which the quantile lies; the highest is the last."""
    total = sum(counts)
    passed = 0
    for bound, count in zip(bounds, counts, strict=False):
        passed += count
        if passed and passed >= share * total:
            return bound
    return bounds[-1] if total else None
