"""Waiting until everything that could be done has been done.

A queue is at rest when no delivery of it is under way in this process, nothing waits that a runtime
or worker would take, and several looks in a row find the same counts. What a test itself has
claimed is not under way: the test decides when it is settled.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Final

from taquba._delivery import Subscription
from taquba._taquba import Claim, Notification, Step
from taquba.exceptions import ClosedError, FencedError
from taquba.queue import JobInfo, JobState, Queue, QueueStats
from taquba.testing._places import places
from taquba.worker._dispatcher import JobDispatcher
from taquba.workflow._dispatcher import StepDispatcher

__all__ = ["at_rest", "due_times", "under_way"]

# The code of a dispatcher's tasks: how they are told from all others of their loop.
_DELIVERIES: Final = frozenset(
    function.__code__
    for function in (
        StepDispatcher._step,  # noqa: SLF001 - the package's own
        StepDispatcher._notification,  # noqa: SLF001
        JobDispatcher._job,  # noqa: SLF001
    )
)

# Each look is a question to the engine, which does what is due before it answers. More than one are
# for what the answers have made the event loop do.
_LOOKS_AT_REST: Final = 3
_LOOK_EVERY_SECONDS: Final = 0.001
_PAGE_COUNT: Final = 1_000


async def at_rest(queues: Collection[Queue]) -> dict[Queue, list[datetime]]:
    """Wait until the queues are at rest.

    Args:
        queues: Open queues, or such as were.

    Returns:
        Those that are still open, and when their waiting jobs become due, the next one first.
    """
    seen: dict[Queue, dict[str, QueueStats]] = {}
    equal_count = 0
    while True:
        counts = {queue: await _counts(queue) for queue in queues}
        open_ = {queue: found for queue, found in counts.items() if found is not None}
        busy = any(_is_busy(queue, found) for queue, found in open_.items())
        equal_count = equal_count + 1 if open_ == seen and not busy else 0
        if equal_count >= _LOOKS_AT_REST:
            jobs = {queue: await _all_jobs(queue, found) for queue, found in open_.items()}
            if all(_is_all_counted(jobs[queue], found) for queue, found in open_.items()):
                return {queue: _due_times(listed) for queue, listed in jobs.items()}
        seen = open_
        await asyncio.sleep(_LOOK_EVERY_SECONDS if busy else 0)


async def due_times(queue: Queue) -> list[datetime]:
    """Return when the waiting jobs of a queue become due, the next one first."""
    return _due_times(await _all_jobs(queue, (await queue.stats()).queues))


def under_way(queue: Queue) -> Iterator[str]:
    """Describe the deliveries of a queue that are under way, but for the caller's own."""
    here = asyncio.current_task()
    for loop, port in tuple(queue._ports.items()):  # noqa: SLF001 - the package's own
        if loop.is_closed():
            continue
        for task in asyncio.all_tasks(loop):
            coroutine = task.get_coro()
            frame = getattr(coroutine, "cr_frame", None)
            if task is here or frame is None or frame.f_code not in _DELIVERIES:
                continue
            names = frame.f_locals
            if names["self"].port is port:
                yield _described(names, coroutine)
        if loop is asyncio.get_running_loop() and port.native.has_backlog():
            yield "deliveries that wait for a turn of the event loop"


async def _counts(queue: Queue) -> dict[str, QueueStats] | None:
    try:
        return dict((await queue.stats()).queues)
    except (ClosedError, FencedError):
        return None


def _is_busy(queue: Queue, counts: dict[str, QueueStats]) -> bool:
    """Return whether something is being worked on, or waits for somebody who works."""
    if any(True for _ in under_way(queue)):
        return True
    ports = queue._ports.values()  # noqa: SLF001 - the package's own
    worked_on = {each.queue_name for each in tuple(Subscription.alive) if each.port in ports}
    return any(counts[name].pending_count > 0 for name in worked_on & counts.keys())


async def _all_jobs(queue: Queue, names: Iterable[str]) -> list[JobInfo]:
    jobs: list[JobInfo] = []
    for name in names:
        cursor: str | None = None
        while True:
            page = await queue.list_jobs(name, None, cursor, _PAGE_COUNT)
            jobs += page.jobs
            cursor = page.cursor
            if cursor is None:
                break
    return jobs


def _is_all_counted(jobs: list[JobInfo], counts: dict[str, QueueStats]) -> bool:
    """Return whether every job is in a state that is counted.

    One that is changing is not: its body may have to be read first.
    """
    listed = Counter((job.queue, job.state) for job in jobs)
    return all(
        listed[name, state] == count
        for name, found in counts.items()
        for state, count in (
            (JobState.PENDING, found.pending_count),
            (JobState.SCHEDULED, found.scheduled_count),
            (JobState.CLAIMED, found.claimed_count),
        )
    )


def _due_times(jobs: list[JobInfo]) -> list[datetime]:
    waiting = (job.run_at for job in jobs if job.state is JobState.SCHEDULED)
    return sorted({instant for instant in waiting if instant is not None})


def _described(names: dict[str, object], coroutine: object) -> str:
    work = next(
        (value for value in names.values() if isinstance(value, Step | Claim | Notification)), None
    )
    if isinstance(work, Step):
        what = f"step {work.step_number} of run `{work.run_id}`"
    elif isinstance(work, Claim):
        what = f"job `{work.job_id}` of queue `{work.queue}`"
    elif isinstance(work, Notification):
        what = f"the hook of run `{work.outcome.run_id}`"
    else:
        what = "a delivery"
    waiting = places(coroutine)
    return f"{what} waits at {waiting[-1]}" if waiting else what
