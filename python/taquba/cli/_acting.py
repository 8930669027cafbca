"""Changes: given to the owner, one after the other, and told how each ended.

Invariants:
    1. One that is refused does not keep the others: all are tried, and the end says so.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from taquba.cli._command import FAILED, OK, CommandError
from taquba.cli._owner import Owner
from taquba.cli._present import write_json
from taquba.cli._source import owner_of
from taquba.cli._text import escaped
from taquba.cli._wire import Json

__all__ = ["act_on_each", "confirm", "say"]

_YES = frozenset({"y", "yes"})


def act_on_each(
    options: argparse.Namespace,
    name: str,
    ids: Sequence[str],
    act: Callable[[Owner, str], tuple[Json, str]],
) -> int:
    """Do something to each of some jobs or runs.

    Args:
        options: `admin` and `json`.
        name: What an id is called in JSON.
        ids: The ids.
        act: Does it to one. Returns the owner's answer, and it in words.

    Returns:
        What the process ends with: 2 if one was refused.
    """
    owner = owner_of(options)
    done: list[Json] = []
    errors: list[Json] = []
    for each in ids:
        try:
            answer, words = act(owner, each)
        except CommandError as error:
            errors.append({name: each, "code": error.code, "message": str(error)})
            sys.stderr.write(f"{escaped(each)}: {escaped(str(error))} [{escaped(error.code)}]\n")
        else:
            done.append({**answer, name: each})
            if not options.json:
                say(f"{each}  {words}")
    if options.json:
        write_json({"done": done, "errors": errors})
    return FAILED if errors else OK


def say(line: str) -> None:
    """Write one line of text."""
    sys.stdout.write(escaped(line) + "\n")


def confirm(options: argparse.Namespace, question: str) -> None:
    """Ask a person before much is changed; `--yes` has answered.

    Raises:
        CommandError: The answer is no, or there is nobody to ask.
    """
    if options.yes:
        return
    if not sys.stdin.isatty():
        message = f"{question} Nobody is there to answer: add --yes"
        raise CommandError(message, code="not-confirmed")
    sys.stderr.write(f"{escaped(question)} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in _YES:
        message = "nothing was done"
        raise CommandError(message, code="not-confirmed")
