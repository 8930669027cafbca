"""One picture of the rates, for the README: bars on a log scale, taquba in a colour of its own.

The SVG is written here, with no library, so the same records give the same bytes. A PNG is drawn
from the same bars if matplotlib is there. A bar ends at the median; the line on it goes from the
minimum to the maximum of the repeats.
"""

import importlib
import importlib.util
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from benches.peers import _table
from benches.peers._peer import HOME

PANELS = (
    ("steps", "durable steps per second"),
    ("enqueue", "durable enqueues per second"),
    ("drain", "jobs worked off per second"),
)
LEGEND = "log scale; bar: median, line: range"
OURS, THEIRS, INK, FAINT, PAPER = "#d9480f", "#adb5bd", "#212529", "#dee2e6", "#ffffff"
NAME_WIDTH, PANEL_WIDTH, GAP, ROW, HEAD, FOOT, MARGIN = 190, 230, 26, 24, 44, 30, 14
BAR = 14
# Room right of the longest bar for its figure, as a share of the panel.
FIGURE_SHARE = 0.2
NAMESPACE = "http://www.w3.org/2000/svg"
STYLE = f"font: 12px system-ui, sans-serif; fill: {INK}"
EMPHASIS = {"font_weight": "700"}


@dataclass(frozen=True)
class Bar:
    """One figure of one peer."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One peer; a panel that it has no figure for is `None`."""

    title: str
    is_ours: bool
    bars: tuple[Bar | None, ...]


def rows(records: Sequence[_table.Record]) -> list[Row]:
    """Peers with a figure for at least one panel, the fastest steps first, then drains."""
    found = []
    for name in _table.names(records):
        bars = tuple(_bar(records, name, workload) for workload, _ in PANELS)
        if any(bars):
            title = next(str(r["title"]) for r in records if r["peer"] == name)
            found.append(Row(title, name == HOME, bars))

    def rank(row: Row) -> tuple[float, ...]:
        steps, enqueue, drain = (bar.median if bar else 0.0 for bar in row.bars)
        return (-steps, -drain, -enqueue)

    return sorted(found, key=rank)


def _bar(records: Sequence[_table.Record], name: str, workload: str) -> Bar | None:
    values = list(_table.values(records, name, workload, _table.rate).values())
    return Bar(statistics.median(values), min(values), max(values)) if values else None


def scale(found: Sequence[Row]) -> tuple[int, int]:
    """The powers of ten that all panels go from and to, so that bars of two panels compare."""
    there = [bar for row in found for bar in row.bars if bar is not None and bar.low > 0]
    if not there:
        return 0, 1
    low = math.floor(math.log10(min(bar.low for bar in there)))
    high = math.ceil(math.log10(max(bar.high for bar in there)))
    return low, max(high, low + 1)


def svg(records: Sequence[_table.Record]) -> str:
    """The whole picture."""
    found = rows(records)
    width = 2 * MARGIN + NAME_WIDTH + len(PANELS) * PANEL_WIDTH + (len(PANELS) - 1) * GAP
    height = HEAD + len(found) * ROW + FOOT
    picture = ET.Element("svg", xmlns=NAMESPACE, viewBox=f"0 0 {width} {height}", style=STYLE)
    _box(picture, 0, 0, width, height, PAPER)
    for number, row in enumerate(found):
        y = HEAD + (number + 0.5) * ROW + 4
        _text(picture, MARGIN, y, row.title, **(EMPHASIS if row.is_ours else {}))
    _text(picture, MARGIN, height - 14, LEGEND, font_size="10")
    for number, (_, title) in enumerate(PANELS):
        left = MARGIN + NAME_WIDTH + number * (PANEL_WIDTH + GAP)
        _text(picture, left, 18, title, font_weight="600")
        _panel(picture, found, number, left)
    ET.indent(picture)
    return ET.tostring(picture, encoding="unicode") + "\n"


def _panel(picture: ET.Element, found: Sequence[Row], number: int, left: float) -> None:
    low, high = scale(found)
    inner = PANEL_WIDTH * (1 - FIGURE_SHARE)

    def x(value: float) -> float:
        return left + inner * (math.log10(value) - low) / (high - low)

    bottom = HEAD + len(found) * ROW
    for power in range(low, high + 1):
        at = x(10.0**power)
        _line(picture, (at, HEAD - 6), (at, bottom), FAINT)
        _text(picture, at, bottom + 16, _power(power), text_anchor="middle", font_size="10")
    for place, row in enumerate(found):
        bar, middle = row.bars[number], HEAD + (place + 0.5) * ROW
        if bar is None:
            _text(picture, left + 4, middle + 4, _table.NOTHING, fill=THEIRS)
            continue
        end = x(bar.median)
        colour = OURS if row.is_ours else THEIRS
        _box(picture, left, middle - BAR / 2, max(1.0, end - left), BAR, colour)
        _line(picture, (x(bar.low), middle), (x(bar.high), middle), INK)
        figure = _table.digits(bar.median)
        style = EMPHASIS if row.is_ours else {}
        _text(picture, x(bar.high) + 5, middle + 4, figure, font_size="11", **style)


def _box(  # noqa: PLR0913, PLR0917 - a box is its place, its size and its colour
    picture: ET.Element, x: float, y: float, width: float, height: float, fill: str
) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}"}
    ET.SubElement(picture, "rect", place, fill=fill)


def _line(
    picture: ET.Element, start: tuple[float, float], end: tuple[float, float], stroke: str
) -> None:
    place = {"x1": f"{start[0]:.1f}", "y1": f"{start[1]:.1f}"}
    place |= {"x2": f"{end[0]:.1f}", "y2": f"{end[1]:.1f}"}
    ET.SubElement(picture, "line", place, stroke=stroke)


def _text(picture: ET.Element, x: float, y: float, text: str, **style: str) -> None:
    names = {name.replace("_", "-"): value for name, value in style.items()}
    ET.SubElement(picture, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}"} | names).text = text


def _power(power: int) -> str:
    names = {3: "1 k", 4: "10 k", 5: "100 k", 6: "1 M"}
    return names.get(power, f"{10**power:,}" if power >= 0 else f"{10.0**power:g}")


def write(records: Sequence[_table.Record], path: Path) -> list[str]:
    """Writes the SVG, and the PNG beside it if matplotlib is there; says what it did."""
    if not rows(records):
        return ["nothing to draw"]
    place = path.with_suffix(".svg")
    place.write_text(svg(records))
    if importlib.util.find_spec("matplotlib") is None:
        return [f"drew {place}; no PNG: matplotlib is not installed"]
    _write_png(rows(records), path.with_suffix(".png"))
    return [f"drew {place} and {path.with_suffix('.png')}"]


def _write_png(found: Sequence[Row], path: Path) -> None:
    # Not a dependency, so its types are not known here.
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(
        1, len(PANELS), figsize=(13, 1.2 + 0.36 * len(found)), sharey=True, layout="constrained"
    )
    for number, (_, title) in enumerate(PANELS):
        axis, (low, high) = axes[number], scale(found)
        for place, row in enumerate(found):
            bar = row.bars[number]
            if bar is None:
                continue
            errors = [[bar.median - bar.low], [bar.high - bar.median]]
            colour = OURS if row.is_ours else THEIRS
            axis.barh(place, bar.median, xerr=errors, color=colour, ecolor=INK, height=0.6)
            axis.text(bar.high * 1.15, place, _table.digits(bar.median), va="center", fontsize=9)
        axis.set_xscale("log")
        axis.set_xlim(10.0**low, 10.0 ** (high + FIGURE_SHARE * (high - low)))
        axis.set_title(title, fontsize=10, loc="left")
        axis.grid(axis="x", color=FAINT)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(found)), [row.title for row in found])
    for label, row in zip(axes[0].get_yticklabels(), found, strict=True):
        label.set_color(OURS if row.is_ours else INK)
        label.set_fontweight("bold" if row.is_ours else "normal")
    axes[0].invert_yaxis()
    figure.supxlabel(LEGEND, fontsize=9)
    figure.savefig(path, dpi=160)
    pyplot.close(figure)
