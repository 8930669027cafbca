"""Following a run until it ends.

Invariants:
    1. A line is written for each change that a look has seen, in the order of the changes.
    2. A line bears the instant of the change in UTC, as far as the store has it, and never that of
       the look.
"""

import sys
import time
from collections.abc import Iterator
from typing import Final, final

from taquba.cli._command import FOUND, OK
from taquba.cli._present import write_json
from taquba.cli._source import Source
from taquba.cli._text import duration, escaped, read_instant
from taquba.cli._wire import Json
from taquba.queue import RunState

__all__ = ["changed_at", "tail"]

_SUCCEEDED: Final = RunState.SUCCEEDED.value


def tail(source: Source, run_id: str, every: float, *, as_lines_of_json: bool) -> int:
    """Write what becomes of a run, and wait for its end.

    Args:
        source: Where to look.
        run_id: The run.
        every: Seconds between two looks.
        as_lines_of_json: Whether each change is the run as JSON.

    Returns:
        What the process ends with: 1 if the run did not succeed.
    """
    seen = _Seen()
    while True:
        answer = source.run(run_id)
        lines = list(seen.changes(answer))
        run = answer["run"]
        if lines and as_lines_of_json:
            write_json(run)
        elif lines:
            sys.stdout.writelines(f"{_shown(at)}  {escaped(line)}\n" for at, line in lines)
        sys.stdout.flush()
        if RunState(run["state"]).is_terminal:
            return OK if run["state"] == _SUCCEEDED else FOUND
        time.sleep(every)


@final
class _Seen:
    """What was told of a run."""

    def __init__(self) -> None:
        self._step_number = -1
        self._told: tuple[object, ...] = ()

    def changes(self, answer: Json) -> Iterator[tuple[str, str]]:
        """Return what is new in an answer: when it was, and in words."""
        run = answer["run"]
        is_over = RunState(run["state"]).is_terminal
        for step in answer["steps"]:
            number = step["step_number"]
            has_ended = step["ended_at"] is not None and (is_over or number < run["step_number"])
            if has_ended and number > self._step_number:
                if number > self._step_number + 1:
                    gone = f"steps {self._step_number + 1} to {number - 1} are not known any more"
                    yield step["ready_at"], gone
                self._step_number = number
                yield step["ended_at"], _step(step)
        present = (run["state"], run["step_number"], run["attempts"], run["last_error"])
        if present != self._told:
            self._told = present
            yield changed_at(answer), _run(run)


def _shown(at: str) -> str:
    return f"{read_instant(at):%Y-%m-%dT%H:%M:%SZ}"


def changed_at(answer: Json) -> str:
    """Return since when a run has been what it is."""
    run = answer["run"]
    if RunState(run["state"]).is_terminal and run["ended_at"] is not None:
        return str(run["ended_at"])
    if run["state"] == RunState.RUNNING.value and run["started_at"] is not None:
        return str(run["started_at"])
    # It waits: since the delivery or the step before has ended, or since it is due.
    ended = [each["ended_at"] for each in (*answer["steps"], *answer["attempts"])]
    due = run["run_at"] if run["state"] == RunState.PENDING.value else None
    return max(str(at) for at in (run["submitted_at"], due, *ended) if at is not None)


def _step(step: Json) -> str:
    began, ended = read_instant(step["started_at"]), read_instant(step["ended_at"])
    took = "" if began is None or ended is None else f" after {duration(ended - began)}"
    attempts = f", attempt {step['attempts']}" if step["attempts"] > 1 else ""
    error = f", before that: {step['error']}" if step["error"] else ""
    return f"step {step['step_number']} ended{took}{attempts}{error}"


def _run(run: Json) -> str:
    if RunState(run["state"]).is_terminal:
        error = f": {run['error']}" if run["error"] else ""
        return f"{run['state']} at step {run['step_number']}{error}"
    attempts = f", attempt {run['attempts']} of {run['max_attempts']}" if run["attempts"] else ""
    due = f", due {run['run_at']}" if run["state"] == RunState.SCHEDULED.value else ""
    error = f": {run['last_error']}" if run["last_error"] else ""
    return f"{run['state']}, step {run['step_number']}{attempts}{due}{error}"
