"""What needs attention, in words: one function for each kind of trouble.

Invariants:
    1. Each item says since when, why and what to do; where one call does it, it names that call.
    2. A text of others is redacted and cut before it gets into an item.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal, final

from taquba._shown import instant, shown_error
from taquba.queue import JobInfo, Owner, QueueStats

__all__ = [
    "Item",
    "dead_jobs",
    "failed_run",
    "failed_runs",
    "long_delivery",
    "no_worker",
    "of_owner",
    "quarantined",
    "retrying",
    "retrying_many",
    "waiting",
]

_WHY_CHARACTERS_MAX: Final = 400


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing that needs attention; `since` is when it began to."""

    kind: str
    severity: Literal["warning", "error"]
    title: str
    since: datetime | None
    why: str
    remedy: str
    queue: str | None = None
    run_id: str | None = None
    job_id: str | None = None
    count: int | None = None
    action: Literal["wake", "retry", "requeue", "cancel"] | None = None

    def rank(self) -> tuple[bool, float]:
        """Return what items are ordered by: errors first, then what has been so for longest."""
        since = float("inf") if self.since is None else self.since.timestamp()
        return self.severity != "error", since

    def shown(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**asdict(self), "since": instant(self.since)}


def quarantined(count: int) -> Item:
    """Records are damaged."""
    return Item(
        kind="quarantined",
        severity="error",
        title=f"{_counted(count, 'damaged record')} found",
        since=None,
        why="bytes in the store are not what was written; they were moved aside",
        remedy="Run `taquba verify` on the store: it names what is damaged.",
        count=count,
    )


def of_owner(owner: Owner | None, waiting_count: int) -> list[Item]:
    """Nobody owns the store, or the owner is silent."""
    if owner is not None and not owner.is_alive:
        return [
            Item(
                kind="owner-silent",
                severity="error",
                title=f"process {owner.pid} on {owner.host} owns the store and is silent",
                since=owner.last_seen,
                why="it has shown no sign of life for more than two of its intervals",
                remedy="Start it again: opening the store takes over, and nothing is lost.",
            )
        ]
    if owner is None and waiting_count:
        return [
            Item(
                kind="owner-silent",
                severity="warning",
                title="no process owns the store",
                since=None,
                why="the last owner closed it in order, and jobs wait",
                remedy="Start the process that works on its queues.",
                count=waiting_count,
            )
        ]
    return []


def no_worker(queue: str, stats: QueueStats, since: datetime | None) -> Item:
    """Nobody takes what waits."""
    count = stats.pending_count
    return Item(
        kind="no-worker",
        severity="error",
        title=f"nobody works on queue `{queue}`: {_counted(count, 'job')} waiting",
        since=since,
        why="jobs can be claimed, and lately none was claimed or settled",
        remedy="Start a worker for this queue, or see whether the one that runs hangs.",
        queue=queue,
        count=count,
    )


def waiting(queue: str, stats: QueueStats, since: datetime, rates: Mapping[str, float]) -> Item:
    """Workers are busy, and do not keep up."""
    count = stats.pending_count
    return Item(
        kind="waiting",
        severity="warning",
        title=f"queue `{queue}` is behind: {_counted(count, 'job')} waiting",
        since=since,
        why=f"{stats.claimed_count} are being delivered and {rates['acked']:.3g} a second are "
        "done; the oldest has waited for more than a minute",
        remedy="Raise the concurrency, add workers, or enqueue less. Urgent jobs take a priority.",
        queue=queue,
        count=count,
    )


def retrying(job: JobInfo, began: datetime) -> Item:
    """A job or a run waits for its next try."""
    return Item(
        kind="retrying",
        severity="warning",
        title=f"{_called(job)} waits for its next try",
        since=began,
        why=_cut(
            f"attempt {job.attempts} of {job.max_attempts} failed: "
            f"{shown_error(job.last_error)}; the next is due at {_at(job.run_at)}"
        ),
        remedy="Remove the cause, then let it go on now.",
        queue=job.queue,
        run_id=job.run_id,
        job_id=job.job_id,
        action="wake",
    )


def retrying_many(queue: str, jobs: Sequence[JobInfo], *, is_all: bool) -> Item:
    """Many of a queue do; there may be more unless these are all."""
    due = min((job.run_at for job in jobs if job.run_at is not None), default=None)
    return Item(
        kind="retrying",
        severity="warning",
        title=f"{_least(is_all)}{len(jobs)} jobs of queue `{queue}` wait for their next try",
        since=min(job.enqueued_at for job in jobs),
        why=_cut(f"{_most_often(jobs, is_all=is_all)}; the next is due at {_at(due)}"),
        remedy="Remove the cause; they go on by themselves, or wake some now.",
        queue=queue,
        count=len(jobs),
    )


def long_delivery(job: JobInfo, began: datetime) -> Item:
    """A delivery takes long."""
    return Item(
        kind="long-delivery",
        severity="warning",
        title=f"{_called(job)} has been in delivery for long",
        since=began,
        why=f"attempt {job.attempts} of {job.max_attempts} has not ended for more than 5 minutes",
        remedy="See what its worker does. Cancelling asks it to stop; the work is given up.",
        queue=job.queue,
        run_id=job.run_id,
        job_id=job.job_id,
        # The hook of a run has to be told: a notification is not cancelled.
        action=None if job.kind == "notification" else "cancel",
    )


def dead_jobs(queue: str, count: int, some: Sequence[JobInfo], *, is_all: bool) -> Item:
    """Jobs were given up; if not all were looked at there are more than `some`, or so many."""
    least = _least(is_all or count > len(some))
    return Item(
        kind="dead",
        severity="error",
        title=f"queue `{queue}` has {least}{_counted(count, 'dead job')}",
        since=_first_death(some),
        why=_cut(_most_often(some, is_all=is_all)),
        remedy="Remove the cause, then requeue them; or purge what is of no use any more.",
        queue=queue,
        count=count,
        action="requeue",
    )


def failed_run(job: JobInfo, *, is_first: bool) -> Item:
    """A run has failed for good, and its step is dead."""
    again = "retry it: that submits it" if is_first else "submit it"
    return Item(
        kind="dead",
        severity="error",
        title=f"{_called(job)} has failed for good",
        since=job.ended_at,
        why=_cut(f"attempt {job.attempts} failed: {shown_error(job.last_error)}"),
        remedy=f"Remove the cause, then {again} again, under another id.",
        queue=job.queue,
        run_id=job.run_id,
        job_id=job.job_id,
        # The input of a run is that of its first step.
        action="retry" if is_first else None,
    )


def failed_runs(queue: str, count: int, some: Sequence[JobInfo], *, is_all: bool) -> Item:
    """Many runs have; there may be more unless these are all."""
    return Item(
        kind="dead",
        severity="error",
        title=f"{_least(is_all)}{count} runs of queue `{queue}` have failed for good",
        since=_first_death(some),
        why=_cut(_most_often(some, is_all=is_all)),
        remedy="Remove the cause, then retry them one by one; or purge their dead steps.",
        queue=queue,
        count=count,
    )


def _called(job: JobInfo) -> str:
    if job.kind == "notification":
        return f"the hook of run `{job.run_id}`"
    return f"job `{job.job_id}`" if job.run_id is None else f"run `{job.run_id}`"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _least(is_all: bool) -> str:  # noqa: FBT001 - it is what the word says
    return "" if is_all else "at least "


def _first_death(jobs: Iterable[JobInfo]) -> datetime | None:
    return min((job.ended_at for job in jobs if job.ended_at is not None), default=None)


def _most_often(jobs: Sequence[JobInfo], *, is_all: bool) -> str:
    errors = Counter(shown_error(job.last_error) for job in jobs).most_common(1)
    if not errors:
        return "their attempts are used up, or they failed for good"
    error, often = errors[0]
    if is_all:
        return error if often == len(jobs) else f"most often ({often} of {len(jobs)}): {error}"
    return f"most often ({often} of the {len(jobs)} looked at): {error}"


def _cut(text: str) -> str:
    return text if len(text) <= _WHY_CHARACTERS_MAX else f"{text[:_WHY_CHARACTERS_MAX]}..."


def _at(moment: datetime | None) -> str:
    return instant(moment) or "once"
