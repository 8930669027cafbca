"""Draws blocks: with `rich` on a terminal if the extra `cli` is installed, as plain text otherwise.

Invariants:
    1. What does not go to a terminal has no colours and is not cut.
    2. Everything is escaped here, at the last moment.
"""

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final, TextIO

from taquba.cli._blocks import STYLES, Block, Column, Lines, Record, Table
from taquba.cli._text import cut, escaped

__all__ = ["draw", "is_fancy", "is_terminal", "renderable"]

_GAP: Final = "  "
# Of a column that gives way; narrower says nothing.
_COLUMN_MIN: Final = 12


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person looks at a stream."""
    return stream.isatty()


def is_fancy(stream: TextIO) -> bool:
    """Return whether `rich` draws on a stream."""
    return is_terminal(stream) and find_spec("rich") is not None


def draw(blocks: Iterable[Block]) -> None:
    """Draw blocks on the standard output."""
    if is_fancy(sys.stdout):
        from rich.console import Console  # noqa: PLC0415 - an extra

        Console(file=sys.stdout, highlight=False, emoji=False, markup=False).print(
            renderable(blocks)
        )
        return
    width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
    for block in blocks:
        for line in _plain(block, width):
            sys.stdout.write(line + "\n")


def _plain(block: Block, width: int | None) -> list[str]:
    match block:
        case Table():
            return _plain_table(block, width)
        case Record(title, state, fields):
            head = f"{title}  {state}" if state else title
            return [escaped(head), *(f"{_GAP}{name}  {value}" for name, value in _aligned(fields))]
        case Lines(lines):
            return [" " * block.indent + escaped(line) for line in lines]


def _plain_table(table: Table, width: int | None) -> list[str]:
    if not table.rows:
        return [table.empty]
    table = table.without_empty()
    titles = [column.title for column in table.columns]
    rows = [titles, *(list(map(escaped, row)) for row in table.rows)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    if width is not None:
        widths = _fitted(table.columns, widths, width)
    return [
        _GAP.join(
            cut(cell, size).rjust(size) if column.is_figure else cut(cell, size).ljust(size)
            for column, cell, size in zip(table.columns, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _fitted(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Make the columns that give way so narrow that all of them fit, if that can be."""
    fitted = list(widths)
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    for place in reversed(range(len(columns))):
        if excess > 0 and columns[place].is_cut:
            taken = min(excess, max(0, fitted[place] - _COLUMN_MIN))
            fitted[place] -= taken
            excess -= taken
    return fitted


def _aligned(fields: Mapping[str, str]) -> list[tuple[str, str]]:
    shown = {escaped(name): escaped(value) for name, value in fields.items() if value}
    width = max(map(len, shown), default=0)
    return [(name.ljust(width), value) for name, value in shown.items()]


def renderable(blocks: Iterable[Block]) -> Any:  # noqa: ANN401 - of `rich`, which may be absent
    """Return blocks as `rich` draws them. `rich` has to be there."""
    from rich.console import Group  # noqa: PLC0415 - an extra

    return Group(*map(_rich, blocks))


def _rich(block: Block) -> Any:  # noqa: ANN401 - the same
    from rich.text import Text  # noqa: PLC0415 - an extra

    match block:
        case Table():
            return _rich_table(block)
        case Record(title, state, fields):
            text = Text(escaped(title), style="bold")
            if state:
                text.append(f"  {escaped(state)}", style=STYLES.get(state, ""))
            for name, value in _aligned(fields):
                text.append(f"\n{_GAP}{name}", style="dim")
                text.append(f"{_GAP}{value}", style="not bold")
            return text
        case Lines(lines, style):
            indent = " " * block.indent
            return Text("\n".join(indent + escaped(line) for line in lines), style=style)


def _rich_table(table: Table) -> Any:  # noqa: ANN401 - the same
    from rich.table import Table as RichTable  # noqa: PLC0415 - an extra
    from rich.text import Text  # noqa: PLC0415 - an extra

    if not table.rows:
        return Text(table.empty, style="dim")
    table = table.without_empty()
    gives_way = any(column.is_cut or column.is_wrapped for column in table.columns)
    drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    drawn.expand = gives_way
    for column in table.columns:
        drawn.add_column(
            Text(column.title),
            justify="right" if column.is_figure else "left",
            no_wrap=not column.is_wrapped,
            overflow="ellipsis" if column.is_cut else "fold",
            ratio=1 if column.is_cut or column.is_wrapped else None,
        )
    for row in table.rows:
        drawn.add_row(*(Text(escaped(cell), style=STYLES.get(cell, "")) for cell in row))
    return drawn
