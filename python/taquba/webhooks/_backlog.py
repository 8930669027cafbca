"""The backlog of a gate: how long what was turned away stays away.

A leaky bucket: each delivery that is turned away puts one in, and as many run out as the receiver
manages in that time. How many that is follows from how long its deliveries took lately, and from
how long those under way have taken already.

Invariants:
    1. A wait is at least `_WAIT_SECONDS_MIN` and at most `_WAIT_SECONDS_MAX`.
    2. What is turned away at a time comes back about as fast as the receiver works it off, because
       each one waits for those before it; what does not fit into the longest wait comes at its end.
"""

from typing import Final, final

__all__ = ["Backlog"]

# Of a receiver that nothing is known of yet. Most take longer, which shows while they do; what was
# told to come back late comes late, though the receiver turns out to be quick.
_FIRST_GUESS_SECONDS: Final = 0.02
# What a delivery of this process costs without any receiver.
_DURATION_SECONDS_MIN: Final = 0.001
# The newest delivery's share in the mean: the last ten or so count.
_WEIGHT: Final = 0.2

_WAIT_SECONDS_MIN: Final = 0.25
_WAIT_SECONDS_MAX: Final = 300.0


@final
class Backlog:
    """What one gate has turned away. Instants are seconds of a clock that never jumps.

    Args:
        place_count: Deliveries that may be under way.
        now: The present.
    """

    __slots__ = ("_away_count", "_leaked_at", "_mean", "_place_count", "_started_sum", "_under_way")

    def __init__(self, place_count: int, now: float) -> None:
        self._place_count = place_count
        self._mean = _FIRST_GUESS_SECONDS
        # A fraction of one is about to come back.
        self._away_count = 0.0
        self._leaked_at = now
        self._under_way = 0
        self._started_sum = 0.0

    def begin(self, now: float) -> None:
        """Note that a delivery begins."""
        self._under_way += 1
        self._started_sum += now

    def end(self, started: float, now: float) -> None:
        """Note that one has ended, whatever came of it."""
        self._leak(now)
        self._under_way -= 1
        self._started_sum -= started
        self._mean += _WEIGHT * (now - started - self._mean)

    def add(self, now: float, waiting_count: int) -> float:
        """Note that a delivery is turned away, and return for how many seconds.

        Args:
            now: The present.
            waiting_count: Deliveries that wait at the gate, and so come before it.
        """
        self._leak(now)
        pace = self._pace(now)
        self._away_count = min(self._away_count + 1, _WAIT_SECONDS_MAX / pace)
        wait = (self._away_count + waiting_count) * pace
        return min(max(wait, _WAIT_SECONDS_MIN), _WAIT_SECONDS_MAX)

    def is_empty(self, now: float) -> bool:
        """Return whether all that was turned away should be back."""
        self._leak(now)
        return self._away_count == 0

    def _leak(self, now: float) -> None:
        self._away_count = max(0.0, self._away_count - (now - self._leaked_at) / self._pace(now))
        self._leaked_at = now

    def _pace(self, now: float) -> float:
        """Seconds from the end of one delivery to that of the next, with all places taken."""
        age = now - self._started_sum / self._under_way if self._under_way else 0.0
        return max(self._mean, age, _DURATION_SECONDS_MIN) / self._place_count
