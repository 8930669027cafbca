"""Tables for a terminal: aligned columns, no frame."""

from collections.abc import Sequence

__all__ = ["number", "table"]

_SMALL = 10
_LARGE = 1000


def number(value: float | None) -> str:
    """A figure with as many digits as say something; empty where there is none."""
    if value is None:
        return ""
    if abs(value) >= _LARGE:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= _SMALL else f"{value:.2f}"


def table(rows: Sequence[Sequence[str]], label_count: int) -> list[str]:
    """The lines of a table.

    Args:
        rows: The first one is the header; all are of one length.
        label_count: So many columns come first that name a row and stand on the left; figures
            stand on the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index < label_count else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines
