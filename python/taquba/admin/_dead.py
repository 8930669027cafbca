"""Dead letters: finding them by their error, and requeueing or purging many of them.

Invariants:
    1. A call looks at a bounded number of jobs and says where it stopped.
    2. What is counted as requeued is claimable again, durably.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from taquba import _shown
from taquba._shown import ErrorGroup, blanked, has_error, shown_error
from taquba.admin._refusal import Refusal
from taquba.admin._requests import Asked
from taquba.admin._scan import EXAMINED_MAX, scan_jobs
from taquba.admin._site import Site
from taquba.exceptions import JobNotFoundError, WrongJobStateError
from taquba.queue import JobInfo, JobState, Queue

__all__ = ["dead", "groups", "purge", "requeue"]

_QUEUE_COUNT_MAX: Final = 50


async def dead(site: Site, asked: Asked) -> Mapping[str, object]:
    """List dead jobs of a queue."""
    query = asked.query
    scanned = await scan_jobs(
        site.source,
        query["queue"],
        JobState.DEAD,
        cursor=query["cursor"],
        limit=query["limit"],
        fits=_filter(query["error"]),
    )
    return {
        "jobs": [_shown.record(job) for job in scanned.found],
        "cursor": scanned.cursor,
        "examined": scanned.examined,
    }


async def groups(site: Site, asked: Asked) -> Mapping[str, object]:
    """Group dead jobs by their error, the largest group first."""
    queue = asked.query["queue"]
    stats = (await site.overview.sampler.latest()).stats.queues
    counts = [(one.dead_count, name) for name, one in stats.items() if one.dead_count]
    largest = [name for _, name in sorted(counts, reverse=True)]
    names = largest[:_QUEUE_COUNT_MAX] if queue is None else [queue]
    found: dict[tuple[str, str], ErrorGroup] = {}
    examined, is_complete = 0, len(names) == len(largest) or queue is not None
    for name in names:
        room = EXAMINED_MAX - examined
        if room <= 0:
            is_complete = False
            break
        scanned = await scan_jobs(site.source, name, JobState.DEAD, limit=room)
        examined += scanned.examined
        is_complete = is_complete and scanned.cursor is None
        for job in scanned.found:
            error = blanked(shown_error(job.last_error))
            found.setdefault((name, error), ErrorGroup(error, name, job.job_id)).add(job)
    shown = sorted(found.values(), key=lambda group: -group.count)
    return {
        "groups": [group.shown() for group in shown],
        "examined": examined,
        "is_complete": is_complete,
    }


async def requeue(site: Site, asked: Asked) -> Mapping[str, object]:
    """Make dead jobs claimable again: those named, or those whose error holds a text.

    Dead steps are not among them: their runs have ended.
    """
    queue, body = site.queue(), asked.body
    name, job_ids = body["queue"], body["job_ids"]
    if job_ids is None:
        fits = _filter(body["error"])
        scanned = await scan_jobs(
            queue,
            name,
            JobState.DEAD,
            cursor=body["cursor"],
            limit=body["limit"],
            fits=lambda job: _can_go_on(job) and fits(job),
        )
        ids, cursor = [job.job_id for job in scanned.found], scanned.cursor
    else:
        if body["error"] is not None or body["cursor"] is not None:
            message = "`job_ids` is given: give no `error` and no `cursor` beside it"
            raise Refusal(400, "invalid-field", message, field="job_ids")
        ids, cursor = await _dead_among(queue, name, job_ids[: body["limit"]]), None
    requeued = 0 if body["dry_run"] else await _requeue_all(queue, ids)
    return {"matched": len(ids), "requeued": requeued, "cursor": cursor}


async def purge(site: Site, asked: Asked) -> Mapping[str, object]:
    """Delete dead jobs of a queue."""
    body = asked.body
    purged = await site.queue().purge_dead(body["queue"], older_than=body["older_than_seconds"])
    return {"purged": purged}


def _filter(error: str | None) -> Callable[[JobInfo], bool]:
    return lambda job: not error or has_error(job.last_error, error)


def _can_go_on(job: JobInfo) -> bool:
    # The run of a dead step has ended: it is submitted again, under another id.
    return job.kind != "step"


async def _dead_among(queue: Queue, name: str, job_ids: Sequence[str]) -> list[str]:
    """Return those of some jobs that are dead, and in this queue."""

    async def is_dead(job_id: str) -> bool:
        try:
            job = await queue.get_job(job_id)
        except JobNotFoundError:
            return False
        return job.state is JobState.DEAD and job.queue == name and _can_go_on(job)

    unique = list(dict.fromkeys(job_ids))
    # One after another: each reads a payload, and a thousand at once may not fit in memory.
    return [job_id for job_id in unique if await is_dead(job_id)]


async def _requeue_all(queue: Queue, job_ids: Sequence[str]) -> int:
    """Requeue jobs; those that have gone on meanwhile are not counted."""

    async def was_requeued(job_id: str) -> bool:
        try:
            await queue.requeue_dead_job(job_id)
        except (JobNotFoundError, WrongJobStateError):
            return False
        return True

    # All at once: they share a commit or two.
    return sum(await asyncio.gather(*map(was_requeued, job_ids)))
