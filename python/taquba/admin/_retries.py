"""Retries of runs that have failed: what they are called.

Invariants:
    1. A retry of a retry belongs to the run that was there first: names do not grow.
    2. Nothing is done twice: what a retry does or has done is not retried.
    3. An id that only looks like that of a retry is one of its own: there is no run it would retry.
"""

import re
from typing import Final

from taquba import _taquba
from taquba.admin._refusal import Refusal
from taquba.exceptions import InvalidRunIdError, RunNotFoundError
from taquba.queue import Queue, QueueReader, RunState

__all__ = ["has_retry", "next_retry"]

_RETRY: Final = re.compile(r"(.+)-retry-([1-9][0-9]{0,3})")
_RETRY_COUNT_MAX: Final = 1_000
_ENDED_IN_VAIN: Final = frozenset({RunState.FAILED, RunState.CANCELLED})


async def has_retry(source: Queue | QueueReader, run_id: str) -> bool:
    """Return whether a run was submitted again after it had failed."""
    origin, number = await _parts(source, run_id)
    try:
        await source.get_run(f"{origin}-retry-{number + 1}")
    except (RunNotFoundError, InvalidRunIdError):
        return False
    return True


async def next_retry(queue: Queue, run_id: str) -> str:
    """Return the id of the next retry of a run, or of the run that it retried.

    Raises:
        Refusal: A retry is under way or has succeeded, or there were too many.
        InvalidRunIdError: The id would be too long.
    """
    origin, _ = await _parts(queue, run_id)
    for number in range(1, _RETRY_COUNT_MAX + 1):
        candidate = f"{origin}-retry-{number}"
        _taquba.check_run_id(candidate)
        try:
            other = await queue.get_run(candidate)
        except RunNotFoundError:
            return candidate
        if other.state not in _ENDED_IN_VAIN:
            message = f"run `{origin}` was submitted again: `{candidate}` is {other.state}"
            raise Refusal(409, "wrong-run-state", message, field="run_id")
    message = f"run `{origin}` was retried {_RETRY_COUNT_MAX} times"
    raise Refusal(409, "wrong-run-state", message, field="run_id")


async def _parts(source: Queue | QueueReader, run_id: str) -> tuple[str, int]:
    match = _RETRY.fullmatch(run_id)
    if match is None:
        return run_id, 0
    try:
        await source.get_run(match[1])
    except RunNotFoundError:
        return run_id, 0
    return match[1], int(match[2])
