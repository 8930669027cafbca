"""Runners: what users write to do the steps of their runs."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from taquba._taquba import Step, StepOutcome

__all__ = ["Runner", "StepRunner"]


class StepRunner(Protocol):
    """What decides, step by step, how a run goes on."""

    async def run_step(self, step: Step) -> StepOutcome:
        """Do one step and say what comes next.

        Called at least once per step: it must be idempotent for one
        `(step.run_id, step.step_number)`.

        Args:
            step: The run, the step's number, its payload and headers.

        Returns:
            `Continue`, `ContinueAfter`, `Succeed`, `Fail` or `Cancel`.

        Raises:
            StepError: The step failed; `transient` is retried, `permanent` fails the run.
        """


Runner = StepRunner | Callable[[Step], Awaitable[StepOutcome]] | Callable[[Step], StepOutcome]
"""A runner object, or a bare function; a plain one runs in a thread."""
