"""What every subcommand is made of, and what all of them end with."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

__all__ = ["FAILED", "FOUND", "INTERRUPTED", "OK", "PIPE_CLOSED", "Command", "CommandError"]

OK: Final = 0
"""All is well."""
FOUND: Final = 1
"""It was done, and there is something to act on."""
FAILED: Final = 2
"""It could not be done; `argparse` ends with the same."""
INTERRUPTED: Final = 130
"""Ctrl-C; what a shell says of a process that SIGINT has ended."""
PIPE_CLOSED: Final = 141
"""Nobody reads the output any more; the same for SIGPIPE."""


@final
class CommandError(Exception):
    """It cannot be done, for a reason that is told in one line.

    Args:
        message: What is wrong, and what to do.
        code: A stable name of the reason.
    """

    def __init__(self, message: str, *, code: str = "cli") -> None:
        super().__init__(message)
        self.code = code


def _no_arguments(_: argparse.ArgumentParser) -> None:
    """Add no options."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One subcommand, or a group of them.

    Args:
        name: What it is called on the command line.
        summary: What it does, in one line.
        description: The same in full, for `--help`.
        add_arguments: Adds its options.
        run: Does it. Returns what the process ends with. `None` for a group.
        subcommands: The commands of a group.
        takes_rest: Whether it reads what follows its name by itself, from `options.rest`.
    """

    name: str
    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments
    run: Callable[[argparse.Namespace], int] | None = None
    subcommands: "Sequence[Command]" = ()
    takes_rest: bool = False
