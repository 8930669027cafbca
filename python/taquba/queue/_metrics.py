"""What is measured of an open store: counts and histograms, at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, final

from taquba._checks import check_instance, refuse, refuse_type
from taquba.queue._stats import QueueStats, Stats

__all__ = ["Histogram", "Metrics", "QueueMetrics", "StorageMetric", "read_metrics", "read_stats"]


@final
@dataclass(frozen=True, slots=True)
class Histogram:
    """How often a value was in which range.

    Args:
        bounds: The upper ends of the ranges, inclusive, ascending.
        counts: How often, by range; what is above the last bound is one range more. Not cumulative.
        sum: All values together.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def quantile(self, q: float) -> float | None:
        """Return the upper end of the range in which this quantile lies.

        Args:
            q: 0 to 1; 0.5 is the median.

        Returns:
            A bound; infinity above the last one; `None` if there was no value.

        Raises:
            InvalidArgumentError: `q` is not in 0 to 1.
        """
        if isinstance(q, bool):
            refuse_type("q", q, "give a number from 0 to 1")
        check_instance("q", q, (int, float))
        if not 0 <= q <= 1:
            refuse("q", q, "give a number from 0 to 1")
        wanted = max(1.0, q * self.count)
        seen = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class QueueMetrics:
    """What is measured of a queue.

    Args:
        claimed_total: Jobs delivered.
        expired_total: Deliveries whose lease ran out.
        wait_seconds: From the moment in which a job could be claimed to its delivery. What was
            requeued is not in it.
        run_seconds: From its delivery to its settlement.
    """

    claimed_total: int
    expired_total: int
    wait_seconds: Histogram
    run_seconds: Histogram


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StorageMetric:
    """What the storage engine counts of itself.

    Args:
        name: Its name there. It may change with the storage engine.
        labels: What tells it from others of that name: keys and values.
        kind: `"counter"` only grows.
        value: The count; of a histogram the sum of its values.
        histogram: Of a histogram, its ranges.
    """

    name: str
    labels: tuple[tuple[str, str], ...]
    kind: Literal["counter", "gauge", "histogram"]
    value: float
    histogram: Histogram | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """Everything that is measured, at one moment, since the store was opened.

    Args:
        taken_at: When, in UTC.
        stats: Counts of jobs and of requests to the store.
        queues: By queue name.
        commit_seconds: From the start of a commit to the moment in which it was durable.
        commit_rows: Rows of a commit.
        commit_bytes: Bytes of these rows.
        put_seconds: How long the store took to write an object. On a local disk commits are not in
            it: they go to a file.
        get_seconds: How long it took to answer a read.
        body_bytes: Bytes of waiting jobs that are held in memory.
        upload_count: Calls whose large payloads are being uploaded.
        storage: What the storage engine counts of itself.
    """

    taken_at: datetime
    stats: Stats
    queues: Mapping[str, QueueMetrics]
    commit_seconds: Histogram
    commit_rows: Histogram
    commit_bytes: Histogram
    put_seconds: Histogram
    get_seconds: Histogram
    body_bytes: int
    upload_count: int
    storage: tuple[StorageMetric, ...]


def read_stats(fields: dict[str, Any]) -> Stats:
    """Make counts of what the binding returned."""
    queues = {name: QueueStats(**queue) for name, queue in fields["queues"].items()}
    return Stats(**{**fields, "queues": queues})


def read_metrics(fields: dict[str, Any]) -> Metrics:
    """Make metrics of what the binding returned."""
    return Metrics(
        taken_at=datetime.now(UTC),
        stats=read_stats(fields["stats"]),
        queues={name: _queue(queue) for name, queue in fields["queues"].items()},
        commit_seconds=Histogram(*fields["commit_seconds"]),
        commit_rows=Histogram(*fields["commit_rows"]),
        commit_bytes=Histogram(*fields["commit_bytes"]),
        put_seconds=Histogram(*fields["put_seconds"]),
        get_seconds=Histogram(*fields["get_seconds"]),
        body_bytes=fields["body_bytes"],
        upload_count=fields["upload_count"],
        storage=tuple(_storage(metric) for metric in fields["storage"]),
    )


def _queue(fields: dict[str, Any]) -> QueueMetrics:
    return QueueMetrics(
        claimed_total=fields["claimed_total"],
        expired_total=fields["expired_total"],
        wait_seconds=Histogram(*fields["wait_seconds"]),
        run_seconds=Histogram(*fields["run_seconds"]),
    )


def _storage(fields: dict[str, Any]) -> StorageMetric:
    histogram = fields["histogram"]
    return StorageMetric(**{**fields, "histogram": histogram and Histogram(*histogram)})
