"""What every subcommand is made of, and what all of them end with."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

__all__ = ["FAILED", "FOUND", "OK", "Command"]

OK: Final = 0
"""All is well."""
FOUND: Final = 1
"""It was done, and there is something to act on."""
FAILED: Final = 2
"""It could not be done; `argparse` ends with the same."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One subcommand.

    Args:
        name: What it is called on the command line.
        summary: What it does, in one line.
        description: The same in full, for `--help`.
        add_arguments: Adds its options.
        run: Does it. Returns what the process ends with.
    """

    name: str
    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
