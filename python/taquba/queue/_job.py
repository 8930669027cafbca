"""Jobs, looked at: their states, their fields, their deliveries."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, final

from taquba.queue._html import fields, table

__all__ = [
    "Attempt",
    "AttemptEnd",
    "JobCancelled",
    "JobInfo",
    "JobPage",
    "JobState",
    "read_attempts",
    "read_job",
]


@final
class JobState(enum.Enum):
    """Where a job is in its life."""

    PENDING = "pending"
    """Claimable now."""
    SCHEDULED = "scheduled"
    """Claimable later: scheduled, or waiting for a retry."""
    CLAIMED = "claimed"
    """Being delivered."""
    DONE = "done"
    """Acked, and kept for `QueueConfig.keep_done_jobs`."""
    DEAD = "dead"
    """Dead-lettered, and kept for `QueueConfig.dead_retention`."""


@final
class AttemptEnd(enum.Enum):
    """How one delivery of a job ended."""

    OPEN = "open"
    """It is under way."""
    ACKED = "acked"
    """Done."""
    NACKED = "nacked"
    """Failed for now."""
    DEAD_LETTERED = "dead-lettered"
    """Failed for good."""
    RELEASED = "released"
    """Handed back unfinished."""
    EXPIRED = "expired"
    """Its lease ran out."""
    LOST = "lost"
    """The process ended before it was settled."""


@final
class JobCancelled(enum.Enum):
    """What became of a job that was to be cancelled."""

    REMOVED = "removed"
    """It waited, and is gone."""
    REQUESTED = "requested"
    """It is claimed: its holder was asked to stop, and it will not be delivered again."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One delivery of a job.

    Args:
        number: 1 for the first delivery.
        started_at: When it was claimed; `None` if the process ended before that was written.
        ended_at: When it ended; `None` while it is under way, or if nobody saw it.
        end: How.
        error: What went wrong, cut at 512 bytes.
    """

    number: int
    started_at: datetime | None
    ended_at: datetime | None
    end: AttemptEnd
    error: str | None = field(repr=False)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class JobInfo:
    """One job. Instants are in UTC.

    Args:
        job_id: Its id.
        queue: Its queue.
        state: Where it is in its life.
        kind: `"job"`, or `"step"` or `"notification"` of a run.
        run_id: The run it belongs to; `None` for a plain job.
        priority: Lower is claimed first.
        attempts: Deliveries so far.
        max_attempts: Deliveries before it is dead-lettered.
        enqueued_at: When it was enqueued.
        run_at: Not claimable before; `None` for at once.
        ended_at: When it was acked or dead-lettered.
        dedup_key: The dedup key it was given.
        headers: Its metadata.
        payload_bytes: Size of its payload.
        payload: The payload; `None` in lists.
        last_error: Why the last delivery failed.
        is_cancel_requested: Whether its holder was asked to stop.
    """

    job_id: str
    queue: str
    state: JobState
    kind: Literal["job", "step", "notification"]
    run_id: str | None
    priority: int
    attempts: int
    max_attempts: int
    enqueued_at: datetime
    run_at: datetime | None
    ended_at: datetime | None
    dedup_key: str | None
    headers: Mapping[str, str]
    payload_bytes: int
    payload: bytes | None
    last_error: str | None
    is_cancel_requested: bool

    def __repr__(self) -> str:
        """Show what identifies it, without its content."""
        return (
            f"JobInfo(job_id={self.job_id!r}, queue={self.queue!r}, state={self.state.value!r}, "
            f"attempts={self.attempts}, payload=<{self.payload_bytes} bytes>)"
        )

    def _repr_html_(self) -> str:
        """Show it in a notebook, without its content."""
        shown = {
            "queue": self.queue,
            "state": self.state.value,
            "kind": self.kind,
            "run": self.run_id,
            "attempts": self.attempts,
            "max attempts": self.max_attempts,
            "priority": self.priority,
            "enqueued": self.enqueued_at,
            "due": self.run_at,
            "ended": self.ended_at,
            "dedup key": self.dedup_key,
            "payload bytes": self.payload_bytes,
            "last error": self.last_error,
            "asked to stop": self.is_cancel_requested,
            "headers": self.headers or None,
        }
        return fields(f"job {self.job_id}", shown)


@final
@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs of a queue, in the order in which they were enqueued.

    Args:
        jobs: The jobs.
        cursor: What gets the next page; `None` if this is the last one.
    """

    jobs: list[JobInfo]
    cursor: str | None

    def _repr_html_(self) -> str:
        """Show the jobs in a notebook, one in each row."""
        columns = ("job", "state", "kind", "run", "attempts", "enqueued", "due", "last error")
        rows = [
            (
                job.job_id,
                job.state.value,
                job.kind,
                job.run_id,
                job.attempts,
                job.enqueued_at,
                job.run_at,
                job.last_error,
            )
            for job in self.jobs
        ]
        more = "" if self.cursor is None else ", and there are more"
        return table(f"{len(rows)} jobs{more}", columns, rows)


def read_job(fields: dict[str, Any]) -> JobInfo:
    """Make a job of what the binding returned."""
    kept = {name: value for name, value in fields.items() if name != "history"}
    kept["state"] = JobState(kept["state"])
    return JobInfo(**kept)


def read_attempts(fields: dict[str, Any]) -> list[Attempt]:
    """Make the deliveries of a job of the same."""
    history: list[dict[str, Any]] = fields["history"]
    return [Attempt(**{**attempt, "end": AttemptEnd(attempt["end"])}) for attempt in history]
