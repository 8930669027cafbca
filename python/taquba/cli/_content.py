"""Payloads, results and values: taken from the command line, and given to it.

Invariants:
    1. Content is shown when it was asked for, and not otherwise.
    2. `--raw` writes the bytes as they are, all of them or none.
"""

import argparse
import base64
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from taquba.cli._blocks import Block, Lines
from taquba.cli._command import CommandError
from taquba.cli._text import size
from taquba.cli._wire import Content, Json

__all__ = ["add_content", "as_fields", "read_content", "read_file", "show", "write_raw"]

_STDIN: Final = "-"
# What fits on a few screens; `--raw` has the rest.
_SHOWN_BYTES_MAX: Final = 64 * 1024


def add_content(parser: argparse.ArgumentParser, name: str, what: str) -> None:
    """Add what gives content: itself, or a file."""
    parser.add_argument(name, nargs="?", metavar=name.upper(), help=f"{what}, as text")
    parser.add_argument("--file", metavar="FILE", help=f"{what}: a file, or - for standard input")


def read_content(given: str | None, file: str | None) -> bytes:
    """Read content that is given in one of both ways.

    Raises:
        CommandError: It is given in both ways or in none, or the file cannot be read.
    """
    if (given is None) == (file is None):
        message = "give the content on the command line, or --file FILE"
        raise CommandError(message)
    return read_file(file) if file is not None else _encoded(given or "")


def read_file(file: str) -> bytes:
    """Read a file, or the standard input if it is `-`.

    Raises:
        CommandError: The file cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
    except OSError as error:
        message = f"`{file}` cannot be read: {error.strerror}"
        raise CommandError(message) from None


def as_fields(name: str, content: bytes) -> Json:
    """Return content as a request to the owner has it."""
    return {f"{name}_base64": base64.b64encode(content).decode()}


def show(name: str, content: Content) -> Iterator[Block]:
    """Return content as blocks: text, or base64 of what is no text."""
    shown = Content(content.content[:_SHOWN_BYTES_MAX], content.size_bytes)
    text = shown.text()
    kind = "" if text is not None else ", as base64"
    kind += f", the first {size(len(shown.content))}: --raw has all" if shown.is_cut else ""
    yield Lines([f"{name} ({size(content.size_bytes)}{kind})"], "bold")
    if text is None:
        text = base64.b64encode(shown.content).decode()
    yield Lines(text.split("\n"), indent=2)


def write_raw(content: Content) -> None:
    """Write content as it is.

    Raises:
        CommandError: Only the beginning of it is known.
    """
    if content.is_cut:
        message = f"the owner shows {size(len(content.content))} of it: give STORE to have all"
        raise CommandError(message, code="content-cut")
    sys.stdout.flush()
    sys.stdout.buffer.write(content.content)
    sys.stdout.buffer.flush()


def _encoded(text: str) -> bytes:
    # Bytes of the command line that are no UTF-8 are kept as they were given.
    return text.encode("utf-8", "surrogateescape")
