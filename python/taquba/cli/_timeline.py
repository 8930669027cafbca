"""The steps of a run along the time that it has taken.

Invariants:
    1. A bar is as long as its time; what is too short to be seen is one character.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from taquba.cli._blocks import Block, Column, Lines, Table
from taquba.cli._text import duration, read_instant
from taquba.cli._wire import Json

__all__ = ["timeline"]

_WIDTH: Final = 28
_WAITED: Final = "."
_WORKED: Final = "#"
# The latest that a store keeps of a run.
_STEPS_KEPT: Final = 32


def timeline(steps: Sequence[Json], now: datetime | None = None) -> list[Block]:
    """Show steps, oldest first, with how long each waited and worked, and what went wrong.

    Args:
        steps: Those of an answer.
        now: Where a step that has not ended ends.
    """
    if not steps:
        return [Lines(["no steps are known any more"], "dim")]
    here = now or datetime.now(UTC)
    first = _at(steps[0]["ready_at"], here)
    last = max(_end(step, here) for step in steps)
    columns = [
        Column("step", is_figure=True),
        Column("after", is_figure=True),
        Column("waited", is_figure=True),
        Column("took", is_figure=True),
        Column("attempts", is_figure=True),
        Column(f"{_WAITED} waits  {_WORKED} works"),
        Column("error", is_wrapped=True),
    ]
    rows = [_row(step, first, last, here) for step in steps]
    blocks: list[Block] = [Table(columns, rows, "")]
    if steps[0]["step_number"] > 0:
        blocks.insert(0, Lines([f"the latest {_STEPS_KEPT} steps"], "dim"))
    return blocks


def _row(step: Json, first: datetime, last: datetime, now: datetime) -> list[str]:
    ready, end = _at(step["ready_at"], now), _end(step, now)
    began = read_instant(step["started_at"])
    waited = duration((began or end) - ready)
    took = "" if began is None else duration(end - began)
    return [
        str(step["step_number"]),
        duration(ready - first),
        waited,
        took if step["ended_at"] or not took else f"{took}...",
        str(step["attempts"]),
        _bar(first, last, ready, began or end, end),
        step["error"] or "",
    ]


def _bar(first: datetime, last: datetime, ready: datetime, began: datetime, end: datetime) -> str:
    span = max(last - first, timedelta(milliseconds=1))

    def place(at: datetime) -> int:
        return min(_WIDTH, max(0, int((at - first) / span * _WIDTH)))

    work = max(1, place(end) - place(began)) if began < end or ready == began else 0
    waits = place(began) - place(ready)
    return " " * place(ready) + _WAITED * waits + _WORKED * work


def _end(step: Json, now: datetime) -> datetime:
    return _at(step["ended_at"], now)


def _at(text: str | None, otherwise: datetime) -> datetime:
    return read_instant(text) or otherwise
