"""What a scenario is: a name, a measurement, and how its figures are shown."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import final

from taquba.bench._lab import Lab
from taquba.bench._result import Case

__all__ = ["Bars", "Curves", "Lines", "Panel", "Scenario"]


@final
@dataclass(frozen=True, slots=True)
class Bars:
    """A panel of a plot: one bar for each case."""

    figure: str


@final
@dataclass(frozen=True, slots=True)
class Lines:
    """A panel of a plot: one figure over another one, a point for each case."""

    figure: str
    along: str


@final
@dataclass(frozen=True, slots=True)
class Curves:
    """A panel of a plot: latency by percentile, one curve for each case and timed thing."""

    label: str


Panel = Bars | Lines | Curves


def _same(store: str | None) -> str | None:
    return store


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """Something to measure.

    Args:
        name: Its name on the command line.
        summary: What it measures, in one line.
        measure: Does it; raises `NotDoneError` unless the work was really done.
        columns: The figures of its table, by name.
        panels: Its plot.
        is_default: Whether it is measured when nothing is named.
        choose_store: Which store it uses when the command names this one.
    """

    name: str
    summary: str
    measure: Callable[[Lab], Awaitable[list[Case]]]
    columns: tuple[str, ...]
    panels: tuple[Panel, ...]
    is_default: bool = True
    choose_store: Callable[[str | None], str | None] = _same
