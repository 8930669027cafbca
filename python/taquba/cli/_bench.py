"""`taquba bench`: the same as `python -m taquba.bench`."""

import argparse
from typing import Final

from taquba.cli._command import Command

__all__ = ["COMMAND"]


def _run(options: argparse.Namespace) -> int:
    # Most commands measure nothing, and need not wait for what does.
    from taquba.bench._command import main  # noqa: PLC0415

    return main(options.rest)


COMMAND: Final = Command(
    name="bench",
    summary="measure what jobs and steps cost on this machine",
    description="Measures what jobs and steps cost on this machine, or in a store.",
    run=_run,
    takes_rest=True,
)
