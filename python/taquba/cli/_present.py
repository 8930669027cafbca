"""How an answer is given: drawn, as JSON, or as one JSON object in each line; once, or live.

Invariants:
    1. JSON is ASCII: whatever users wrote is spelled out, and no terminal takes it for a command.
    2. `--ndjson` writes page by page: what is listed need not fit into memory.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import final

from taquba.cli._blocks import Block
from taquba.cli._screen import draw, is_fancy, is_terminal, renderable
from taquba.cli._source import walk
from taquba.cli._text import escaped
from taquba.cli._wire import Json, Page

__all__ = ["Listing", "present", "present_listing", "write_json"]

_CLEAR = "\x1b[H\x1b[2J"


def write_json(value: object) -> None:
    """Write one JSON object in one line."""
    # The one character of ASCII that JSON leaves as it is though it cannot be seen.
    sys.stdout.write(json.dumps(value).replace("\x7f", "\\u007f") + "\n")


def present(
    options: argparse.Namespace,
    look: Callable[[], Json],
    show: Callable[[Json], Iterable[Block]],
    rows: str = "",
) -> None:
    """Give an answer, again and again with `--watch`.

    Args:
        options: `json`, `watch`, and `ndjson` where there are rows.
        look: Asks for it.
        show: Makes blocks of it.
        rows: What the rows of it are called that are lines with `--ndjson`.
    """
    is_drawn = not options.json and not (rows and options.ndjson)

    def give(answer: Json) -> None:
        if is_drawn:
            draw(show(answer))
        elif options.json:
            write_json(answer)
        else:
            for row in answer[rows]:
                write_json(row)

    if options.watch is None:
        give(look())
    elif is_drawn and is_fancy(sys.stdout):
        _live(options.watch, look, show)
    else:
        for answer in _looks(options.watch, look):
            if is_drawn and is_terminal(sys.stdout):
                sys.stdout.write(_CLEAR)
            give(answer)
            sys.stdout.flush()


@final
class Listing:
    """A listing of rows.

    Args:
        name: What the rows are called in JSON.
        fetch: Returns a page, given where it begins and how many rows it may have.
        show: Makes blocks of rows.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[str | None, int], Page],
        show: Callable[[Sequence[Json]], Iterable[Block]],
    ) -> None:
        self.name = name
        self.show = show
        self._fetch = fetch

    def pages(self, options: argparse.Namespace) -> Iterator[Page]:
        """Return the pages that `--cursor` and `--limit` ask for."""
        return walk(self._fetch, options.cursor, options.limit)

    def look(self, options: argparse.Namespace) -> Json:
        """Return all of them as one answer."""
        rows: list[Json] = []
        cursor = None
        for page in self.pages(options):
            rows += page.rows
            cursor = page.cursor
        return {self.name: rows, "cursor": cursor}


def present_listing(options: argparse.Namespace, listing: Listing) -> None:
    """Give a listing."""
    if options.ndjson:
        _write_lines(options, listing)
        return

    def show(answer: Json) -> Iterable[Block]:
        return listing.show(answer[listing.name])

    cursors: list[str | None] = []

    def look() -> Json:
        answer = listing.look(options)
        cursors[:] = [answer["cursor"]]
        return answer

    present(options, look, show)
    if not options.json:
        _tell_rest(cursors[0])


def _write_lines(options: argparse.Namespace, listing: Listing) -> None:
    while True:
        cursor = None
        for page in listing.pages(options):
            for row in page.rows:
                write_json(row)
            cursor = page.cursor
        sys.stdout.flush()
        if options.watch is None:
            _tell_rest(cursor)
            return
        time.sleep(options.watch)


def _tell_rest(cursor: str | None) -> None:
    """Say where to go on: beside the answer, which may be read by a program."""
    if cursor is not None:
        sys.stderr.write(f"there is more: --cursor {escaped(cursor)}\n")


def _live(
    seconds: float, look: Callable[[], Json], show: Callable[[Json], Iterable[Block]]
) -> None:
    from rich.console import Console  # noqa: PLC0415 - an extra
    from rich.live import Live  # noqa: PLC0415 - the same

    console = Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
    with Live(console=console, auto_refresh=False, screen=True) as live:
        for answer in _looks(seconds, look):
            live.update(renderable(show(answer)), refresh=True)


def _looks(seconds: float, look: Callable[[], Json]) -> Iterator[Json]:
    while True:
        yield look()
        time.sleep(seconds)
