"""What shows progress to people: a bar in a terminal or a notebook, a line now and then elsewhere.

Invariants:
    1. A library that is missing is no error: the next simpler display takes its place.
    2. Everything goes to the standard error: what a script prints stays what it is.
    3. Nothing runs beside: a display changes when it is told something, and only then.
"""

import importlib
import sys
from typing import Any, Final, Protocol, TextIO, final

from taquba.progress._progress import Progress

__all__ = ["Display", "LineDisplay", "RichDisplay", "TqdmDisplay", "choose"]

# In a log of a machine: often enough to see that it lives, seldom enough to be read.
_LINE_SECONDS: Final = 10.0
_BAR_WIDTH: Final = 20


class Display(Protocol):
    """Shows progress."""

    def update(self, progress: Progress) -> None:
        """Show how far it has come."""

    def close(self) -> None:
        """Show nothing more, and leave the terminal as it was. Closing twice is fine."""


@final
class LineDisplay:
    """A line at the beginning, every 10 seconds, and at the end.

    Args:
        stream: Where it is written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next_seconds = 0.0

    def update(self, progress: Progress) -> None:
        """Write a line if one is due."""
        if progress.elapsed_seconds < self._next_seconds and not progress.is_done:
            return
        self._next_seconds = progress.elapsed_seconds + _LINE_SECONDS
        self._stream.write(f"{progress}\n")
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: a line stays."""


@final
class RichDisplay:
    """A bar of `rich`.

    Args:
        stream: The terminal.

    Raises:
        ImportError: `rich` is not installed.
    """

    def __init__(self, stream: TextIO) -> None:
        rich = importlib.import_module("rich.progress")
        console = importlib.import_module("rich.console").Console(file=stream)
        # One line, also in a narrow terminal.
        line = importlib.import_module("rich.table").Column(no_wrap=True, overflow="ellipsis")
        text = rich.TextColumn("{task.description}", markup=False, table_column=line)
        bar = rich.BarColumn(bar_width=_BAR_WIDTH)
        # Refreshed by us: a thread of its own would go on when nobody looks any more.
        self._bars = rich.Progress(bar, text, console=console, auto_refresh=False)
        self._bar: Any = None

    def update(self, progress: Progress) -> None:
        """Move the bar."""
        if self._bar is None:
            self._bars.start()
            self._bar = self._bars.add_task("", total=progress.total_count)
        self._bars.update(
            self._bar,
            completed=progress.ended_count,
            description=str(progress),
            refresh=True,
        )

    def close(self) -> None:
        """Leave the bar where it is, and the cursor visible."""
        if self._bar is not None:
            self._bars.stop()


@final
class TqdmDisplay:
    """A bar of `tqdm` in a notebook.

    Args:
        make: Makes the bar: `tqdm.notebook.tqdm`.
    """

    def __init__(self, make: Any) -> None:  # noqa: ANN401 - tqdm may be missing
        self._make = make
        self._bar: Any = None

    def update(self, progress: Progress) -> None:
        """Move the bar."""
        if self._bar is None:
            self._bar = self._make(total=progress.total_count, unit="run")
        self._bar.n = progress.ended_count
        self._bar.set_postfix_str(str(progress), refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """Leave the bar where it is."""
        if self._bar is not None:
            self._bar.close()


def choose() -> Display | None:
    """Return what suits the place in which this process runs; `None` if it has no place to show."""
    stream = sys.stderr
    if _is_notebook():
        found = _tqdm()
        if found is not None:
            return found
    if stream is None or stream.closed:
        return None
    if stream.isatty():
        found = _rich(stream)
        if found is not None:
            return found
    return LineDisplay(stream)


def _tqdm() -> Display | None:
    try:
        # It needs `ipywidgets`, and says so when a bar is made.
        importlib.import_module("ipywidgets")
        return TqdmDisplay(importlib.import_module("tqdm.notebook").tqdm)
    except ImportError:
        return None


def _rich(stream: TextIO) -> Display | None:
    try:
        return RichDisplay(stream)
    except ImportError:
        return None


def _is_notebook() -> bool:
    # Nobody is in a notebook who has not imported IPython.
    ipython = sys.modules.get("IPython")
    shell = getattr(ipython, "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
