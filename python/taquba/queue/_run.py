"""Runs, looked at: their states and their fields."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, final

from taquba._checks import check_instance, refuse_type

__all__ = ["RunPage", "RunState", "RunStatus", "read_run", "state_names"]


@final
class RunState(enum.Enum):
    """Where a run is in its life. `str()` gives the stable, lower-case name."""

    PENDING = "pending"
    """Its step can be claimed."""
    SCHEDULED = "scheduled"
    """Its step waits for its time, or for a retry."""
    RUNNING = "running"
    """Its step is being delivered."""
    CANCELLING = "cancelling"
    """Its step is being delivered, and the run ends with it."""
    SUCCEEDED = "succeeded"
    """It has produced its result."""
    FAILED = "failed"
    """It has given up."""
    CANCELLED = "cancelled"
    """It was stopped."""

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended: nothing changes any more."""
        return self in _TERMINAL

    def __str__(self) -> str:
        """Return the stable name."""
        return self.value


_TERMINAL: Final = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """One run. Instants are in UTC.

    Args:
        run_id: Its id.
        queue: The queue of its steps.
        state: Where it is in its life.
        step_number: Its present step, or the one that ended it.
        attempts: Deliveries of that step so far.
        max_attempts: Deliveries before the run fails; `None` once it has ended.
        priority: Lower is claimed first; `None` once it has ended.
        headers: The submission's headers.
        submitted_at: When it was submitted.
        run_at: When a scheduled step is due.
        started_at: When the delivery under way began.
        ended_at: When it ended.
        last_error: Why the last delivery of the present step failed.
        error: Why it ended, unless it succeeded; `None` too if it was cancelled from outside.
        job_id: The job of the present step; `None` once the run has ended.
    """

    run_id: str
    queue: str
    state: RunState
    step_number: int
    attempts: int
    max_attempts: int | None
    priority: int | None
    headers: Mapping[str, str]
    submitted_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    last_error: str | None
    error: str | None
    job_id: str | None

    def __repr__(self) -> str:
        """Show what identifies it and where it is, without its content."""
        return (
            f"RunStatus(run_id={self.run_id!r}, queue={self.queue!r}, state={self.state.value!r}, "
            f"step_number={self.step_number}, attempts={self.attempts})"
        )


@final
@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs, the latest submission first.

    Args:
        runs: The runs.
        cursor: What gets the next page; `None` if this is the last one.
    """

    runs: list[RunStatus]
    cursor: str | None


def read_run(fields: dict[str, Any]) -> RunStatus:
    """Make a run of what the binding returned."""
    return RunStatus(**{**fields, "state": RunState(fields["state"])})


def state_names(state: RunState | Iterable[RunState] | None) -> list[str]:
    """Return the names of one state, of several, or of all if absent."""
    if state is None:
        return [each.value for each in RunState]
    if isinstance(state, RunState):
        return [state.value]
    if isinstance(state, str) or not isinstance(state, Iterable):
        refuse_type("state", state, "give a `RunState`, or several")
    states = list(state)
    for each in states:
        check_instance("state", each, RunState)
    return sorted({each.value for each in states})
