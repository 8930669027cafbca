"""What users write to do the work, and how it is called.

Invariants:
    1. Whatever form it has, calling it gives a coroutine.
    2. A plain function never runs on the event loop's thread.
"""

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import timedelta
from typing import Any, TypeVar

from taquba._checks import refuse_type

__all__ = ["CoroutineFunction", "as_coroutine_function", "is_coroutine_function", "limited"]

CoroutineFunction = Callable[[Any], Coroutine[Any, Any, Any]]
"""What takes a delivery and is awaited."""

_T = TypeVar("_T")
_R = TypeVar("_R")


def as_coroutine_function(
    target: object, method: str, executor: Callable[[], Executor] | None = None
) -> CoroutineFunction:
    """Return what to await for a target that is an object with a method, or a bare function.

    Args:
        target: The runner, worker or hook.
        method: The name of the method.
        executor: Makes the threads of a plain function; the loop's own if absent.

    Raises:
        ArgumentTypeError: It is neither.
    """
    function = getattr(target, method, target)
    if not callable(function):
        refuse_type(method, target, f"give an object with a method `{method}`, or a function")
    if is_coroutine_function(function):
        return function
    return functools.partial(_in_thread, None if executor is None else executor(), function)


def is_coroutine_function(function: object) -> bool:
    """Return whether calling it gives a coroutine, as far as can be told."""
    is_async = inspect.iscoroutinefunction
    return is_async(function) or is_async(getattr(function, "__call__", None))  # noqa: B004


async def _in_thread(executor: Executor | None, function: Callable[[_T], _R], argument: _T) -> _R:
    call = functools.partial(contextvars.copy_context().run, function, argument)
    result = await asyncio.get_running_loop().run_in_executor(executor, call)
    # A plain function that returns a coroutine, such as a decorator that forgot to be `async`.
    return await result if inspect.isawaitable(result) else result


def limited(
    function: CoroutineFunction,
    limit: timedelta | None,
    refuse: Callable[[float], Exception],
) -> CoroutineFunction:
    """Return what gives up after a time.

    Args:
        function: What does the work.
        limit: How long it may take; `None` for as long as it takes.
        refuse: Makes what is raised then, from the limit in seconds.
    """
    if limit is None:
        return function
    seconds = limit.total_seconds()

    async def run_limited(work: object) -> object:
        try:
            async with asyncio.timeout(seconds) as scope:
                result: object = await function(work)
                return result
        except TimeoutError:
            if not scope.expired():
                raise
        raise refuse(seconds)

    return run_limited
