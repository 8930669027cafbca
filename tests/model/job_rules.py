"""What a user does to jobs and keys."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from taquba import Claim, Effects, EnqueueOptions, JobCancelled, JobState, NewJob
from taquba.exceptions import ClaimLostError, TaqubaError
from tests.model.life import KEYS, SIMPLE, SIZES, TICKETS, Life
from tests.model.plain import FLOW, JOB_QUEUES

NEW_JOBS = st.fixed_dictionaries(
    {
        "size": st.sampled_from(SIZES),
        "priority": st.sampled_from([None, 1, 1000]),
        "max_attempts": st.sampled_from([None, 1, 3]),
        "delay": st.sampled_from([None, 30, 500]),
        "dedup_key": st.sampled_from([None, None, "k1", "k2"]),
        "dedup_scope": st.sampled_from(["waiting", "settled"]),
        "headers": st.sampled_from([{}, {"trace": "1"}]),
    }
)
ENDS = st.sampled_from(
    [("ack", None), ("nack", None), ("nack", 0), ("nack", 40), ("dead_letter", None)]
)
NewJobs = list[dict[str, Any]]
WAITING = (JobState.PENDING, JobState.SCHEDULED)


class JobRules(Life):
    """Jobs, from enqueue to their ends, and the keys beside them."""

    @rule(queue=st.sampled_from(JOB_QUEUES), jobs=st.lists(NEW_JOBS, min_size=1, max_size=4))
    def enqueue(self, queue: str, jobs: NewJobs) -> None:
        self.run(self.add(queue, jobs))

    async def add(self, queue: str, jobs: NewJobs) -> None:
        """Adds jobs; a taken key must give its holder's id."""
        if len(jobs) == 1:
            options, payload = options_of(jobs[0]), bytes(jobs[0]["size"])
            job_ids = [await self.bench.queue.enqueue(queue, payload, options)]
        else:
            batch = [NewJob(bytes(job["size"]), options_of(job)) for job in jobs]
            job_ids = await self.bench.queue.enqueue_batch(queue, batch)
        for job, job_id in zip(jobs, job_ids, strict=True):
            holder = self.model.holder(queue, job["dedup_key"])
            if holder is not None:
                assert job_id == holder
                continue
            assert job_id not in self.model.jobs
            self.model.add(job_id, queue, **self.fields(queue, job))

    @rule(
        queue=st.sampled_from(JOB_QUEUES),
        count=st.integers(1, 3),
        lease=st.sampled_from([20, 60]),
        waits=st.booleans(),
    )
    def claim(self, queue: str, count: int, lease: int, waits: bool) -> None:
        async def act() -> None:
            if waits:
                found = await self.bench.queue.claim_with_wait(queue, timeout=0, lease=lease)
                claims = [] if found is None else [found]
            else:
                claims = await self.bench.queue.claim_batch(queue, count, lease=lease)
            wanted = self.model.next_jobs(queue, 1 if waits else count)
            assert [claim.job_id for claim in claims] == wanted
            for claim in claims:
                self.model.claim(claim.job_id, claim, timedelta(seconds=lease))
                self.check_claim(claim)

        self.run(act())

    async def claimed(self, ticket: int) -> str:
        """A claimed job; one is made if there is none."""
        job_id = self.pick(ticket, JobState.CLAIMED)
        if job_id is not None:
            return job_id
        queue = JOB_QUEUES[ticket % len(JOB_QUEUES)]
        if not self.model.next_jobs(queue, 1):
            await self.add(queue, [SIMPLE])
        claim = await self.bench.queue.claim(queue, lease=60)
        assert claim is not None
        assert [claim.job_id] == self.model.next_jobs(queue, 1)
        self.model.claim(claim.job_id, claim, timedelta(seconds=60))
        self.check_claim(claim)
        return claim.job_id

    async def dead(self, ticket: int) -> str:
        """A dead job; one is made if there is none."""
        job_id = self.pick(ticket, JobState.DEAD)
        if job_id is None:
            job_id = await self.claimed(ticket)
            claim = self.model.jobs[job_id].claim
            assert claim is not None
            await self.bench.queue.dead_letter(claim, "why")
            self.model.bury(job_id, "why")
        return job_id

    async def any_job(self, ticket: int) -> str:
        """A job in any state; a claimed one is made if there is none."""
        return self.pick(ticket, *JobState) or await self.claimed(ticket)

    def check_claim(self, claim: Claim) -> None:
        job = self.model.jobs[claim.job_id]
        assert (claim.attempts, claim.priority) == (job.attempts, job.priority)
        assert claim.headers == job.headers
        assert claim.payload == bytes(job.payload_bytes)

    @rule(queue=st.sampled_from(JOB_QUEUES), steps=st.integers(0, 6))
    def give_up_a_claim(self, queue: str, steps: int) -> None:
        """Cancelled while it claims: what it had taken is given back, as if it had not."""

        async def act() -> None:
            task = asyncio.ensure_future(self.bench.queue.claim_batch(queue, 2, lease=60))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                for claim in await task:
                    self.model.claim(claim.job_id, claim, timedelta(seconds=60))

        self.run(act())

    @rule(
        ticket=TICKETS,
        hows=st.lists(ENDS, min_size=1, max_size=4),
        jobs=st.none() | st.lists(NEW_JOBS, max_size=2),
        key=st.sampled_from(KEYS),
        value=st.sampled_from([None, b"0", b"1"]),
    )
    def settle(
        self,
        ticket: int,
        hows: list[tuple[str, float | None]],
        jobs: NewJobs | None,
        key: str,
        value: bytes | None,
    ) -> None:
        """Ends deliveries; with effects unless `jobs` is `None`."""

        async def act() -> None:
            for how, retry_after in hows:
                await self.settle_one(
                    await self.claimed(ticket), how, retry_after, jobs, key, value
                )

        self.run(act())

    async def settle_one(
        self,
        job_id: str,
        how: str,
        retry_after: float | None,
        jobs: NewJobs | None,
        key: str,
        value: bytes | None,
    ) -> None:
        """Ends one delivery."""
        claim = self.model.jobs[job_id].claim
        assert claim is not None
        effects = None if jobs is None else effects_of("plain", jobs, key, value)
        await settled(self.bench.queue, claim, how, retry_after, effects)
        if how == "ack":
            self.model.ack(job_id)
        elif how == "nack":
            self.model.nack(job_id, "why", retry_after)
        else:
            self.model.bury(job_id, "why")
        if jobs is not None:
            self.write(key, value)
            await self.adopt_effects("plain", jobs)

    async def adopt_effects(self, queue: str, jobs: NewJobs) -> None:
        """The ids of jobs that came with a settlement are told to nobody: they are looked up."""
        page = await self.bench.queue.list_jobs(queue, limit=1000)
        new = sorted(job.job_id for job in page.jobs if job.job_id not in self.model.jobs)
        for job in jobs:
            if self.model.holder(queue, job["dedup_key"]) is None:
                assert new, "a job of the effects is not there"
                self.model.add(new.pop(0), queue, **self.fields(queue, job))

    @rule(ticket=TICKETS, how=st.sampled_from(["ack", "nack", "dead_letter", "renew"]))
    def settle_late(self, ticket: int, how: str) -> None:
        async def act() -> None:
            if not self.model.stale:
                return
            claim = self.model.stale[ticket % len(self.model.stale)]
            effects = Effects().kv_put("late", b"no").enqueue("plain", b"no")
            try:
                if how == "renew":
                    await self.bench.queue.renew(claim, 60)
                else:
                    await settled(self.bench.queue, claim, how, None, effects)
            except ClaimLostError:
                return
            raise AssertionError("a late settlement was not refused")

        self.run(act())

    @rule(ticket=TICKETS, lease=st.sampled_from([5, 100]), at_least=st.booleans())
    def renew(self, ticket: int, lease: int, at_least: bool) -> None:
        async def act() -> None:
            job = self.model.jobs[await self.claimed(ticket)]
            assert job.claim is not None
            assert job.at is not None
            wanted = self.model.now + timedelta(seconds=lease)
            if at_least:
                await self.bench.queue.ensure_at_least(job.claim, lease)
                job.at = max(job.at, wanted)
            else:
                await self.bench.queue.renew(job.claim, lease)
                job.at = wanted

        self.run(act())

    @rule(ticket=TICKETS)
    def cancel(self, ticket: int) -> None:
        async def act() -> None:
            job_id = await self.any_job(ticket)
            job = self.model.jobs[job_id]
            try:
                became = await self.bench.queue.cancel(job_id)
            except TaqubaError as error:
                refused(error, "job-not-found", job.state in {JobState.DONE, JobState.DEAD})
                return
            is_claimed = job.state is JobState.CLAIMED
            assert became is (JobCancelled.REQUESTED if is_claimed else JobCancelled.REMOVED)
            self.model.cancel(job_id)
            if is_claimed and job.claim is not None:
                async with asyncio.timeout(20):
                    await job.claim.cancel_token.wait()

        self.run(act())

    @rule(ticket=TICKETS)
    def wake(self, ticket: int) -> None:
        async def act() -> None:
            job_id = await self.any_job(ticket)
            job = self.model.jobs[job_id]
            try:
                await self.bench.queue.wake_scheduled(job_id)
            except TaqubaError as error:
                refused(error, "wrong-job-state", job.state not in WAITING)
                return
            assert job.state in WAITING
            job.state, job.at = JobState.PENDING, None

        self.run(act())

    @rule(ticket=TICKETS, is_dead=st.booleans())
    def requeue(self, ticket: int, is_dead: bool) -> None:
        async def act() -> None:
            job_id = await (self.dead(ticket) if is_dead else self.any_job(ticket))
            try:
                await self.bench.queue.requeue_dead_job(job_id)
            except TaqubaError as error:
                is_alive = self.model.jobs[job_id].state is not JobState.DEAD
                refused(error, "wrong-job-state", is_alive)
                return
            self.model.revive(job_id)

        self.run(act())

    @rule(queue=st.sampled_from([*JOB_QUEUES, FLOW]), older_than=st.sampled_from([0, 50]))
    def purge(self, queue: str, older_than: int) -> None:
        async def act() -> None:
            before = self.model.now - timedelta(seconds=older_than)
            dead = [
                job_id
                for job_id, job in self.model.jobs.items()
                if (job.queue, job.state) == (queue, JobState.DEAD)
                and job.at is not None
                and job.at <= before
            ]
            count = await self.bench.queue.purge_dead(queue, older_than=older_than)
            assert count == len(dead)
            for job_id in dead:
                self.model.remove(job_id)

        self.run(act())

    @rule(
        queue=st.sampled_from(JOB_QUEUES),
        state=st.sampled_from([None, *JobState]),
        limit=st.integers(1, 3),
    )
    def page_through(self, queue: str, state: JobState | None, limit: int) -> None:
        """Pages show each job once, in the order of enqueueing."""

        async def act() -> None:
            found: list[str] = []
            cursor = None
            while True:
                page = await self.bench.queue.list_jobs(queue, state, cursor, limit)
                assert len(page.jobs) <= limit
                found += [job.job_id for job in page.jobs]
                cursor = page.cursor
                if cursor is None:
                    break
            jobs = self.model.jobs.items()
            of_queue = sorted(job_id for job_id, job in jobs if job.queue == queue)
            wanted = [one for one in of_queue if state in {None, self.model.jobs[one].state}]
            assert found == wanted

        self.run(act())

    # Keys.

    def write(self, key: str, value: bytes | None) -> None:
        if value is None:
            self.model.keys.pop(key, None)
        else:
            self.model.keys[key] = value

    @rule(key=st.sampled_from(KEYS), value=st.sampled_from([None, b"0", b"1"]))
    def write_key(self, key: str, value: bytes | None) -> None:
        async def act() -> None:
            if value is None:
                await self.bench.queue.kv_delete(key)
            else:
                await self.bench.queue.kv_put(key, value)
            self.write(key, value)
            assert await self.bench.queue.kv_get(key) == value

        self.run(act())

    @rule(
        key=st.sampled_from(KEYS),
        expected=st.sampled_from([None, b"0", b"1"]),
        value=st.sampled_from([None, b"0", b"1"]),
    )
    def compare_key(self, key: str, expected: bytes | None, value: bytes | None) -> None:
        async def act() -> None:
            queue, holds = self.bench.queue, self.model.keys.get(key) == expected
            if value is not None:
                assert await queue.kv_compare_put(key, expected, value) is holds
            elif expected is not None:
                assert await queue.kv_compare_delete(key, expected) is holds
            else:
                return
            if holds:
                self.write(key, value)

        self.run(act())

    @rule(prefix=st.sampled_from(["", "a", "e"]), reverse=st.booleans())
    def scan_keys(self, prefix: str, reverse: bool) -> None:
        async def act() -> None:
            found: list[tuple[str, bytes]] = []
            cursor = None
            while True:
                page = await self.bench.queue.kv_scan(
                    prefix, reverse=reverse, cursor=cursor, limit=1
                )
                found += page.entries
                cursor = page.cursor
                if cursor is None:
                    break
            keys = sorted((k for k in self.model.keys if k.startswith(prefix)), key=str.encode)
            wanted = [(key, self.model.keys[key]) for key in keys]
            assert found == (wanted[::-1] if reverse else wanted)

        self.run(act())


def options_of(job: dict[str, Any]) -> EnqueueOptions:
    """The options of a job of the strategies."""
    return EnqueueOptions(**{name: value for name, value in job.items() if name != "size"})


def effects_of(queue: str, jobs: NewJobs, key: str, value: bytes | None) -> Effects:
    """Jobs, and a key that is set or removed."""
    batch = [NewJob(bytes(job["size"]), options_of(job)) for job in jobs]
    effects = Effects().enqueue_batch(queue, batch)
    return effects.kv_delete(key) if value is None else effects.kv_put(key, value)


def refused(error: TaqubaError, code: str, is_right: bool) -> None:
    """A call was refused: it had to be, and in this way."""
    assert is_right, error
    assert error.code == code, error


async def settled(
    queue: Any, claim: Claim, how: str, retry_after: float | None, effects: Effects | None
) -> None:
    """Ends a delivery in one of the six ways."""
    method = getattr(queue, how if effects is None else f"{how}_with")
    arguments: list[Any] = [claim] if how == "ack" else [claim, "why"]
    if effects is not None:
        arguments.append(effects)
    await method(*arguments, **({"retry_after": retry_after} if how == "nack" else {}))
