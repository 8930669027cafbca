"""How long calls took: percentiles, and the curve that they lie on."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self, final

__all__ = ["PERCENTILES", "Latency"]

PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
"""The percentiles of every report, as the fraction of calls that took no longer."""

_CURVE: Final = (
    *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    *(0.925, 0.95, 0.975, 0.99, 0.9925, 0.995, 0.9975, 0.999, 0.9995, 0.9999),
)

# As far as floating point goes: 10 * (1 - 0.9) is a little less than 1.
_ONE_CALL: Final = 1 - 1e-9


@final
@dataclass(frozen=True, slots=True)
class Latency:
    """The latencies of some calls.

    Args:
        count: How many calls.
        ms: Milliseconds by the names of `PERCENTILES`.
        curve: Pairs of a fraction and milliseconds, ascending. A fraction that would need more
            calls than there were is left out.
    """

    count: int
    ms: dict[str, float]
    curve: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, seconds: Collection[float]) -> Self:
        """Sum up the latencies of at least one call.

        Raises:
            ValueError: There is none.
        """
        if not seconds:
            message = "no call was made, so there is no latency"
            raise ValueError(message)
        ordered = sorted(seconds)
        count = len(ordered)

        def at(fraction: float) -> float:
            return ordered[max(0, math.ceil(fraction * count) - 1)] * 1e3

        curve = tuple((f, at(f)) for f in _CURVE if count * (1 - f) >= _ONE_CALL)
        return cls(count, {name: at(fraction) for name, fraction in PERCENTILES.items()}, curve)
