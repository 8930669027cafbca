"""What a command shows: tables, records and lines, as values that a screen draws.

Invariants:
    1. Every text of a block is escaped when it is drawn, never before: what measures and what draws
       sees the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

__all__ = ["STYLES", "Block", "Column", "Lines", "Record", "Table"]

STYLES: Final[Mapping[str, str]] = {
    "pending": "yellow",
    "scheduled": "blue",
    "claimed": "cyan",
    "running": "cyan",
    "cancelling": "magenta",
    "done": "green",
    "succeeded": "green",
    "acked": "green",
    "dead": "red",
    "failed": "red",
    "nacked": "red",
    "dead-lettered": "red",
    "expired": "red",
    "lost": "red",
    "cancelled": "magenta",
}
"""Colours of states, and of how deliveries ended."""


@final
@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        title: Its heading.
        is_figure: Whether it stands on the right.
        is_cut: Whether it is cut short if the screen is too narrow. Ids are not: they are copied.
        is_wrapped: Whether it goes on in the next line instead.
    """

    title: str
    is_figure: bool = False
    is_cut: bool = False
    is_wrapped: bool = False


@final
@dataclass(frozen=True, slots=True)
class Table:
    """Rows below headings. A column in which nothing stands is not shown.

    Args:
        columns: The headings.
        rows: Texts, as many in each as there are columns.
        empty: What is said instead if there is no row.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    empty: str

    def without_empty(self) -> "Table":
        """Return it without the columns in which nothing stands."""
        places = [
            place for place in range(len(self.columns)) if any(row[place] for row in self.rows)
        ]
        columns = [self.columns[place] for place in places]
        return Table(columns, [[row[place] for place in places] for row in self.rows], self.empty)


@final
@dataclass(frozen=True, slots=True)
class Record:
    """Names and values of one thing.

    Args:
        title: What it is.
        state: Its state, which is coloured.
        fields: Names and values; those that are empty are not shown.
    """

    title: str
    state: str
    fields: Mapping[str, str]


@final
@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of text.

    Args:
        lines: The lines.
        style: Their colour, if any.
        indent: Spaces before each.
    """

    lines: Sequence[str]
    style: str = ""
    indent: int = field(default=0, kw_only=True)


Block: TypeAlias = Table | Record | Lines
