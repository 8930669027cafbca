"""The overview: every queue with its counts, rates and oldest job, and what needs attention."""

import asyncio
from collections.abc import Mapping
from typing import Final, final

from taquba import _shown
from taquba.admin import _wire
from taquba.admin._attention import Attention, waiting_since
from taquba.admin._ownership import Ownership
from taquba.admin._sample import Sample, quantiles, rates
from taquba.admin._sampler import Sampler
from taquba.admin._scan import scan_jobs
from taquba.admin._shared import Shared
from taquba.queue import JobInfo, JobState, Queue, QueueReader

__all__ = ["Overview"]

# Of these many queues the oldest job is looked up: those with the longest backlogs.
_OLDEST_COUNT_MAX_OF_OWNER: Final = 100
_OLDEST_COUNT_MAX_OF_READER: Final = 10

# Those that were tried before are claimed first, so few of the first pending ones are such.
_FIRST_COUNT: Final = 20
_CALLS_MAX_OF_OWNER: Final = 20
_QUEUES_AT_ONCE: Final = 100


@final
class Overview:
    """Makes the overview once for each sample, however many ask.

    Args:
        source: What it is about.
        ownership: Whether it is still the owner, if it was.
    """

    def __init__(self, source: Queue | QueueReader, ownership: Ownership) -> None:
        self._source = source
        self._ownership = ownership
        self.sampler: Final = Sampler(source)
        self._attention = Attention(source)
        self._making = Shared(self._make)
        self._made: tuple[Sample, bytes] | None = None

    async def current(self) -> bytes:
        """Return the overview, as JSON: the same object until there is something new.

        Raises:
            TaqubaError: The store cannot be looked at.
        """
        sample = await self.sampler.latest()
        if self._made is not None and self._made[0] is sample:
            return self._made[1]
        return await self._making.get()

    def expire(self) -> None:
        """Have the next look see what was changed."""
        self.sampler.expire()
        self._attention.expire()

    async def _oldest_of(self, queue: str) -> JobInfo | None:
        """Return the pending job that has waited longest, among the first that were enqueued."""
        source = self._source
        calls_max = None
        if isinstance(source, Queue):
            first = await source.oldest_pending(queue)
            if first is None or first.run_at is None:
                return first
            # It was not waiting all the time since: it was tried meanwhile, or due later.
            calls_max = _CALLS_MAX_OF_OWNER
        # A reader has no index: what lies too far behind other jobs is not looked for.
        scanned = await scan_jobs(
            source, queue, JobState.PENDING, limit=_FIRST_COUNT, calls_max=calls_max
        )
        return min(scanned.found, key=waiting_since, default=None)

    async def _make(self) -> bytes:
        source, sample = self._source, await self.sampler.latest()
        oldest = await self._oldest(sample)
        owner = await source.owner()
        self._ownership.see(owner)
        is_owner = isinstance(source, Queue) and not self._ownership.is_lost
        earlier = self.sampler.minute_ago()
        overview = {
            "taken_at": _shown.instant(sample.taken_at),
            "mode": "owner" if is_owner else "reader",
            "owner": None if owner is None else _shown.record(owner),
            "quarantined_count": sample.stats.quarantined_count,
            "queues": await _queues(earlier, sample, oldest),
            "attention": await self._attention.items(earlier, sample, oldest, owner),
        }
        made = _wire.as_json(overview)
        self._made = (sample, made)
        return made

    async def _oldest(self, sample: Sample) -> dict[str, JobInfo]:
        is_owner = isinstance(self._source, Queue)
        waiting = [(q.pending_count, name) for name, q in sample.stats.queues.items()]
        longest = sorted((one for one in waiting if one[0]), reverse=True)
        count_max = _OLDEST_COUNT_MAX_OF_OWNER if is_owner else _OLDEST_COUNT_MAX_OF_READER
        names = [name for _, name in longest[:count_max]]
        found = await asyncio.gather(*map(self._oldest_of, names))
        return {name: job for name, job in zip(names, found, strict=True) if job is not None}


async def _queues(
    earlier: Sample, sample: Sample, oldest: Mapping[str, JobInfo]
) -> list[dict[str, object]]:
    shown: list[dict[str, object]] = []
    for number, name in enumerate(sorted(sample.stats.queues), start=1):
        shown.append(_queue(name, earlier, sample, oldest.get(name)))
        # A thousand queues must not hold up the steps that share the event loop.
        if number % _QUEUES_AT_ONCE == 0:
            await asyncio.sleep(0)
    return shown


def _queue(name: str, earlier: Sample, sample: Sample, oldest: JobInfo | None) -> dict[str, object]:
    since = None if oldest is None else waiting_since(oldest)
    return {
        "name": name,
        **_shown.record(sample.stats.queues[name]),
        "oldest_pending": None
        if oldest is None
        else {"job_id": oldest.job_id, "since": _shown.instant(since)},
        "rates": rates(earlier, sample, name),
        "wait_seconds": quantiles(earlier, sample, name, "wait_seconds"),
        "run_seconds": quantiles(earlier, sample, name, "run_seconds"),
    }
