"""What users write to do the work, and how it is called.

Invariants:
    1. Whatever form it has, calling it gives a coroutine.
    2. A plain function never runs on the event loop's thread.
    3. What a plain function raises is an `Exception`: `sys.exit` in it ends neither the loop nor
       the process, and no `StopIteration` gets lost in a future, which cannot hold one.
"""

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from taquba._checks import refuse_type
from taquba._delivery._failure import message
from taquba._delivery._threads import Threads

__all__ = [
    "CoroutineFunction",
    "as_coroutine_function",
    "function_of",
    "is_coroutine_function",
    "limited",
]

CoroutineFunction = Callable[[Any], Coroutine[Any, Any, Any]]
"""What takes a delivery and is awaited."""

_T = TypeVar("_T")
_R = TypeVar("_R")


def function_of(name: str, target: object, method: str) -> Callable[[Any], Any]:
    """Return what to call for a target that is an object with a method, or a bare function.

    Args:
        name: What the caller calls the target.
        target: The runner, worker or hook.
        method: The name of the method.

    Raises:
        ArgumentTypeError: It is neither, or a class.
    """
    if isinstance(target, type):
        refuse_type(name, target, f"give an instance, such as `{target.__name__}(..)`")
    function = getattr(target, method, target)
    if not callable(function):
        refuse_type(name, target, f"give an object with a method `{method}`, or a function")
    return function


def as_coroutine_function(function: Callable[[Any], Any], threads: Threads) -> CoroutineFunction:
    """Return what to await for a function of any form.

    Args:
        function: What `function_of` returned.
        threads: Where a plain one runs.
    """
    if is_coroutine_function(function):
        return function
    return functools.partial(_in_thread, threads, function)


def is_coroutine_function(function: object) -> bool:
    """Return whether calling it gives a coroutine, as far as can be told."""
    is_async = inspect.iscoroutinefunction
    return is_async(function) or is_async(getattr(function, "__call__", None))  # noqa: B004


async def _in_thread(threads: Threads, function: Callable[[_T], _R], argument: _T) -> _R:
    context = contextvars.copy_context()
    result = await threads.run(functools.partial(context.run, _guarded, function, argument))
    # A plain function that returns a coroutine, such as a decorator that forgot to be `async`.
    return await result if inspect.isawaitable(result) else result


def _guarded(function: Callable[[_T], _R], argument: _T) -> _R:
    try:
        return function(argument)
    except (StopIteration, concurrent.futures.CancelledError) as error:
        # A future cannot hold the one, and takes the other for its own cancellation.
        raise _ordinary(error) from error
    except Exception:
        raise
    except BaseException as error:
        raise _ordinary(error) from error


def _ordinary(error: BaseException) -> RuntimeError:
    return RuntimeError(f"the function raised {type(error).__name__}: {message(error)}")


def limited(
    function: CoroutineFunction,
    limit: timedelta | None,
    refuse: Callable[[float], Exception],
    begin: Callable[[Any, asyncio.Timeout], None] | None = None,
) -> CoroutineFunction:
    """Return what gives up after a time.

    Args:
        function: What does the work.
        limit: How long it may take; `None` for as long as it takes.
        refuse: Makes what is raised then, from the limit in seconds.
        begin: Is told of each delivery and of what ends it, when it begins.
    """
    if limit is None:
        return function
    seconds = limit.total_seconds()

    async def run_limited(work: object) -> object:
        try:
            async with asyncio.timeout(seconds) as scope:
                if begin is not None:
                    begin(work, scope)
                result: object = await function(work)
                return result
        except TimeoutError:
            if not scope.expired():
                raise
        raise refuse(seconds)

    return run_limited
