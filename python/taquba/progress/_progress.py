"""How far a batch of runs has come, and how fast it goes."""

from collections import deque
from dataclasses import dataclass
from typing import Final, final

from taquba.queue._html import fields

__all__ = ["Progress", "Window"]

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a batch of runs has come.

    Args:
        total_count: Runs of the batch. One that is in it twice counts twice.
        succeeded_count: Those that have produced their result.
        failed_count: Those that have given up.
        cancelled_count: Those that were stopped.
        missing_count: Those that are not there: never submitted, or past their retention.
        elapsed_seconds: Since the tracking began.
        rate: Runs that end per second, over the window; `None` until that can be told.
        eta_seconds: How long the live runs take at that rate; `None` if nobody can tell.
    """

    total_count: int
    succeeded_count: int
    failed_count: int
    cancelled_count: int
    missing_count: int
    elapsed_seconds: float
    rate: float | None
    eta_seconds: float | None

    @property
    def ended_count(self) -> int:
        """Runs that have ended, however, and those that are not there."""
        ended = self.succeeded_count + self.failed_count + self.cancelled_count
        return ended + self.missing_count

    @property
    def live_count(self) -> int:
        """Runs that have not ended."""
        return self.total_count - self.ended_count

    @property
    def is_done(self) -> bool:
        """Whether no run is live."""
        return self.live_count == 0

    def __str__(self) -> str:
        """Say it in one line."""
        parts = [f"{self.ended_count:,} of {self.total_count:,} runs ended"]
        parts += [f"{count:,} {end}" for end, count in self._exceptions()]
        if self.is_done:
            parts.append(f"in {_spell(self.elapsed_seconds)}")
        else:
            if self.rate is not None:
                parts.append(f"{spell_rate(self.rate)}/s")
            if self.eta_seconds is not None:
                parts.append(f"{_spell(self.eta_seconds)} left")
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        shown: dict[str, object] = {
            "runs": self.total_count,
            "live": self.live_count,
            "succeeded": self.succeeded_count,
            **dict(self._exceptions()),
            "elapsed": _spell(self.elapsed_seconds),
            "rate": None if self.rate is None else f"{spell_rate(self.rate)}/s",
            "left": None if self.eta_seconds is None else _spell(self.eta_seconds),
        }
        return fields(str(self), shown)

    def _exceptions(self) -> list[tuple[str, int]]:
        ends = [
            ("failed", self.failed_count),
            ("cancelled", self.cancelled_count),
            ("missing", self.missing_count),
        ]
        return [(end, count) for end, count in ends if count]


@final
class Window:
    """A rate over the latest seconds.

    Args:
        seconds: How far back it looks.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, now: float, count: int) -> float | None:
        """Note a count that only grows, and return by how much it does so per second.

        Args:
            now: Seconds, of a clock that never goes back.
            count: What has been counted by then.
        """
        seen = self._seen
        # One of them stays in front of the window, so that the rate is of all of it.
        while len(seen) > 1 and seen[1][0] <= now - self._seconds:
            seen.popleft()
        seen.append((now, count))
        began, before = seen[0]
        return None if now <= began else (count - before) / (now - began)


def spell_rate(rate: float) -> str:
    """Return a rate with the digits that say something."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.2g}" if rate < 1 else f"{rate:.1f}"  # noqa: PLR2004


def _spell(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"
