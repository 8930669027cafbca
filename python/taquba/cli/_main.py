"""Finds the subcommand and runs it.

Invariants:
    1. What goes wrong is told in one line on the standard error, without a traceback, if it is an
       error of the package's own.
    2. What is asked for goes to the standard output, and nothing else does.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import taquba
from taquba.cli import _verify
from taquba.cli._command import FAILED, Command
from taquba.exceptions import TaqubaError

__all__ = ["main"]

# One file for each.
_COMMANDS: Final[Sequence[Command]] = (_verify.COMMAND,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Those behind the name of the program; those of this process if absent.

    Returns:
        What the process ends with: 0 if all is well, 1 if there is something to act on, 2 if it
        could not be done.
    """
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command.run(options)
    except TaqubaError as error:
        sys.stderr.write(f"taquba {command.name}: {error} [{error.code}]\n")
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="taquba", description=taquba.__doc__)
    parser.add_argument("--version", action="version", version=taquba.__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        described = commands.add_parser(
            command.name, help=command.summary, description=command.description
        )
        command.add_arguments(described)
        described.set_defaults(command=command)
    return parser
