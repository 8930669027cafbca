"""Options that several commands share, and what they may be.

A command reads from a store, `STORE` or `TAQUBA_URL`, or asks the owner, `--admin` or
`TAQUBA_ADMIN`. What stands on the command line goes before what stands in the environment.
"""

import argparse
import os
import re
from collections.abc import Callable
from typing import Final

from taquba.cli._command import CommandError

__all__ = [
    "ADMIN_VARIABLE",
    "STORE_VARIABLE",
    "TOKEN_VARIABLE",
    "add_acting",
    "add_admin",
    "add_json",
    "add_listing",
    "add_reading",
    "add_store",
    "admin_address",
    "between",
    "count",
    "header",
    "seconds",
    "store_url",
]

STORE_VARIABLE: Final = "TAQUBA_URL"
ADMIN_VARIABLE: Final = "TAQUBA_ADMIN"
TOKEN_VARIABLE: Final = "TAQUBA_ADMIN_TOKEN"  # noqa: S105 - the name of a variable

_LIMIT_DEFAULT: Final = 100
# What is collected for a table has to fit into memory.
_LIMIT_MAX: Final = 1_000_000
_WATCH_DEFAULT: Final = 2.0
_WATCH_MIN: Final = 0.1
_DAY: Final = 86400.0
_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": _DAY}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `[STORE] --path`."""
    parser.add_argument(
        "store",
        nargs="?",
        metavar="STORE",
        help="a directory, or s3://, gs://, az:// with bucket and prefix; "
        f"${STORE_VARIABLE} if absent",
    )
    parser.add_argument("--path", default="taquba", help="where in the store (%(default)s)")


def add_admin(parser: argparse.ArgumentParser) -> None:
    """Add `--admin`."""
    parser.add_argument(
        "--admin",
        metavar="URL",
        help=f"where the owner serves taquba.admin; ${ADMIN_VARIABLE} if absent. Its token, if it "
        f"wants one, is ${TOKEN_VARIABLE}",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that reads: where from, and how it is shown."""
    add_store(parser)
    add_admin(parser)
    add_json(parser)
    parser.add_argument(
        "--watch",
        nargs="?",
        type=_watch_seconds,
        const=_WATCH_DEFAULT,
        metavar="SECONDS",
        help=f"look again and again, each SECONDS ({_WATCH_DEFAULT:g})",
    )


def add_listing(parser: argparse.ArgumentParser) -> None:
    """Add the same, and what listings take."""
    add_reading(parser)
    parser.add_argument("--ndjson", action="store_true", help="one JSON object in each line")
    parser.add_argument(
        "--limit",
        type=count(1, _LIMIT_MAX),
        default=_LIMIT_DEFAULT,
        metavar="N",
        help="at most this many (%(default)s)",
    )
    parser.add_argument("--cursor", help="where to go on, as the listing before has said")


def add_acting(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that changes something."""
    add_admin(parser)
    add_json(parser)


def store_url(options: argparse.Namespace) -> str:
    """Return the store.

    Raises:
        CommandError: There is none.
    """
    found = options.store or os.environ.get(STORE_VARIABLE)
    if not found:
        message = f"no store: give STORE, or set {STORE_VARIABLE}"
        raise CommandError(message, code="no-store")
    return str(found)


def admin_address(options: argparse.Namespace) -> str:
    """Return where the owner listens.

    Raises:
        CommandError: Nobody has said so.
    """
    found = options.admin or os.environ.get(ADMIN_VARIABLE)
    if not found:
        message = (
            "a change is made by the process that owns the store: give --admin URL, or set "
            f"{ADMIN_VARIABLE}. A worker has an address with `taquba worker --admin`, a service "
            "that mounts `taquba.admin`"
        )
        raise CommandError(message, code="no-owner-address")
    return str(found)


def count(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return what reads a number within bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            message = f"{text!r}: give {minimum} to {maximum}"
            raise argparse.ArgumentTypeError(message)
        return value

    return read


def between(minimum: float, maximum: float) -> Callable[[str], float]:
    """Return what reads a duration within bounds, in seconds."""

    def read(text: str) -> float:
        value = seconds(text)
        if not minimum <= value <= maximum:
            message = f"{text!r}: give {minimum:g} to {maximum:g} seconds"
            raise argparse.ArgumentTypeError(message)
        return value

    return read


def seconds(text: str) -> float:
    """Read a duration: `90`, `90s`, `15m`, `2h`, `7d`, `250ms`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        message = f"{text!r}: give a duration such as 90s, 15m, 2h or 7d"
        raise argparse.ArgumentTypeError(message)
    return float(match.group(1)) * _UNITS[match.group(2)]


def header(text: str) -> tuple[str, str]:
    """Read `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        message = f"{text!r}: give NAME=VALUE"
        raise argparse.ArgumentTypeError(message)
    return name, value


def _watch_seconds(text: str) -> float:
    try:
        return between(_WATCH_MIN, _DAY)(text)
    except argparse.ArgumentTypeError as error:
        # What stands behind it may be meant as something else.
        message = f"{error}; if that is STORE or an id, put it before --watch"
        raise argparse.ArgumentTypeError(message) from None
