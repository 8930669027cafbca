"""What needs attention: what is stuck, since when, why, and how to make it go on.

Invariants:
    1. Looking is bounded: so many queues, so many jobs of each; and it is done again only after
       some seconds or a change, however often it is asked for.
    2. The worst comes first: errors before warnings, then what has been stuck for longest.

Not here:
    What is said about each is `_items.py`.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, final

from taquba.admin import _items
from taquba.admin._items import Item
from taquba.admin._retries import has_retry
from taquba.admin._sample import RATES, Sample, rates
from taquba.admin._scan import Scanned, scan_jobs
from taquba.exceptions import JobNotFoundError, RunNotFoundError
from taquba.queue import (
    Attempt,
    AttemptEnd,
    JobInfo,
    JobState,
    Owner,
    Queue,
    QueueReader,
    QueueStats,
)

__all__ = ["Attention", "waiting_since"]

_ITEM_COUNT_MAX: Final = 50
_CACHED_SECONDS: Final = 4.0
_QUEUE_COUNT_MAX: Final = 50
# Of more than this, a queue is told about as a whole.
_SINGLE_COUNT_MAX: Final = 5
_EXAMINED_MAX_OF_OWNER: Final = 200
_EXAMINED_MAX_OF_READER: Final = 20
# Each looks at 10,000 rows: an owner's cost 0.1 ms, a reader's are fetched.
_CALLS_MAX_OF_OWNER: Final = 300
_CALLS_MAX_OF_READER: Final = 12

# Between two claims of a worker that is there nothing moves either.
_LOOKED_SECONDS_MIN: Final = 30.0
_NO_WORKER_AFTER: Final = timedelta(seconds=30)
_WAITING_AFTER: Final = timedelta(minutes=1)
_LONG_AFTER: Final = timedelta(minutes=5)
_RETRY_AFTER: Final = timedelta(seconds=10)
_FAILING_AFTER: Final = timedelta(minutes=1)


@final
class Attention:
    """Looks for what needs attention.

    Args:
        source: Where.
    """

    def __init__(self, source: Queue | QueueReader) -> None:
        self._source = source
        self._is_owner = isinstance(source, Queue)
        self._examined_max = _EXAMINED_MAX_OF_OWNER if self._is_owner else _EXAMINED_MAX_OF_READER
        self._calls_left = 0
        self._looked_at = float("-inf")
        self._items: list[dict[str, Any]] = []

    async def items(
        self,
        earlier: Sample,
        latest: Sample,
        oldest: Mapping[str, JobInfo],
        owner: Owner | None,
    ) -> list[dict[str, Any]]:
        """Return what needs attention, as JSON has it; the worst first.

        Args:
            earlier: What was counted up to a minute ago.
            latest: What has been counted now.
            oldest: The pending job of each queue that has waited longest.
            owner: Who owns the store.

        Raises:
            TaqubaError: The store cannot be looked at.
        """
        if time.monotonic() - self._looked_at < _CACHED_SECONDS:
            return self._items
        self._calls_left = _CALLS_MAX_OF_OWNER if self._is_owner else _CALLS_MAX_OF_READER
        stats, now = latest.stats, latest.taken_at
        found = [_items.quarantined(stats.quarantined_count)] if stats.quarantined_count else []
        if not self._is_owner:
            waiting_count = sum(queue.pending_count for queue in stats.queues.values())
            found += _items.of_owner(owner, waiting_count)
        for name in _fullest(latest, lambda queue: queue.pending_count):
            found += _of_waiting(name, oldest.get(name), earlier, latest)
        for name in _fullest(latest, lambda queue: queue.scheduled_count):
            found += await self._retrying(name, now)
        for name in _fullest(latest, lambda queue: queue.claimed_count):
            found += await self._long(name, now)
        for name in _fullest(latest, lambda queue: queue.dead_count):
            found += await self._dead(name, stats.queues[name].dead_count)
        found.sort(key=Item.rank)
        self._items = [item.shown() for item in found[:_ITEM_COUNT_MAX]]
        self._looked_at = time.monotonic()
        return self._items

    def expire(self) -> None:
        """Look again when asked next: something was changed."""
        self._looked_at = float("-inf")

    async def _retrying(self, queue: str, now: datetime) -> list[Item]:
        def is_stuck(job: JobInfo, began: datetime) -> bool:
            # One that failed just now and is due in a moment is how retries work.
            is_far = job.run_at is not None and job.run_at - now >= _RETRY_AFTER
            return job.attempts > 0 and (is_far or now - began >= _FAILING_AFTER)

        scanned = await self._look(
            queue, JobState.SCHEDULED, lambda job: is_stuck(job, job.enqueued_at)
        )
        jobs = sorted(scanned.found, key=lambda job: -job.attempts)
        is_all = scanned.cursor is None
        items = (
            [_items.retrying_many(queue, jobs, is_all=is_all)]
            if len(jobs) > _SINGLE_COUNT_MAX
            else []
        )
        for job in jobs[:_SINGLE_COUNT_MAX]:
            attempts = await self._attempts(job)
            starts = (one.started_at for one in attempts if one.started_at is not None)
            began = next(starts, job.enqueued_at)
            if is_stuck(job, began):
                items.append(_items.retrying(job, began))
        return items

    async def _long(self, queue: str, now: datetime) -> list[Item]:
        items: list[Item] = []
        for job in (await self._look(queue, JobState.CLAIMED)).found:
            # What was enqueued lately cannot have been claimed for long.
            if now - job.enqueued_at < _LONG_AFTER:
                continue
            attempts = await self._attempts(job)
            is_open = bool(attempts) and attempts[-1].end is AttemptEnd.OPEN
            began = attempts[-1].started_at if is_open else None
            if began is not None and now - began >= _LONG_AFTER:
                items.append(_items.long_delivery(job, began))
        return items

    async def _dead(self, queue: str, count: int) -> list[Item]:
        scanned = await self._look(queue, JobState.DEAD)
        dead, is_all = scanned.found, scanned.cursor is None
        steps = [job for job in dead if job.kind == "step"]
        jobs = [job for job in dead if job.kind != "step"]
        items: list[Item] = []
        for job in steps[:_SINGLE_COUNT_MAX]:
            items += await self._failed_run(job)
        # What was not looked at may be steps or not.
        if not dead:
            items.append(_items.dead_jobs(queue, count, [], is_all=True))
        elif jobs:
            known = len(jobs) if steps else count
            items.append(_items.dead_jobs(queue, known, jobs, is_all=is_all))
        elif count > _SINGLE_COUNT_MAX:
            items.append(_items.failed_runs(queue, len(steps), steps, is_all=is_all))
        return items

    async def _failed_run(self, job: JobInfo) -> list[Item]:
        """Tell of the run of a dead step, unless it was submitted again."""
        assert job.run_id is not None, "a step belongs to a run"  # noqa: S101 - ours
        if await has_retry(self._source, job.run_id):
            return []
        try:
            is_first = (await self._source.get_run(job.run_id)).step_number == 0
        except RunNotFoundError:
            is_first = False
        return [_items.failed_run(job, is_first=is_first)]

    async def _look(
        self, queue: str, state: JobState, fits: Callable[[JobInfo], bool] | None = None
    ) -> Scanned[JobInfo]:
        if self._calls_left <= 0:
            return Scanned([], None, 0, 0)
        limit, calls = self._examined_max, self._calls_left
        scanned = await scan_jobs(
            self._source, queue, state, limit=limit, fits=fits, calls_max=calls
        )
        self._calls_left -= scanned.calls
        return scanned

    async def _attempts(self, job: JobInfo) -> list[Attempt]:
        try:
            return await self._source.attempt_history(job.job_id)
        except JobNotFoundError:
            # Settled since it was listed.
            return []


def waiting_since(job: JobInfo) -> datetime:
    """Return since when a pending job can be claimed."""
    return job.enqueued_at if job.run_at is None else max(job.enqueued_at, job.run_at)


def _of_waiting(queue: str, oldest: JobInfo | None, earlier: Sample, latest: Sample) -> list[Item]:
    stats = latest.stats.queues[queue]
    since = None if oldest is None else waiting_since(oldest)
    # Of a queue whose oldest job was not looked up, as long as it was looked at.
    age = latest.taken_at - (earlier.taken_at if since is None else since)
    happened = rates(earlier, latest, queue) or dict.fromkeys(RATES, 0.0)
    moves = stats.claimed_count + sum(happened[name] for name in ("acked", "retried", "dead"))
    is_known = latest.at - earlier.at >= _LOOKED_SECONDS_MIN
    if not moves and is_known and age >= _NO_WORKER_AFTER:
        return [_items.no_worker(queue, stats, since)]
    if moves and since is not None and age >= _WAITING_AFTER:
        return [_items.waiting(queue, stats, since, happened)]
    return []


def _fullest(sample: Sample, count: Callable[[QueueStats], int]) -> list[str]:
    counts = [(count(queue), name) for name, queue in sample.stats.queues.items()]
    found = sorted((one for one in counts if one[0]), reverse=True)
    return [name for _, name in found[:_QUEUE_COUNT_MAX]]
