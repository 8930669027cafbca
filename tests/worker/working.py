"""A worker loop for the length of a test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from taquba import JobInfo, JobState, Queue, run_worker
from tests.waiting import WAIT_SECONDS_MAX, eventually


@asynccontextmanager
async def working(queue: Queue, worker: Any, **options: Any) -> AsyncIterator["asyncio.Task[None]"]:
    """Runs a worker on the queue `emails`; shuts it down at the end and waits for it."""
    shutdown = asyncio.Event()
    loop = asyncio.create_task(run_worker(queue, "emails", worker, shutdown=shutdown, **options))
    try:
        yield loop
    finally:
        shutdown.set()
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await loop


async def all_acked(queue: Queue, count: int) -> None:
    """Waits until so many jobs were acked."""

    async def probe() -> bool:
        stats = (await queue.stats()).queues
        return "emails" in stats and stats["emails"].acked_total == count

    await eventually(probe, f"{count} acked jobs")


async def dead_job(queue: Queue) -> JobInfo:
    """Waits for a dead letter."""

    async def probe() -> JobInfo | None:
        page = await queue.list_jobs("emails", JobState.DEAD)
        return page.jobs[0] if page.jobs else None

    found = await eventually(probe, "the dead letter")
    assert found is not None
    return found
