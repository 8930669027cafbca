"""Random lives of jobs against a plain model: whatever is done in whatever order, they agree.

The model is a dict. After every operation the queue must show the same jobs in the same states,
the same keys, and deliver the job that the model says is next. A failing seed is printed.
"""

import asyncio
import itertools
import os
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from taquba import (
    Claim,
    Effects,
    EnqueueOptions,
    JobCancelled,
    JobState,
    MockClock,
    OpenOptions,
    Queue,
    QueueConfig,
    RetryJitter,
)
from taquba.exceptions import FencedError
from taquba.store import MemoryStore
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)

OPERATION_COUNT = 150
LEASE = timedelta(seconds=60)
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 10, 300
CONFIG = QueueConfig(
    retry_backoff_base=BACKOFF_SECONDS,
    retry_backoff_max=BACKOFF_SECONDS_MAX,
    retry_jitter=RetryJitter.NONE,
    dead_retention=None,
)
PAYLOADS = [b"", b"small", bytes(2000)]
# Above the largest but below the others: some payloads are objects.
OFFLOAD_THRESHOLD = 1000


@dataclass
class Job:
    """What the model knows of a job."""

    priority: int
    payload: bytes
    max_attempts: int
    state: JobState = JobState.PENDING
    attempts: int = 0
    at: datetime | None = None
    """When it becomes due, or when its lease ends."""
    claim: Claim | None = None
    is_cancelled: bool = False
    place: int = 0
    """Its turn among jobs of its priority; a revived job goes to the end."""


@dataclass
class Life:
    """The queue and its model, side by side."""

    rng: random.Random
    queue: Queue
    store: MemoryStore
    clock: MockClock
    jobs: dict[str, Job] = field(default_factory=dict)
    keys: dict[str, bytes] = field(default_factory=dict)
    stale: list[Claim] = field(default_factory=list)
    places: "itertools.count[int]" = field(default_factory=itertools.count)

    def pick(self, *states: JobState) -> str | None:
        """A random job in one of these states."""
        found = [job_id for job_id, job in self.jobs.items() if job.state in states]
        return self.rng.choice(found) if found else None

    def release(self, job_id: str, state: JobState, after: timedelta = timedelta()) -> None:
        """A delivery ended, and not for good."""
        job = self.jobs[job_id]
        if job.claim is not None:
            self.stale.append(job.claim)
        job.claim = None
        if job.is_cancelled:
            del self.jobs[job_id]
        elif job.attempts >= job.max_attempts:
            job.state, job.at = JobState.DEAD, None
        else:
            job.state, job.at = state, self.clock.now() + after

    async def enqueue(self) -> None:
        """Adds a job, now or later."""
        priority, payload = self.rng.choice([1, 1000, 1000]), self.rng.choice(PAYLOADS)
        delay = self.rng.choice([0, 0, 30, 500])
        max_attempts = self.rng.choice([1, 2, 3])
        options = EnqueueOptions(priority=priority, max_attempts=max_attempts, delay=delay or None)
        job_id = await self.queue.enqueue("q", payload, options)
        job = self.jobs[job_id] = Job(priority, payload, max_attempts)
        job.place = next(self.places)
        if delay:
            job.state, job.at = JobState.SCHEDULED, self.clock.now() + timedelta(seconds=delay)

    async def claim(self) -> None:
        """Takes the job that the model says is next."""
        pending = [
            (job.priority, job.place, job_id)
            for job_id, job in self.jobs.items()
            if job.state is JobState.PENDING
        ]
        claim = await self.queue.claim("q", lease=LEASE)
        if not pending:
            assert claim is None
            return
        job_id = min(pending)[2]
        job = self.jobs[job_id]
        assert claim is not None
        job.attempts += 1
        assert (claim.job_id, claim.payload, claim.attempts) == (job_id, job.payload, job.attempts)
        job.state, job.at, job.claim = JobState.CLAIMED, self.clock.now() + LEASE, claim

    async def settle(self) -> None:
        """Ends a delivery."""
        job_id = self.pick(JobState.CLAIMED)
        if job_id is None:
            return
        job = self.jobs[job_id]
        claim = job.claim
        assert claim is not None
        how = self.rng.choice(["ack", "ack_with", "nack", "dead_letter"])
        if how == "nack":
            await self.queue.nack(claim, "why")
            seconds = min(BACKOFF_SECONDS * 2 ** (job.attempts - 1), BACKOFF_SECONDS_MAX)
            self.release(job_id, JobState.SCHEDULED, timedelta(seconds=seconds))
        elif how == "dead_letter" and not job.is_cancelled:
            await self.queue.dead_letter(claim, "why")
            job.state, job.at, job.claim = JobState.DEAD, None, None
            self.stale.append(claim)
        elif how == "ack_with":
            name, value = self.rng.choice("abc"), job_id.encode()
            await self.queue.ack_with(claim, Effects().kv_put(name, value))
            self.keys[name] = value
            self.stale.append(self.jobs.pop(job_id).claim or claim)
        else:
            await self.queue.ack(claim)
            self.stale.append(self.jobs.pop(job_id).claim or claim)

    async def settle_late(self) -> None:
        """Tries to end a delivery that is over."""
        if self.stale:
            claim = self.rng.choice(self.stale)
            effects = Effects().kv_put("late", b"no").enqueue("q", b"no")
            [result] = await asyncio.gather(
                self.queue.ack_with(claim, effects), return_exceptions=True
            )
            assert getattr(result, "code", None) == "claim-lost"

    async def cancel(self) -> None:
        """Cancels a job."""
        job_id = self.pick(JobState.PENDING, JobState.SCHEDULED, JobState.CLAIMED)
        if job_id is None:
            return
        job = self.jobs[job_id]
        found = await self.queue.cancel(job_id)
        if job.state is JobState.CLAIMED:
            assert found is JobCancelled.REQUESTED
            job.is_cancelled = True
        else:
            assert found is JobCancelled.REMOVED
            del self.jobs[job_id]

    async def wake(self) -> None:
        """Wakes a job up."""
        job_id = self.pick(JobState.SCHEDULED)
        if job_id is not None:
            await self.queue.wake_scheduled(job_id)
            self.jobs[job_id].state = JobState.PENDING

    async def requeue(self) -> None:
        """Revives a dead job."""
        job_id = self.pick(JobState.DEAD)
        if job_id is not None:
            await self.queue.requeue_dead_job(job_id)
            job = self.jobs[job_id]
            job.state, job.attempts, job.place = JobState.PENDING, 0, next(self.places)

    async def purge(self) -> None:
        """Deletes the dead."""
        dead = [key for key, job in self.jobs.items() if job.state is JobState.DEAD]
        assert await self.queue.purge_dead("q") == len(dead)
        for job_id in dead:
            del self.jobs[job_id]

    async def write_key(self) -> None:
        """Writes or deletes a key, sometimes with a condition that may not hold."""
        name, value = self.rng.choice("abc"), b"%d" % self.rng.randrange(3)
        if self.rng.random() < 0.3:
            await self.queue.kv_delete(name)
            self.keys.pop(name, None)
        elif self.rng.random() < 0.5:
            expected = self.rng.choice([None, b"0", b"1", b"2"])
            written = await self.queue.kv_compare_put(name, expected, value)
            assert written is (self.keys.get(name) == expected)
            if written:
                self.keys[name] = value
        else:
            await self.queue.kv_put(name, value)
            self.keys[name] = value

    async def let_time_pass(self) -> None:
        """Moves the clock: jobs become due, leases run out."""
        self.clock.advance(self.rng.choice([1, 20, 45, 400]))
        now = self.clock.now()
        for job_id, job in list(self.jobs.items()):
            if job.at is not None and job.at <= now:
                if job.state is JobState.SCHEDULED:
                    job.state = JobState.PENDING
                elif job.state is JobState.CLAIMED:
                    self.release(job_id, JobState.PENDING)

    async def reopen(self) -> None:
        """Closes in order, or is followed by another owner as if the process had died."""
        crashes = self.rng.random() < 0.5
        if not crashes:
            await self.queue.close()
        before, self.queue = self.queue, await open_queue(self.store, self.clock)
        for job_id, job in list(self.jobs.items()):
            if job.state is JobState.CLAIMED:
                self.release(job_id, JobState.PENDING)
                if job_id in self.jobs:
                    await self.adopt(job_id)
        if crashes:
            with pytest.raises(FencedError):
                await before.enqueue("q", b"behind the back")

    async def adopt(self, job_id: str) -> None:
        """What the model cannot know: whether a claim younger than one commit was counted."""
        job = self.jobs[job_id]
        info = await self.queue.get_job(job_id)
        assert info.attempts in (job.attempts - 1, job.attempts)
        assert info.state in (JobState.PENDING, JobState.DEAD)
        assert info.state is JobState.PENDING or job.attempts == job.max_attempts
        job.attempts, job.state = info.attempts, info.state

    async def check(self) -> None:
        """The queue shows what the model says."""
        expected = {key: (job.state, job.attempts) for key, job in self.jobs.items()}

        async def agree() -> bool:
            page = await self.queue.list_jobs("q", limit=1000)
            return expected == {job.job_id: (job.state, job.attempts) for job in page.jobs}

        await eventually(agree, f"the queue to show {expected}")
        assert dict((await self.queue.kv_scan()).entries) == self.keys
        stats = (await self.queue.stats()).queues.get("q")
        if stats is not None:
            states = [job.state for job in self.jobs.values()]
            assert stats.pending_count == states.count(JobState.PENDING)
            assert stats.scheduled_count == states.count(JobState.SCHEDULED)
            assert stats.claimed_count == states.count(JobState.CLAIMED)
            assert stats.dead_count == states.count(JobState.DEAD)


OPERATIONS: dict[str, int] = {
    "enqueue": 20,
    "claim": 25,
    "settle": 15,
    "settle_late": 3,
    "cancel": 5,
    "wake": 4,
    "requeue": 4,
    "purge": 1,
    "write_key": 8,
    "let_time_pass": 8,
    "reopen": 4,
}


async def open_queue(store: MemoryStore, clock: MockClock) -> Queue:
    """Opens the store of one life."""
    options = OpenOptions(
        clock=clock, default_queue_config=CONFIG, payload_offload_threshold=OFFLOAD_THRESHOLD
    )
    return await Queue.open(store, options=options)


def seeds() -> list[Any]:
    """A few fixed ones, and a new one at each run."""
    given = os.environ.get("TAQUBA_LIFE_SEED")
    if given is not None:
        return [int(given)]
    return [1, 2, 3, 4, 5, pytest.param(None, id="new")]


@pytest.mark.parametrize("seed", seeds())
async def test_a_random_life_is_as_the_model_says(seed: int | None) -> None:
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"to repeat this life: TAQUBA_LIFE_SEED={seed}")
    rng = random.Random(seed)
    store, clock = MemoryStore(), MockClock()
    life = Life(rng, await open_queue(store, clock), store, clock)

    for _ in range(OPERATION_COUNT):
        [name] = rng.choices(list(OPERATIONS), weights=list(OPERATIONS.values()))
        print(name)
        await getattr(life, name)()
        await life.check()
    await life.queue.close()
