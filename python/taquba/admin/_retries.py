"""Retries of runs that have failed: what they are called.

Invariants:
    1. A retry of a retry belongs to the run that was there first: names do not grow.
"""

import re
from typing import Final

from taquba import _taquba
from taquba.admin._refusal import Refusal
from taquba.exceptions import InvalidRunIdError, RunNotFoundError
from taquba.queue import Queue, QueueReader

__all__ = ["has_retry", "next_retry"]

_RETRY: Final = re.compile(r"(.+)-retry-([0-9]{1,4})")
_RETRY_COUNT_MAX: Final = 1_000


async def has_retry(source: Queue | QueueReader, run_id: str) -> bool:
    """Return whether a run was submitted again after it had failed."""
    origin, number = _parts(run_id)
    try:
        await source.get_run(f"{origin}-retry-{number + 1}")
    except (RunNotFoundError, InvalidRunIdError):
        return False
    return True


async def next_retry(queue: Queue, run_id: str) -> str:
    """Return the id of the next retry of a run, or of the run that it retried.

    Raises:
        Refusal: A retry is under way, or there were too many.
        InvalidRunIdError: The id would be too long.
    """
    origin, _ = _parts(run_id)
    for number in range(1, _RETRY_COUNT_MAX + 1):
        candidate = f"{origin}-retry-{number}"
        _taquba.check_run_id(candidate)
        try:
            other = await queue.get_run(candidate)
        except RunNotFoundError:
            return candidate
        if not other.state.is_terminal:
            message = f"run `{origin}` is being retried as `{candidate}`"
            raise Refusal(409, "wrong-run-state", message, field="run_id")
    message = f"run `{origin}` was retried {_RETRY_COUNT_MAX} times"
    raise Refusal(409, "wrong-run-state", message, field="run_id")


def _parts(run_id: str) -> tuple[str, int]:
    match = _RETRY.fullmatch(run_id)
    return (run_id, 0) if match is None else (match[1], int(match[2]))
