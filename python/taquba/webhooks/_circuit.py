"""The circuit breaker: a host that fails again and again is left alone for a while.

::

    closed ── failure_count failures in a row ──▶ open
      ▲                                            │ open_for has passed
      │ success                                    ▼
      └──────────────── half-open, one probe ◀─────┘
                            │ failure: open again

Invariants:
    1. While a circuit is half-open, one delivery is under way: the probe.
    2. A probe that ended without a verdict (interrupted, refused by us) frees its place.
"""

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, final

from taquba._checks import Seconds, check_count, check_instance, keep_durations, refuse

__all__ = ["Breaker", "BreakerState", "Circuit"]

_FAILURE_COUNT_MAX: Final = 1_000_000


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Circuit:
    """When a host is left alone, and for how long.

    Args:
        failure_count: Failures in a row after which it is: no answer, or one with status 5xx; 1 to
            1,000,000.
        open_for: How long until one delivery tries again; above 0.

    Raises:
        InvalidArgumentError: A value is outside its bounds; the message names both.
    """

    failure_count: int = 5
    open_for: Seconds = timedelta(seconds=30)

    def __post_init__(self) -> None:
        """Check every field."""
        check_count("failure_count", self.failure_count, _FAILURE_COUNT_MAX)
        keep_durations(self, "open_for")
        if not self.open_for:
            refuse("open_for", self.open_for, "give more than 0 seconds")

    @property
    def open_seconds(self) -> float:
        """`open_for`, in seconds."""
        assert isinstance(self.open_for, timedelta)  # noqa: S101 - converted when it was given
        return self.open_for.total_seconds()


@final
class BreakerState(enum.Enum):
    """What a breaker does with deliveries."""

    CLOSED = "closed"
    """It lets all pass."""
    OPEN = "open"
    """It lets none pass."""
    HALF_OPEN = "half-open"
    """It has let one pass, and waits for its verdict."""


@final
class Breaker:
    """The circuit of one host. Instants are seconds of a clock that never jumps.

    Args:
        circuit: The settings.
    """

    __slots__ = ("_circuit", "_failure_count", "_open_until", "_state")

    def __init__(self, circuit: Circuit) -> None:
        check_instance("circuit", circuit, Circuit)
        self._circuit = circuit
        self._state = BreakerState.CLOSED
        self._failure_count = 0
        self._open_until = 0.0

    @property
    def state(self) -> BreakerState:
        """What it does at present."""
        return self._state

    @property
    def failure_count(self) -> int:
        """Failures in a row."""
        return self._failure_count

    def wait(self, now: float) -> float | None:
        """Return for how many seconds nothing may pass; `None` if something may."""
        if self._state is BreakerState.CLOSED:
            return None
        if self._state is BreakerState.HALF_OPEN:
            return self._circuit.open_seconds
        return self._open_until - now if now < self._open_until else None

    def enter(self, now: float) -> bool:
        """Let a delivery pass, which may, and return whether it is the probe."""
        assert self.wait(now) is None, "only what need not wait passes"  # noqa: S101 - ours
        if self._state is BreakerState.CLOSED:
            return False
        self._state = BreakerState.HALF_OPEN
        return True

    def succeed(self) -> None:
        """Note that the host has answered."""
        self._state = BreakerState.CLOSED
        self._failure_count = 0

    def fail(self, now: float, *, is_probe: bool) -> bool:
        """Note that it has not, and return whether that opened the circuit."""
        self._failure_count += 1
        is_enough = self._failure_count >= self._circuit.failure_count
        # One that passed before the circuit opened says nothing new.
        if not is_probe and not (self._state is BreakerState.CLOSED and is_enough):
            return False
        self._state = BreakerState.OPEN
        self._open_until = now + self._circuit.open_seconds
        return not is_probe

    def give_up(self, *, is_probe: bool) -> None:
        """Note that a delivery ended without a verdict."""
        if is_probe and self._state is BreakerState.HALF_OPEN:
            # The time has passed: the next one is the probe.
            self._state = BreakerState.OPEN
