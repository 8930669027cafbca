"""What the engine does not count: calls of hooks and deliveries of webhooks, of this process.

Kept for those who ask (`taquba.integrations`); nobody else looks. It costs a microsecond or two per
call of a hook and per webhook, and nothing per job or step.

Invariants:
    1. Each call is counted once, under how it ended, whatever it raised.
    2. Counts only grow, and are consistent with each other whenever they are read.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Mapping
from types import TracebackType
from typing import Final, final

__all__ = ["BOUNDS_SECONDS", "DONE", "HOOK_CALLS", "WEBHOOK_DELIVERIES", "Counts", "Durations"]

# From a hook that only stages effects to the longest timeout of a webhook.
BOUNDS_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
"""Upper bounds of the buckets, inclusive, ascending; one more bucket is above them."""

DONE: Final = "done"
"""The end of a call that returned."""

_OTHER: Final = "failed"


@final
class Counts:
    """Calls that ended in one way.

    Args:
        buckets: How many took so long; one more than there are bounds, not cumulative.
        seconds: How long they took together.
    """

    __slots__ = ("buckets", "seconds")

    def __init__(self, buckets: tuple[int, ...], seconds: float) -> None:
        self.buckets = buckets
        self.seconds = seconds


@final
class Durations:
    """How long calls of one kind took, by how they ended. Used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[str, tuple[list[int], list[float]]] = {}

    def measured(self, ends: Mapping[type[BaseException], str]) -> "_Call":
        """Return what measures the `with` block of one call.

        Args:
            ends: What an end is called, by what the call raised; the first that fits counts, and
                if none does it is `"failed"`. A call that returned is `"done"`.
        """
        return _Call(self, ends)

    def add(self, end: str, seconds: float) -> None:
        """Count one call."""
        index = bisect_left(BOUNDS_SECONDS, seconds)
        with self._lock:
            found = self._ends.get(end)
            if found is None:
                found = self._ends[end] = ([0] * (len(BOUNDS_SECONDS) + 1), [0.0])
            found[0][index] += 1
            found[1][0] += seconds

    def read(self) -> dict[str, Counts]:
        """Return what has been counted, by end."""
        with self._lock:
            return {
                end: Counts(tuple(buckets), total)
                for end, (buckets, (total,)) in self._ends.items()
            }


@final
class _Call:
    """One call: measured from `enter` to `exit`."""

    __slots__ = ("_durations", "_ends", "_started")

    def __init__(self, durations: Durations, ends: Mapping[type[BaseException], str]) -> None:
        self._durations = durations
        self._ends = ends

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self._started
        if kind is None:
            end = DONE
        else:
            end = next(
                (name for base, name in self._ends.items() if issubclass(kind, base)), _OTHER
            )
        self._durations.add(end, seconds)


HOOK_CALLS: Final = Durations()
"""Calls of terminal hooks."""

WEBHOOK_DELIVERIES: Final = Durations()
"""Attempts to deliver a webhook."""
