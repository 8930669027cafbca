"""Runners: what users write to do the steps of their runs, and how it is called.

Invariants:
    1. Whatever form a runner has, calling it gives a coroutine.
    2. A plain function never runs on the event loop's thread.
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from taquba._checks import refuse_type
from taquba._taquba import Step, StepOutcome
from taquba.workflow._errors import StepError

__all__ = ["CoroutineFunction", "Runner", "StepRunner", "as_coroutine_function", "limited"]

CoroutineFunction = Callable[[Any], Coroutine[Any, Any, Any]]
"""What takes a step, or the end of a run, and is awaited."""

_T = TypeVar("_T")
_R = TypeVar("_R")


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


def as_coroutine_function(target: object, method: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    """Return what to await for a target that is an object with a method, or a bare function.

    Args:
        target: The runner or hook.
        method: The name of the method.

    Raises:
        ArgumentTypeError: It is neither.
    """
    function = getattr(target, method, target)
    if not callable(function):
        refuse_type(method, target, f"give an object with a method `{method}`, or a function")
    is_async = inspect.iscoroutinefunction
    if is_async(function) or is_async(getattr(function, "__call__", None)):  # noqa: B004
        return function
    return functools.partial(_in_thread, function)


async def _in_thread(function: Callable[[_T], _R], argument: _T) -> _R:
    result = await asyncio.to_thread(function, argument)
    # A plain function that returns a coroutine, such as a decorator that forgot to be `async`.
    return await result if inspect.isawaitable(result) else result


def limited(run_step: CoroutineFunction, limit: timedelta | None) -> CoroutineFunction:
    """Return a runner that gives up a step after a time.

    Args:
        run_step: The runner.
        limit: How long a step may take; `None` for as long as it takes.
    """
    if limit is None:
        return run_step
    seconds = limit.total_seconds()

    async def run_limited(step: Step) -> StepOutcome:
        try:
            async with asyncio.timeout(seconds) as scope:
                outcome: StepOutcome = await run_step(step)
                return outcome
        except TimeoutError:
            if not scope.expired():
                raise
        message = f"the step took longer than `step_timeout` ({seconds} s)"
        raise StepError.transient(message)

    return run_limited
