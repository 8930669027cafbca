"""Deliveries: jobs that the engine pushes, run as tasks of an event loop.

Shared by the workflow runtime and the worker loop.
"""

from taquba._delivery._dispatcher import Dispatcher, Work
from taquba._delivery._failure import describe, message
from taquba._delivery._function import (
    CoroutineFunction,
    as_coroutine_function,
    is_coroutine_function,
    limited,
)
from taquba._delivery._subscription import Subscription, work_until

__all__ = [
    "CoroutineFunction",
    "Dispatcher",
    "Subscription",
    "Work",
    "as_coroutine_function",
    "describe",
    "is_coroutine_function",
    "limited",
    "message",
    "work_until",
]
