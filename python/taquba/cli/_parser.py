"""The parser of the command line, made of the commands.

Invariants:
    1. Options and positional arguments may come in any order.
"""

import argparse
from collections.abc import Sequence
from typing import Any, Final, final

import taquba
from taquba.cli._command import Command

__all__ = ["parser_of"]

_PROGRAM: Final = "taquba"


@final
class _Parser(argparse.ArgumentParser):
    """A parser that lets positional arguments stand on both sides of an option.

    That of the standard library gives up on `[STORE] JOB_ID` if an option stands between the two.
    """

    _is_inside = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self._is_inside or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        # It calls this method for each kind of argument.
        self._is_inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_inside = False


@final
class _Rest(argparse.ArgumentParser):
    """A parser that hands over what it is given."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        namespace = namespace or argparse.Namespace()
        for name, value in self._defaults.items():
            setattr(namespace, name, value)
        namespace.rest = list(args or ())
        return namespace, []


def parser_of(commands: Sequence[Command]) -> argparse.ArgumentParser:
    """Make the parser.

    Args:
        commands: What can be asked for. `options.run` of what it returns is what to call, and
            `options.words` how the command is called.
    """
    parser = _Parser(prog=_PROGRAM, description=taquba.__doc__)
    parser.add_argument("--version", action="version", version=taquba.__version__)
    _add(parser, commands, _PROGRAM)
    return parser


def _add(parser: argparse.ArgumentParser, commands: Sequence[Command], words: str) -> None:
    title = "commands"
    # `Any`: which class of parser is made is up to each command.
    group: Any = parser.add_subparsers(title=title, metavar="COMMAND", required=True)
    for command in commands:
        group._parser_class = _Rest if command.takes_rest else _Parser  # noqa: SLF001 - no other way
        described = group.add_parser(
            command.name, help=command.summary, description=command.description
        )
        name = f"{words} {command.name}"
        command.add_arguments(described)
        described.set_defaults(run=command.run, words=name)
        if command.subcommands:
            _add(described, command.subcommands, name)
