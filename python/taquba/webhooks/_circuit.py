"""The circuit breaker: a host that fails again and again is left alone for a while.

::

    closed ── failure_count failures in a row ──▶ open
      ▲                                            │ open_for has passed
      │ success                                    ▼
      └──────────────── half-open, one probe ◀─────┘
                            │ failure: open again, for twice as long

Invariants:
    1. While a circuit is half-open, one delivery is the probe. Each probe has a generation of its
       own, and so has the time between two of them: what was let pass in an earlier one is not
       the probe, whatever it once was, and its failure says nothing new.
    2. A probe that ended without a verdict (interrupted, refused by us) frees its place.
    3. A circuit is open for `open_for` doubled with each probe that fails in a row, up to 10
       minutes or, if that is longer, `open_for`.
"""

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, final

from taquba._checks import Seconds, check_count, check_instance, keep_durations, refuse

__all__ = ["Breaker", "BreakerState", "Circuit"]

_FAILURE_COUNT_MAX: Final = 1_000_000

# A receiver that is back should hear of it soon; one that is not costs each waiting job a commit.
_OPEN_SECONDS_MAX: Final = 600.0


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Circuit:
    """When a host is left alone, and for how long.

    Args:
        failure_count: Failures in a row after which it is: no answer, or one with status 5xx; 1 to
            1,000,000.
        open_for: How long until one delivery tries again; above 0. Twice as long after each of
            those that fails, up to 10 minutes.

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

    __slots__ = (
        "_circuit",
        "_failure_count",
        "_generation",
        "_open_seconds",
        "_open_until",
        "_state",
    )

    def __init__(self, circuit: Circuit) -> None:
        check_instance("circuit", circuit, Circuit)
        self._circuit = circuit
        self._state = BreakerState.CLOSED
        self._failure_count = 0
        self._generation = 0
        self._open_seconds = circuit.open_seconds
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

    def enter(self, now: float) -> int:
        """Let a delivery pass, which may, and return the generation that it belongs to."""
        assert self.wait(now) is None, "only what need not wait passes"  # noqa: S101 - ours
        if self._state is not BreakerState.CLOSED:
            self._become(BreakerState.HALF_OPEN)
        return self._generation

    def succeed(self) -> None:
        """Note that the host has answered, whatever the generation: it is alive."""
        if self._state is not BreakerState.CLOSED:
            self._become(BreakerState.CLOSED)
        self._failure_count = 0
        self._open_seconds = self._circuit.open_seconds

    def fail(self, now: float, generation: int) -> bool:
        """Note that it has not, and return whether that opened a circuit that was closed."""
        if generation != self._generation:
            return False
        self._failure_count += 1
        is_probe = self._state is BreakerState.HALF_OPEN
        if is_probe:
            longest = max(_OPEN_SECONDS_MAX, self._circuit.open_seconds)
            self._open_seconds = min(2 * self._open_seconds, longest)
        elif self._failure_count < self._circuit.failure_count:
            return False
        self._become(BreakerState.OPEN)
        self._open_until = now + self._open_seconds
        return not is_probe

    def give_up(self, generation: int) -> None:
        """Note that a delivery ended without a verdict."""
        if generation == self._generation and self._state is BreakerState.HALF_OPEN:
            # The time has passed: the next one is the probe.
            self._become(BreakerState.OPEN)

    def _become(self, state: BreakerState) -> None:
        self._state = state
        self._generation += 1
