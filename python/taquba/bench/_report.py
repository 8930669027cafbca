"""What is shown of the results: tables on the terminal, and one JSON document.

Invariants:
    1. Best and median are of all measured rounds; none is left out.
    2. The document has every round, so that all else can be worked out of it again.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, final

from taquba.bench._lab import Settings
from taquba.bench._latency import PERCENTILES
from taquba.bench._result import FIGURES, Case, Round
from taquba.bench._scenario import Scenario
from taquba.bench._table import number, table

__all__ = ["FORMAT", "Result", "document", "lines"]

FORMAT: Final = 1
"""Grows when a name in the document changes its meaning or goes."""

# Groups of threads with less of the CPU time than this are summed up.
_SHARE_MIN = 0.01


@final
@dataclass(frozen=True, slots=True)
class Result:
    """What one scenario found.

    Args:
        scenario: Which one.
        store: Where, in words.
        cases: What it found.
    """

    scenario: Scenario
    store: str
    cases: Sequence[Case]


def lines(result: Result) -> list[str]:
    """The tables of one scenario."""
    scenario = result.scenario
    found = ["", f"{scenario.name}: {scenario.summary}"]
    found.append(f"{result.store}; rounds: {_rounds(result.cases)}")
    found += ["", *table(_figure_rows(scenario, result.cases), 2)]
    if any(case.timed() for case in result.cases):
        found += ["", *table(_latency_rows(result.cases), 2)]
    if any(case.cpu_by_thread() for case in result.cases):
        found += ["", *table(_thread_rows(result.cases), 1)]
    return found


def _rounds(cases: Sequence[Case]) -> str:
    parts = []
    for case in cases:
        counts = sorted({each.count for each in case.rounds})
        size = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        parts.append(f"{len(case.rounds)} of {size} {case.unit}s")
    return ", ".join(dict.fromkeys(parts))


def _figure_rows(scenario: Scenario, cases: Sequence[Case]) -> list[list[str]]:
    units = {case.unit for case in cases}
    unit = units.pop() if len(units) == 1 else "unit"
    columns = [name for name in scenario.columns if any(case.values(name) for case in cases)]
    rows = [["", "", *(FIGURES[name].title.format(unit=unit) for name in columns)]]
    for case in cases:
        values = [case.values(name) for name in columns]
        best = [
            FIGURES[name].best(v) if v else None for name, v in zip(columns, values, strict=True)
        ]
        median = [statistics.median(v) if v else None for v in values]
        rows += _best_and_median(case, case.name, best, median)
    return rows


def _latency_rows(cases: Sequence[Case]) -> list[list[str]]:
    rows = [["latency, ms", "", *PERCENTILES]]
    for case in cases:
        for timed in case.timed():
            values = [case.latency_ms(timed, name) for name in PERCENTILES]
            name = f"{case.name}, {timed}"
            medians = list(map(statistics.median, values))
            rows += _best_and_median(case, name, list(map(min, values)), medians)
    return rows


def _best_and_median(
    case: Case, name: str, best: Sequence[float | None], median: Sequence[float | None]
) -> list[list[str]]:
    if len(case.rounds) == 1:
        return [[name, "", *map(number, best)]]
    return [[name, "best", *map(number, best)], ["", "median", *map(number, median)]]


def _thread_rows(cases: Sequence[Case]) -> list[list[str]]:
    shares = {case.name: case.cpu_by_thread() for case in cases}
    names = list(
        dict.fromkeys(n for share in shares.values() for n, s in share.items() if s >= _SHARE_MIN)
    )
    rows = [["CPU by thread, %", *names, "others"]]
    for case, share in shares.items():
        known = [share.get(name, 0.0) for name in names]
        if share:
            rows.append(
                [case, *(f"{each:.0%}"[:-1] for each in [*known, max(0.0, 1 - sum(known))])]
            )
    return rows


def document(
    results: Sequence[Result],
    settings: Settings,
    machine: Mapping[str, Any],
    command: Sequence[str],
) -> dict[str, Any]:
    """Everything that was found, for a program to read; keys say their units."""
    return {
        "format": FORMAT,
        "command": list(command),
        "machine": dict(machine),
        "settings": asdict(settings),
        "scenarios": [
            {
                "name": result.scenario.name,
                "summary": result.scenario.summary,
                "store": result.store,
                "cases": [_case_document(case) for case in result.cases],
            }
            for result in results
        ],
    }


def _case_document(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "unit": case.unit,
        "rounds": [_round_document(each) for each in case.rounds],
    }


def _round_document(measured: Round) -> dict[str, Any]:
    return {
        "count": measured.count,
        **asdict(measured.cost),
        "figures": measured.figures(),
        "latencies": {
            timed: {"count": latency.count, "ms": latency.ms, "curve_ms": latency.curve}
            for timed, latency in measured.latencies.items()
        },
    }
