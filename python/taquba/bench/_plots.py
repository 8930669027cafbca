"""Plots of the results: one figure for each scenario, as SVG and as PNG.

Needs matplotlib, which is imported when something is drawn and not before: the extra `bench`.

Invariants:
    1. Every axis begins at zero and says its unit.
    2. A bar is the median of all rounds; a dot is one of them.
"""

import math
import statistics
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from taquba.bench._report import Result
from taquba.bench._result import FIGURES, Case
from taquba.bench._scenario import Bars, Curves, Lines, Panel
from taquba.bench._table import number

__all__ = ["check_installed", "draw"]

# Distinct also for those who cannot tell red from green (Okabe and Ito, 2008).
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
_INK: Final = "#333333"
_GRID: Final = "#e4e4e4"
_PANEL_INCHES: Final = (4.6, 3.2)
_PNG_DOTS_PER_INCH: Final = 150
# Right of the longest bar, for the medians; above the highest point, so that it is not at the edge.
_MEDIAN_ROOM: Final = 1.3
_TOP_ROOM: Final = 1.08
_BARS_MIN: Final = 5
# Between panels, by the width of one.
_PANEL_GAP: Final = 0.06
_LEGEND_COLUMNS: Final = 3
_STYLE: Final = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": _GRID,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "taquba",
    "text.color": _INK,
    "xtick.color": _INK,
    "xtick.labelsize": 8,
    "ytick.color": _INK,
    "ytick.labelsize": 8,
}
# Percentiles on an axis on which each further nine takes the same room.
_PERCENTILE_TICKS: Final = {
    "0": 0.0,
    "50": 0.5,
    "90": 0.9,
    "99": 0.99,
    "99.9": 0.999,
    "99.99": 0.9999,
}


def check_installed() -> None:
    """Refuse to go on without matplotlib.

    Raises:
        ImportError: It is not installed; the message says what is to be done.
    """
    if find_spec("matplotlib") is None:
        message = "--plots needs matplotlib: pip install 'taquba[bench]'"
        raise ImportError(message)


def draw(results: Sequence[Result], directory: Path) -> list[Path]:
    """Draws each result into a directory, which is made if it is not there.

    Args:
        results: What was measured.
        directory: Where `SCENARIO.svg` and `SCENARIO.png` are written.

    Returns:
        The files.
    """
    matplotlib = import_module("matplotlib")
    # Draws into files and needs no display.
    matplotlib.use("agg")
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    with matplotlib.rc_context(_STYLE):
        for result in results:
            figure = _figure(result)
            for suffix in ("svg", "png"):
                file = directory / f"{result.scenario.name}.{suffix}"
                # Without a date, so that equal figures are equal files.
                metadata = {"Date": None} if suffix == "svg" else {}
                figure.savefig(file, dpi=_PNG_DOTS_PER_INCH, metadata=metadata)
                files.append(file)
            import_module("matplotlib.pyplot").close(figure)
    return files


def _figure(result: Result) -> Any:  # noqa: ANN401 - matplotlib may be absent, and so its types
    panels = [panel for panel in result.scenario.panels if _has_data(panel, result.cases)]
    width, height = _PANEL_INCHES
    figure, axes = import_module("matplotlib.pyplot").subplots(
        1, len(panels), figsize=(width * len(panels), height), layout="constrained", squeeze=False
    )
    figure.get_layout_engine().set(wspace=_PANEL_GAP)
    figure.suptitle(f"{result.scenario.name}: {result.store}", x=0.01, ha="left", fontsize=10)
    for axis, panel in zip(axes[0], panels, strict=True):
        match panel:
            case Bars(name):
                _draw_bars(axis, name, result.cases)
            case Lines(name, along):
                _draw_line(axis, name, along, result.cases)
            case Curves(label):
                _draw_curves(axis, label, result.cases)
    return figure


def _has_data(panel: Panel, cases: Sequence[Case]) -> bool:
    if isinstance(panel, Curves):
        return any(case.timed() for case in cases)
    return any(case.values(panel.figure) for case in cases)


def _label(name: str, cases: Sequence[Case]) -> str:
    units = list(dict.fromkeys(case.unit for case in cases))
    return FIGURES[name].label.format(unit=units[0] if len(units) == 1 else "call")


def _draw_bars(axis: Any, name: str, cases: Sequence[Case]) -> None:  # noqa: ANN401 - as above
    """Bars that lie, so that the names of cases have room; the first case on top."""
    shown = [case for case in cases if case.values(name)]
    values = [case.values(name) for case in shown]
    medians = [statistics.median(each) for each in values]
    axis.barh(range(len(shown)), medians, height=0.6, color=_COLOURS[0], alpha=0.75)
    for place, (found, median) in enumerate(zip(values, medians, strict=True)):
        if len(found) > 1:
            axis.plot(found, [place] * len(found), "o", color=_INK, markersize=3, alpha=0.8)
        # The medians stand in a column of their own, so that no dot is in their way.
        edge = axis.get_yaxis_transform()
        axis.text(1, place, number(median), transform=edge, ha="right", va="center", fontsize=8)
    axis.set_yticks(range(len(shown)), [case.name for case in shown])
    # Few bars are no thicker than many.
    margin = max(0.0, (_BARS_MIN - len(shown)) / 2) + 0.5
    axis.set_ylim(len(shown) - 1 + margin, -margin)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.set_xlim(0, max(map(max, values)) * _MEDIAN_ROOM or 1)
    _plain_ticks(axis.xaxis)
    axis.set_xlabel(_label(name, shown))


def _draw_line(axis: Any, name: str, along: str, cases: Sequence[Case]) -> None:  # noqa: ANN401
    heights = [statistics.median(case.values(name)) for case in cases]
    places = [statistics.median(case.values(along)) for case in cases]
    axis.plot(places, heights, "o-", color=_COLOURS[0], markersize=3)
    axis.set_xlabel(_label(along, cases))
    axis.set_ylabel(_label(name, cases))
    axis.set_xlim(0, max(places) * _TOP_ROOM)
    axis.set_ylim(0, max(heights) * _TOP_ROOM)
    _plain_ticks(axis.xaxis)
    _plain_ticks(axis.yaxis)


def _draw_curves(axis: Any, label: str, cases: Sequence[Case]) -> None:  # noqa: ANN401 - as above
    curves = [
        (case.name if len(case.timed()) == 1 else timed, case.curve(timed))
        for case in cases
        for timed in case.timed()
    ]
    farthest = max(fraction for _, curve in curves for fraction, _ in curve)
    for index, (name, curve) in enumerate(curves):
        colour = _COLOURS[index % len(_COLOURS)]
        nines = [_nines(fraction) for fraction, _ in curve]
        milliseconds = [each for _, each in curve]
        axis.plot(nines, milliseconds, color=colour, linewidth=1.6, label=name)
    ticks = {name: fraction for name, fraction in _PERCENTILE_TICKS.items() if fraction <= farthest}
    axis.set_xticks([_nines(fraction) for fraction in ticks.values()], list(ticks))
    axis.set_xlim(0, _nines(farthest))
    axis.set_ylim(0, _TOP_ROOM * max(each for _, curve in curves for _, each in curve))
    axis.set_xlabel("percentile")
    axis.set_ylabel(f"{label} (ms)")
    _plain_ticks(axis.yaxis)
    if len(curves) > 1:
        # Above the curves, where none of them runs.
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
        axis.legend(ncols=_LEGEND_COLUMNS, handlelength=1.2, columnspacing=1.2, **above)


def _nines(fraction: float) -> float:
    """How many nines a fraction has: 0.9 has one, 0.99 two."""
    return -math.log10(1 - fraction)


def _plain_ticks(axis: Any) -> None:  # noqa: ANN401 - as above
    """Numbers as people write them, and not too many."""
    ticker = import_module("matplotlib.ticker")
    axis.set_major_locator(ticker.MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:,g}"))
