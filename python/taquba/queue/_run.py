"""Runs, looked at: their states and their fields."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, final

from taquba._checks import check_instance, refuse_type
from taquba.queue._html import fields, table

__all__ = [
    "RunPage",
    "RunState",
    "RunStatus",
    "StepRecord",
    "read_run",
    "read_steps",
    "state_names",
]


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

    def _repr_html_(self) -> str:
        """Show it in a notebook, without its content."""
        shown = {
            "queue": self.queue,
            "state": self.state,
            "step": self.step_number,
            "attempts": self.attempts,
            "max attempts": self.max_attempts,
            "priority": self.priority,
            "submitted": self.submitted_at,
            "due": self.run_at,
            "started": self.started_at,
            "ended": self.ended_at,
            "last error": self.last_error,
            "error": self.error,
            "job": self.job_id,
            "headers": self.headers or None,
        }
        return fields(f"run {self.run_id}", shown)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """One step of a run. Instants are in UTC.

    Args:
        job_id: The job that carried it. Gone with the step, unless that failed for good.
        step_number: 0 for the first.
        ready_at: When it came into being.
        started_at: When its first delivery began; `None` if there was none, or if it is not known.
        ended_at: When it ended; `None` of a present step.
        attempts: Its deliveries.
        error: Why the last one that failed did so, cut at 128 bytes once the step has ended.
    """

    job_id: str
    step_number: int
    ready_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    attempts: int
    error: str | None = field(repr=False)


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

    def _repr_html_(self) -> str:
        """Show the runs in a notebook, one in each row."""
        columns = ("run", "queue", "state", "step", "attempts", "submitted", "ended", "error")
        rows = [
            (
                run.run_id,
                run.queue,
                run.state,
                run.step_number,
                run.attempts,
                run.submitted_at,
                run.ended_at,
                run.error or run.last_error,
            )
            for run in self.runs
        ]
        more = "" if self.cursor is None else ", and there are more"
        return table(f"{len(rows)} runs{more}", columns, rows)


def read_run(fields: dict[str, Any]) -> RunStatus:
    """Make a run of what the binding returned."""
    kept = {name: value for name, value in fields.items() if name != "history"}
    return RunStatus(**{**kept, "state": RunState(kept["state"])})


def read_steps(fields: dict[str, Any]) -> list[StepRecord]:
    """Make the steps of a run of the same."""
    return [StepRecord(**step) for step in fields["history"]]


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
