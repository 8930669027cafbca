"""Deliveries: jobs that the engine pushes, run as tasks of an event loop.

Shared by the workflow runtime and the worker loop.
"""

from taquba._delivery._dispatcher import Dispatcher, Work, is_interruption, settled_as_failed
from taquba._delivery._effects import ack_with
from taquba._delivery._failure import describe, message
from taquba._delivery._function import (
    CoroutineFunction,
    as_coroutine_function,
    function_of,
    is_coroutine_function,
    limited,
)
from taquba._delivery._subscription import BLOCKED_LOOP_GRACE, Subscription, work_until
from taquba._delivery._threads import AbandonedCallsError, Threads

__all__ = [
    "BLOCKED_LOOP_GRACE",
    "AbandonedCallsError",
    "CoroutineFunction",
    "Dispatcher",
    "Subscription",
    "Threads",
    "Work",
    "ack_with",
    "as_coroutine_function",
    "describe",
    "function_of",
    "is_coroutine_function",
    "is_interruption",
    "limited",
    "message",
    "settled_as_failed",
    "work_until",
]
