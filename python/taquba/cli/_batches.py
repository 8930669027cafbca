"""Many new jobs or runs from a file of JSON lines, sent in batches.

Invariants:
    1. A batch is taken by the owner wholly or not at all. Of a file of several batches those before
       the refused one are in, and their ids were written.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Final

from taquba.cli._command import OK, CommandError
from taquba.cli._content import read_file
from taquba.cli._present import write_json
from taquba.cli._progress import progress
from taquba.cli._source import owner_of
from taquba.cli._text import escaped
from taquba.cli._wire import Json

__all__ = ["add_option", "send"]

# What the owner takes at once.
_BATCH_LINES_MAX: Final = 10_000
_BATCH_BYTES_MAX: Final = 60 * 1024 * 1024


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add `--batch`."""
    parser.add_argument(
        "--batch",
        metavar="FILE",
        help="one JSON object in each line, with the fields of the admin API; - for standard "
        f"input. Each {_BATCH_LINES_MAX:,} lines are taken wholly or not at all",
    )


def send(
    options: argparse.Namespace, route: str, ids: Callable[[Json], list[str]], **query: object
) -> int:
    """Send the lines of a file.

    Args:
        options: `batch`, `admin` and `json`.
        route: Where to.
        ids: Returns the ids that an answer has.
        **query: Parameters.

    Raises:
        CommandError: A batch was refused; the message says how many lines are in.
    """
    lines = [line for line in read_file(options.batch).splitlines() if line.strip()]
    owner = owner_of(options)
    sent = 0
    with progress("lines", len(lines)) as bar:
        for batch in _batches(lines):
            try:
                answer = owner.post_lines(route, b"\n".join(batch), **query)
            except CommandError as error:
                place = f"lines {sent + 1:,} to {sent + len(batch):,}, none of which is in"
                message = f"{place}: {error}; {sent:,} of {len(lines):,} are in"
                raise CommandError(message, code=error.code) from None
            sent += len(batch)
            bar(sent)
            if options.json:
                write_json(answer)
            else:
                sys.stdout.writelines(f"{escaped(each)}\n" for each in ids(answer))
    return OK


def _batches(lines: list[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and (len(batch) >= _BATCH_LINES_MAX or size + len(line) >= _BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line) + 1
    if batch:
        yield batch
