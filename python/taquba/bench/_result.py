"""What a scenario found: cases, each measured in rounds, each round with its figures.

Invariants:
    1. A figure's name says its unit, but for the unit of the work (a job, a step), which the case
       names. `FIGURES` knows each of them.
    2. A round without a figure lacks it; nothing is filled in.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from taquba.bench._latency import Latency
from taquba.bench._meter import Cost

__all__ = ["FIGURES", "Case", "Figure", "NotDoneError", "Round"]

_KIB = 1024


class NotDoneError(Exception):
    """A scenario did not do what it measured, so its figures are worth nothing."""


@final
@dataclass(frozen=True, slots=True)
class Figure:
    """How one figure is shown.

    Args:
        title: Its name and unit in a table; `{unit}` is the unit of the work.
        label: The same, written out for the axis of a plot.
        best: Which of several rounds is the best one.
    """

    title: str
    label: str
    best: Callable[[Iterable[float]], float] = min


FIGURES: Final[Mapping[str, Figure]] = {
    "per_second": Figure("{unit}s/s", "{unit}s per second", max),
    "cpu_us_each": Figure("CPU us/{unit}", "CPU time per {unit} (µs)"),
    "puts_per_1000": Figure("PUTs/1,000", "PUTs per 1,000 {unit}s"),
    "put_kib_per_1000": Figure("KiB put/1,000", "KiB written per 1,000 {unit}s"),
    "gets_per_1000": Figure("GETs/1,000", "GETs per 1,000 {unit}s"),
    "commits_per_1000": Figure("commits/1,000", "commits per 1,000 {unit}s"),
    "resident_mib": Figure("memory MiB", "resident memory (MiB)"),
    "resident_mib_peak": Figure("peak MiB", "peak of resident memory (MiB)"),
    "mb_per_second": Figure("MB/s", "payload (MB per second)", max),
    "bytes_put_per_byte": Figure("B put/B", "bytes written per byte of payload"),
    "commits_each": Figure("commits/{unit}", "commits per {unit}"),
    "late_ms_p99": Figure("p99 sent late ms", "99 % of {unit}s sent at most so late (ms)"),
    "open_seconds": Figure("open s", "time to open (s)"),
    "resident_mib_before": Figure("MiB before", "resident memory before (MiB)"),
    "minutes": Figure("minutes", "minutes of work"),
    "rate_by_first": Figure("rate by first", "rate by that of the first minute", max),
    "memory_by_first": Figure("MiB by first", "memory by that of the first minute"),
    "cpu_ms_per_second": Figure("CPU ms/s", "CPU time of an idle second (ms)"),
    "puts_per_minute": Figure("PUTs/min", "PUTs per minute"),
    "gets_per_minute": Figure("GETs/min", "GETs per minute"),
    "lists_per_minute": Figure("LISTs/min", "LISTs per minute"),
    "deletes_per_minute": Figure("DELETEs/min", "DELETEs per minute"),
}
"""Every figure, by its name in the JSON document."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One measurement.

    Args:
        count: Units of work that were done.
        cost: What they cost.
        latencies: By what was timed, such as `call` or `run`.
        extra: Figures that do not follow from the cost.
    """

    count: int
    cost: Cost
    latencies: Mapping[str, Latency] = field(default_factory=dict)
    extra: Mapping[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """All figures, those that follow from the cost and the others."""
        cost, found = self.cost, self.cost.counters
        thousands = self.count / 1000
        figures = {
            "per_second": self.count / cost.wall_seconds,
            "cpu_us_each": cost.cpu_seconds / self.count * 1e6,
            "puts_per_1000": found["put_count"] / thousands,
            "put_kib_per_1000": found["put_bytes"] / _KIB / thousands,
            "commits_per_1000": found["commit_count"] / thousands,
            "resident_mib_peak": cost.resident_bytes_peak / _KIB**2,
        }
        if "get_count" in found:
            figures["gets_per_1000"] = found["get_count"] / thousands
        if cost.resident_bytes is not None:
            figures["resident_mib"] = cost.resident_bytes / _KIB**2
        return figures | dict(self.extra)


@final
@dataclass(frozen=True, slots=True)
class Case:
    """One way of doing a scenario's work.

    Args:
        name: What is particular to it, such as `64 callers`.
        unit: What is counted, in the singular.
        rounds: At least one measurement.
    """

    name: str
    unit: str
    rounds: Sequence[Round]

    def values(self, figure: str) -> list[float]:
        """One figure of each round that has it."""
        found = (each.figures() for each in self.rounds)
        return [figures[figure] for figures in found if figure in figures]

    def latency_ms(self, timed: str, percentile: str) -> list[float]:
        """One percentile of each round that timed it."""
        rounds = (each.latencies for each in self.rounds)
        return [latencies[timed].ms[percentile] for latencies in rounds if timed in latencies]

    def timed(self) -> list[str]:
        """What was timed."""
        return list(self.rounds[0].latencies)

    def curve(self, timed: str) -> list[tuple[float, float]]:
        """Fractions and the median milliseconds of all rounds, as far as every round goes."""
        curves = [dict(each.latencies[timed].curve) for each in self.rounds]
        shared = [f for f in curves[0] if all(f in curve for curve in curves)]
        return [(f, statistics.median(curve[f] for curve in curves)) for f in shared]

    def cpu_by_thread(self) -> dict[str, float]:
        """The share of each group of threads in the CPU time of all rounds, the largest first."""
        seconds: dict[str, float] = {}
        for each in self.rounds:
            for name, used in each.cost.cpu_seconds_by_thread.items():
                seconds[name] = seconds.get(name, 0.0) + used
        total = sum(seconds.values())
        shares = {name: used / total for name, used in seconds.items()}
        return dict(sorted(shares.items(), key=lambda share: -share[1]))
