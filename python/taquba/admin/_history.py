"""The last hour: one point every ten seconds, for all queues together and for each of the first."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, final

from taquba._shown import instant
from taquba.admin._sample import RATES, Sample, counted, quantiles, rates

__all__ = ["INTERVAL_SECONDS", "History"]

INTERVAL_SECONDS: Final = 10.0
"""How far points lie apart."""

_POINT_COUNT_MAX: Final = 360
# An hour of one queue takes 100 KiB. Who has more queues than this looks at them together.
_QUEUE_COUNT_MAX: Final = 100

# Samples come every few seconds: one that is nearly due is due.
_SLACK_SECONDS: Final = 1.0

_COUNTS: Final[Mapping[str, str]] = {
    "pending": "pending_count",
    "scheduled": "scheduled_count",
    "claimed": "claimed_count",
    "dead_count": "dead_count",
}


@final
@dataclass(frozen=True, slots=True)
class _Point:
    at: datetime
    values: tuple[float | None, ...]


_NAMES: Final = (*RATES, *_COUNTS, "wait_p50", "wait_p99", "run_p50", "run_p99")


@final
class History:
    """Points of the last hour, while somebody looked."""

    def __init__(self) -> None:
        self._last: Sample | None = None
        self._points: dict[str | None, deque[_Point]] = {}

    def add(self, sample: Sample) -> None:
        """Add a point, if one is due: of what has happened since the last sample that was one."""
        last = self._last
        if last is None or sample.at - last.at > 2 * INTERVAL_SECONDS:
            # Nobody looked for a while: a rate over that time would hide when it happened.
            self._last = sample
            return
        if sample.at - last.at < INTERVAL_SECONDS - _SLACK_SECONDS:
            return
        self._last = sample
        self._append(None, last, sample)
        for queue in sample.stats.queues:
            if queue in self._points or len(self._points) <= _QUEUE_COUNT_MAX:
                self._append(queue, last, sample)

    def points(self, queue: str | None) -> list[dict[str, object]]:
        """Return the points of one queue, or of all together; the oldest first."""
        return [
            {"at": instant(point.at), **dict(zip(_NAMES, point.values, strict=True))}
            for point in self._points.get(queue, ())
        ]

    def _append(self, queue: str | None, earlier: Sample, later: Sample) -> None:
        stats = later.stats.queues
        queues = list(stats.values()) if queue is None else [stats[queue]]
        happened = rates(earlier, later, queue) or {}
        waits = quantiles(earlier, later, queue, "wait_seconds") or {}
        runs = quantiles(earlier, later, queue, "run_seconds") or {}
        values = (
            *(happened.get(name, 0.0) for name in RATES),
            *(counted(queues, name) for name in _COUNTS.values()),
            *(waits.get(name) for name in ("p50", "p99")),
            *(runs.get(name) for name in ("p50", "p99")),
        )
        points = self._points.setdefault(queue, deque(maxlen=_POINT_COUNT_MAX))
        points.append(_Point(later.taken_at, values))
