"""Jobs: looking at them, adding them, and what can be done to one."""

import asyncio
from collections.abc import Mapping
from typing import Any

from taquba import _shown
from taquba.admin import _wire
from taquba.admin._names import payload_of
from taquba.admin._requests import Asked, each_line
from taquba.admin._scan import scan_jobs
from taquba.admin._site import Site
from taquba.options import EnqueueOptions, NewJob
from taquba.queue import JobState

__all__ = [
    "cancel",
    "enqueue",
    "enqueue_lines",
    "jobs",
    "requeue",
    "scheduled",
    "show",
    "wake",
]


async def jobs(site: Site, asked: Asked) -> Mapping[str, object]:
    """List jobs of a queue."""
    state = asked.query["state"]
    return await _page(site, asked, None if state is None else JobState(state))


async def scheduled(site: Site, asked: Asked) -> Mapping[str, object]:
    """List what waits for its time in a queue."""
    return await _page(site, asked, JobState.SCHEDULED)


async def show(site: Site, asked: Asked) -> Mapping[str, object]:
    """Show one job with its deliveries, and its payload if that is asked for."""
    job_id = asked.query["job_id"]
    if asked.query["payload"]:
        site.check_shows_payloads()
    job, attempts = await asyncio.gather(
        site.source.get_job(job_id), site.source.attempt_history(job_id)
    )
    return {
        "job": _shown.record(job),
        "attempts": [_shown.record(one) for one in attempts],
        "payload": _wire.payload(job.payload) if asked.query["payload"] else None,
    }


async def enqueue(site: Site, asked: Asked) -> Mapping[str, object]:
    """Add a job."""
    job = _new_job(asked.body)
    [job_id] = await site.queue().enqueue_batch(asked.body["queue"], [job])
    return {"job_id": job_id}


async def enqueue_lines(site: Site, asked: Asked) -> Mapping[str, object]:
    """Add a batch of jobs, all or none."""
    queue = site.queue()
    jobs = await each_line(asked.lines, _new_job)
    return {"job_ids": await queue.enqueue_batch(asked.query["queue"], jobs)}


async def cancel(site: Site, asked: Asked) -> Mapping[str, object]:
    """Remove a job that waits; ask the holder of a claimed one to stop."""
    became = await site.queue().cancel(asked.body["job_id"])
    return {"became": became.value}


async def requeue(site: Site, asked: Asked) -> Mapping[str, object]:
    """Make a dead job claimable again."""
    await site.queue().requeue_dead_job(asked.body["job_id"])
    return {}


async def wake(site: Site, asked: Asked) -> Mapping[str, object]:
    """Make a scheduled job claimable now."""
    await site.queue().wake_scheduled(asked.body["job_id"])
    return {}


async def _page(site: Site, asked: Asked, state: JobState | None) -> Mapping[str, object]:
    query = asked.query
    scanned = await scan_jobs(
        site.source, query["queue"], state, cursor=query["cursor"], limit=query["limit"]
    )
    return {"jobs": [_shown.record(job) for job in scanned.found], "cursor": scanned.cursor}


def _new_job(given: Mapping[str, Any]) -> NewJob:
    options = EnqueueOptions(
        priority=given["priority"],
        delay=given["delay_seconds"],
        dedup_key=given["dedup_key"],
        headers=given["headers"] or {},
        max_attempts=given["max_attempts"],
    )
    return NewJob(payload_of(given), options)
