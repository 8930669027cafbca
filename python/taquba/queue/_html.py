"""Small tables for notebooks: what `_repr_html_` of stats, jobs and runs is made of.

Invariants:
    1. Every text is escaped, cut, and free of what looks like a secret; what cannot be seen is
       spelled out. There are no scripts, no styles, no links.
    2. No payload and no result is ever shown.
    3. A table has a bound: what it leaves out is counted in its last line.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

__all__ = ["fields", "table"]

_TEXT_LENGTH_MAX: Final = 200
_ROW_COUNT_MAX: Final = 100
_HEADER_COUNT_MAX: Final = 20


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table with one row for each of several things.

    Args:
        caption: What they are.
        columns: What each column shows.
        rows: Texts, numbers, instants in UTC, truth values, headers, or `None` for nothing.
    """
    head = "".join(f"<th>{_escaped(column)}</th>" for column in columns)
    lines = [f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows[:_ROW_COUNT_MAX]]
    untold = len(rows) - _ROW_COUNT_MAX
    if untold > 0:
        lines.append(f'<tr><td colspan="{len(columns)}">and {untold} more</td></tr>')
    return _whole(caption, f"<thead><tr>{head}</tr></thead>", lines)


def fields(caption: str, values: Mapping[str, object]) -> str:
    """Return a table with one row for each field of one thing; absent ones are left out.

    Args:
        caption: What it is.
        values: By name, as for `table`.
    """
    lines = [
        f"<tr><th>{_escaped(name)}</th>{_cell(value)}</tr>"
        for name, value in values.items()
        if value is not None
    ]
    return _whole(caption, "", lines)


def _whole(caption: str, head: str, lines: Iterable[str]) -> str:
    body = "".join(lines)
    return f"<table><caption>{_escaped(caption)}</caption>{head}<tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    return f"<td>{_shown(value)}</td>"


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return _headers(value)
    return _escaped(_redacted(str(value)))


def _headers(headers: Mapping[str, str]) -> str:
    # Searching for secrets takes longer to import than all of a notebook's first table.
    from taquba._redact import redact_headers  # noqa: PLC0415

    shown = list(redact_headers(headers).items())[:_HEADER_COUNT_MAX]
    lines = [f"{_escaped(name)}: {_escaped(value)}" for name, value in shown]
    untold = len(headers) - len(shown)
    if untold > 0:
        lines.append(f"and {untold} more")
    return "<br>".join(lines)


def _redacted(text: str) -> str:
    from taquba._redact import redact_text  # noqa: PLC0415 - the same

    # Cut behind it: half a secret is not found.
    return redact_text(text)


def _escaped(text: str) -> str:
    if len(text) > _TEXT_LENGTH_MAX:
        text = text[: _TEXT_LENGTH_MAX - 3] + "..."
    seen = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return html.escape(seen)
