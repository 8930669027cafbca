"""A bar for long work, on the standard error: what was asked for stays on the standard output.

Without a terminal there is none.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Final

from taquba.cli._screen import is_fancy, is_terminal

__all__ = ["progress"]

_WIDTH: Final = 30


@contextlib.contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far work is.

    Args:
        what: What is counted.
        total: How many there are, if that is known.

    Returns:
        What is called with the count so far.
    """
    if is_fancy(sys.stderr):
        with _fancy(what, total) as update:
            yield update
    elif is_terminal(sys.stderr):
        try:
            yield lambda done: _draw(what, done, total)
        finally:
            sys.stderr.write("\n")
    else:
        yield _nothing


def _draw(what: str, done: int, total: int | None) -> None:
    if total:
        filled = _WIDTH * min(done, total) // total
        bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {done:,}/{total:,}"
    else:
        bar = f"{done:,}"
    sys.stderr.write(f"\r{bar} {what}")
    sys.stderr.flush()


@contextlib.contextmanager
def _fancy(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console  # noqa: PLC0415 - an extra
    from rich.progress import (  # noqa: PLC0415 - the same
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _nothing(_: int) -> None:
    """Show nothing."""
