"""Finds the subcommand and runs it.

Invariants:
    1. What goes wrong is told in one line on the standard error, without a traceback, if it is an
       error of the package's own.
    2. What is asked for goes to the standard output, and nothing else does.
    3. No text of an error reaches the terminal with control characters in it.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from taquba.cli import (
    _bench,
    _completion,
    _dashboard,
    _dead,
    _doctor,
    _jobs,
    _kv,
    _memo,
    _queues,
    _runs,
    _verify,
    _worker,
)
from taquba.cli._command import (
    FAILED,
    INTERRUPTED,
    PIPE_CLOSED,
    Command,
    CommandError,
)
from taquba.cli._parser import parser_of
from taquba.cli._text import escaped
from taquba.exceptions import TaqubaError

__all__ = ["main"]

# One file for each, in the order in which `--help` shows them.
_COMMANDS: Final[Sequence[Command]] = (
    _queues.COMMAND,
    _jobs.COMMAND,
    _runs.COMMAND,
    _dead.COMMAND,
    _memo.COMMAND,
    _kv.COMMAND,
    _worker.COMMAND,
    _dashboard.COMMAND,
    _doctor.COMMAND,
    _verify.COMMAND,
    _bench.COMMAND,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Those behind the name of the program; those of this process if absent.

    Returns:
        What the process ends with: 0 if all is well, 1 if there is something to act on, 2 if it
        could not be done, 130 after Ctrl-C, 141 if nobody reads the output any more.
    """
    options = _parser().parse_args(arguments)
    try:
        ended_with: int = options.run(options)
        sys.stdout.flush()
    except (TaqubaError, CommandError) as error:
        _tell(options.words, f"{error} [{error.code}]")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_output()
        return PIPE_CLOSED
    return ended_with


def _parser() -> argparse.ArgumentParser:
    return parser_of([*_COMMANDS, _completion.command(_parser)])


def _tell(words: str, message: str) -> None:
    sys.stderr.write(f"{words}: {escaped(message)}\n")


def _close_output() -> None:
    """Lead what is still in the buffer nowhere, or the interpreter complains of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
