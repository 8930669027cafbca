"""The queue: opening a store, and the jobs in it.

Invariants:
    1. What a call promises is durable when it returns.
    2. A call that was made is carried out, even if the task that awaits it is cancelled; what was
       taken for a caller who is gone is given back.
    3. Callers wait while the store is slow: memory does not grow with work that waits.

Not here:
    Every decision about jobs is the engine's; this module converts and awaits. Looking at jobs is
    in `_inspect.py`, the key-value space in `_kv.py`, closing in `_connection.py`.
"""

import asyncio
import functools
import os
import secrets
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, final

from taquba import _taquba, _tracing
from taquba._checks import (
    Seconds,
    check_batch,
    check_count,
    check_instance,
    optional_duration,
)
from taquba._port import Port
from taquba._taquba import Claim, MockClock, SystemClock
from taquba.options import (
    ENQUEUE_DEFAULTS,
    OPEN_DEFAULTS,
    EnqueueOptions,
    NewJob,
    OpenOptions,
    as_new_jobs,
)
from taquba.queue._connection import Opening
from taquba.queue._effects import Effects, staged
from taquba.queue._inspect import Inspection
from taquba.queue._job import JobCancelled, JobInfo, read_job
from taquba.queue._kv import KvWriting
from taquba.queue._metrics import Metrics, read_metrics
from taquba.store import StoreLike, resolve

__all__ = ["Queue", "unclaim", "wall_clock"]

_SEED_BITS: Final = 64


@final
class Queue(Inspection, KvWriting):
    """A durable queue in an object store.

    One process owns a store path at a time; opening it takes ownership from the one before. A queue
    may be used from several event loops, each in its own thread. Made by `Queue.open`.
    """

    def __init__(
        self, engine: _taquba.Engine, port: Port, path: str, clock: SystemClock | MockClock
    ) -> None:
        super().__init__(engine, port, path)
        self._clock = clock

    @classmethod
    def open(
        cls, store: StoreLike, path: str = "taquba", options: OpenOptions = OPEN_DEFAULTS
    ) -> "Opening[Queue]":
        """Open the queue at a path of a store, and take ownership of it.

        Durable: when this returns, the owner before is fenced: its calls fail with `FencedError`.

        Cancellation: the store is closed again if nobody awaits this any more.

        Args:
            store: A URL (`s3://bucket/prefix`, `gs://`, `az://`, `file:///dir`, `memory://`), a
                directory, or a store of `obstore` or `taquba.store`.
            path: Where in the store. Created if nothing is there.
            options: Durability on local disks, settings of queues, timeouts, the clock.

        Returns:
            To be awaited, or entered with `async with`, which also closes the queue.

        Raises:
            InvalidStoreError: The store cannot be used as given.
            StoreNotFoundError: There is no such bucket or directory.
            StorePermissionError: The store refuses the credentials.
            StoreUnavailableError: No answer within `OpenOptions.store_timeout`.
            StoreOwnedError: `OpenOptions.takeover` is `False`, and the owner is alive.
            CorruptedError: The store holds damaged data.
            UnsupportedFormatError: A newer version of taquba wrote the store.

        Example:
            >>> async with Queue.open("memory://") as queue:
            ...     job_id = await queue.enqueue("emails", b"a@example.com")
        """
        _taquba.check_text("path", path)
        check_instance("options", options, OpenOptions)
        opener = (socket.gethostname(), os.getpid(), secrets.randbits(_SEED_BITS))
        return Opening(
            path,
            lambda native, future: native.open(future, resolve(store), path, options, opener),
            functools.partial(cls, clock=options.clock),
        )

    async def enqueue(
        self, queue: str, payload: bytes, options: EnqueueOptions = ENQUEUE_DEFAULTS
    ) -> str:
        """Add a job to a queue.

        Durable: when this returns, the job is in the object store.

        Cancellation: the commit finishes even if the awaiting task is cancelled. Give a
        `dedup_key` to make calling again safe.

        Args:
            queue: Queue name, 1 to 255 characters of `[A-Za-z0-9._-]`, the first one a letter or a
                digit. Created on first use.
            payload: What the worker receives, byte for byte; at most 64 MiB. Above
                `OpenOptions.payload_offload_threshold` it becomes an object of its own.
            options: Priority, due time, dedup key, headers, attempts.

        Returns:
            The job id; the first job's id if a live one holds the same dedup key.

        Raises:
            InvalidQueueNameError: The name breaks the rule above.
            PayloadTooLargeError: Over the limit. Store it and enqueue a reference.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.

        Example:
            >>> job_id = await queue.enqueue("emails", b"hello", EnqueueOptions(delay=30))
        """
        job_ids = await self.enqueue_batch(queue, (NewJob(payload, options),))
        return job_ids[0]

    async def enqueue_batch(self, queue: str, jobs: Iterable[bytes | NewJob]) -> list[str]:
        """Add jobs to a queue, all or none.

        Durable: when this returns, all jobs are in the object store; when it raises, none is.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            queue: Queue name, as for `enqueue`.
            jobs: Payloads, or `NewJob` for those that have options; at most 10,000.

        Returns:
            The job ids, in order.

        Raises:
            BatchTooLargeError: Too many jobs. Split the batch.
            PayloadTooLargeError: One payload is over 64 MiB.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        new_jobs = as_new_jobs(jobs)
        check_batch(len(new_jobs))
        port = await self.room()
        tracer = _tracing.active
        if tracer is not None:

            def call(jobs: list[NewJob]) -> "asyncio.Future[list[str]]":
                return port.call(port.native.enqueue, queue, jobs)

            return await tracer.enqueue(queue, new_jobs, call)
        return await port.call(port.native.enqueue, queue, new_jobs)

    async def claim(self, queue: str, lease: Seconds | None = None) -> Claim | None:
        """Take a job, if one is there.

        Returns at once. A claimed job is this caller's until it is settled or its lease runs out;
        then it is delivered again.

        Cancellation: a job that was taken meanwhile is given back at once.

        Args:
            queue: Queue name.
            lease: For how long; the queue's `lease_duration` if absent.

        Returns:
            The job that is first by priority, then by the order of enqueueing; `None` if no job is
            claimable.

        Raises:
            InvalidArgumentError: `lease` is outside its bounds.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        claims = await self.claim_batch(queue, lease=lease)
        return claims[0] if claims else None

    async def claim_batch(
        self, queue: str, count_max: int = 1, lease: Seconds | None = None
    ) -> list[Claim]:
        """Take jobs, as many as are there.

        Returns at once, with an empty list if no job is claimable.

        Cancellation: jobs that were taken meanwhile are given back at once.

        Args:
            queue: Queue name.
            count_max: At most this many, 1 to 10,000.
            lease: For how long; the queue's `lease_duration` if absent.

        Returns:
            The claims, by priority, then in the order of enqueueing.

        Raises:
            InvalidArgumentError: `count_max` or `lease` is outside its bounds.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_count("count_max", count_max, _taquba.CLAIM_COUNT_MAX)
        duration = optional_duration("lease", lease)
        port = self.port()
        answer = port.call(port.native.claim, queue, count_max, duration)
        try:
            return await answer
        except asyncio.CancelledError:
            _give_back(port, answer)
            raise

    async def claim_with_wait(
        self,
        queue: str,
        *,
        timeout: Seconds | None = None,  # noqa: ASYNC109 - spec
        lease: Seconds | None = None,
    ) -> Claim | None:
        """Take a job, and wait for one if none is there.

        Cancellation: the call is taken back; a job that was taken meanwhile is given back at once.

        Args:
            queue: Queue name.
            timeout: For how long; `None` waits as long as it takes.
            lease: For how long the job is taken; the queue's `lease_duration` if absent.

        Returns:
            The job, or `None` if none came in time.

        Raises:
            InvalidArgumentError: `timeout` or `lease` is outside its bounds.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed, or was closed while waiting.
        """
        wait = _taquba.DURATION_MAX if timeout is None else _taquba.duration("timeout", timeout)
        duration = optional_duration("lease", lease)
        port = self.port()
        waiting = port.wait(port.native.claim_with_wait, queue, duration, wait)
        try:
            claims = await waiting.future
        except asyncio.CancelledError:
            waiting.withdraw()
            _give_back(port, waiting.future)
            raise
        return claims[0] if claims else None

    async def renew(self, claim: Claim, lease: Seconds | None = None) -> None:
        """Prolong the lease of a claim: it ends `lease` from now, be that earlier or later.

        A lease is not stored: this returns at once.

        Args:
            claim: What `claim`, `claim_batch` or `claim_with_wait` returned. That of a worker is
                kept while the worker runs, and needs no renewal.
            lease: For how long from now; what the job was claimed for if absent.

        Raises:
            ClaimLostError: The lease ran out, or the claim was settled before.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("claim", claim, Claim)
        wanted = claim.lease if lease is None else lease
        # A claim without a lease is kept by the engine: there is nothing to prolong.
        if wanted is not None:
            await self._renew(claim, wanted, at_least=False)

    async def ensure_at_least(self, claim: Claim, lease: Seconds) -> None:
        """Prolong the lease of a claim, unless it lasts that long anyway.

        A lease is not stored: this returns at once.

        Args:
            claim: As for `renew`.
            lease: For how long from now, at least.

        Raises:
            ClaimLostError: The lease ran out, or the claim was settled before.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("claim", claim, Claim)
        await self._renew(claim, lease, at_least=True)

    async def ack(self, claim: Claim) -> None:
        """Settle a claim as done: the job is gone, or kept for `QueueConfig.keep_done_jobs`.

        Durable: when this returns, the job is not delivered again.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            claim: What `claim`, `claim_batch` or `claim_with_wait` returned.

        Raises:
            ClaimLostError: The lease ran out, or the claim was settled before. Nothing changed.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("claim", claim, Claim)
        port = self.port()
        await port.call(port.native.ack, claim)

    async def nack(self, claim: Claim, error: str, *, retry_after: Seconds | None = None) -> None:
        """Settle a claim as failed for now: retried later, dead once its attempts are used up.

        Durable: when this returns, the failure is recorded.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            claim: What `claim`, `claim_batch` or `claim_with_wait` returned.
            error: What went wrong; kept with the job, cut at 4 KiB.
            retry_after: How long from now the job may be claimed again; with the backoff of its
                queue if absent.

        Raises:
            InvalidArgumentError: `retry_after` is outside its bounds.
            ClaimLostError: The lease ran out, or the claim was settled before. Nothing changed.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("claim", claim, Claim)
        check_instance("error", error, str)
        delay = optional_duration("retry_after", retry_after)
        port = self.port()
        await port.call(port.native.nack, claim, error, None, delay)

    async def dead_letter(self, claim: Claim, reason: str) -> None:
        """Settle a claim as failed for good: dead-lettered at once.

        Durable: when this returns, the failure is recorded.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            claim: What `claim`, `claim_batch` or `claim_with_wait` returned.
            reason: Why; kept with the job, cut at 4 KiB.

        Raises:
            ClaimLostError: The lease ran out, or the claim was settled before. Nothing changed.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("claim", claim, Claim)
        check_instance("reason", reason, str)
        port = self.port()
        await port.call(port.native.dead_letter, claim, reason)

    async def ack_with(self, claim: Claim, effects: Effects) -> None:
        """Settle as `ack` does, and apply effects in the same commit: all of it, or none.

        Durable: when this returns, both are in the object store.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            claim: As for `ack`.
            effects: Jobs to enqueue and keys to write, at most 1,000.

        Raises:
            ClaimLostError: The lease ran out, or the claim was settled before. Nothing changed.
            TooManyEffectsError: Over 1,000 effects. Nothing changed; so with any effect refused.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("claim", claim, Claim)
        changes = staged(effects)
        port = await self.room()
        await port.call(port.native.ack, claim, changes)

    async def nack_with(
        self, claim: Claim, error: str, effects: Effects, *, retry_after: Seconds | None = None
    ) -> None:
        """Settle as `nack` does, and apply effects in the same commit: all of it, or none.

        Durable: when this returns, both are in the object store.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            claim: As for `nack`.
            error: As for `nack`.
            effects: Jobs to enqueue and keys to write, at most 1,000.
            retry_after: As for `nack`.

        Raises:
            InvalidArgumentError: `retry_after` is outside its bounds.
            ClaimLostError: The lease ran out, or the claim was settled before. Nothing changed.
            TooManyEffectsError: Over 1,000 effects. Nothing changed; so with any effect refused.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("claim", claim, Claim)
        check_instance("error", error, str)
        delay = optional_duration("retry_after", retry_after)
        changes = staged(effects)
        port = await self.room()
        await port.call(port.native.nack, claim, error, changes, delay)

    async def dead_letter_with(self, claim: Claim, reason: str, effects: Effects) -> None:
        """Settle as `dead_letter` does, and apply effects in the same commit: all of it, or none.

        Durable: when this returns, both are in the object store.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            claim: As for `dead_letter`.
            reason: As for `dead_letter`.
            effects: Jobs to enqueue and keys to write, at most 1,000.

        Raises:
            ClaimLostError: The lease ran out, or the claim was settled before. Nothing changed.
            TooManyEffectsError: Over 1,000 effects. Nothing changed; so with any effect refused.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("claim", claim, Claim)
        check_instance("reason", reason, str)
        changes = staged(effects)
        port = await self.room()
        await port.call(port.native.dead_letter, claim, reason, changes)

    async def cancel(self, job_id: str) -> JobCancelled:
        """Cancel a job: remove it if it waits, ask its holder to stop if it is claimed.

        Durable: when this returns, the job is not delivered again, not even after a restart.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            job_id: What `enqueue` returned.

        Returns:
            `REMOVED`, or `REQUESTED` if it is claimed; then `Claim.cancel_token` has fired.

        Raises:
            JobNotFoundError: It was settled, was removed, or never was.
            WrongJobStateError: It is a step of a run: cancel the run.
            InvalidJobIdError: It is not a job id.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self.port()
        became = await port.call(port.native.cancel_job, job_id)
        return JobCancelled(became)

    async def wake_scheduled(self, job_id: str) -> None:
        """Make a scheduled job claimable now. One that is pending stays as it is.

        Durable: when this returns, the job is pending.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            job_id: What `enqueue` returned.

        Raises:
            JobNotFoundError: It was settled and not kept, was removed, or never was.
            WrongJobStateError: It is claimed, done or dead.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self.port()
        await port.call(port.native.wake_job, job_id)

    async def requeue_dead_job(self, job_id: str) -> None:
        """Make a dead job claimable again, with all its attempts.

        Durable: when this returns, the job is pending.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            job_id: What `enqueue` returned.

        Raises:
            JobNotFoundError: It was purged, or never was.
            WrongJobStateError: It is not dead.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self.port()
        await port.call(port.native.requeue_job, job_id)

    async def purge_dead(self, queue: str, *, older_than: Seconds = 0) -> int:
        """Delete dead jobs of a queue, the oldest first.

        Durable: when this returns, they are gone from the object store.

        Cancellation: some are deleted, some are not.

        Args:
            queue: Queue name.
            older_than: Only those that died at least this long ago.

        Returns:
            How many were deleted.

        Raises:
            InvalidArgumentError: `older_than` is outside its bounds.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        age = _taquba.duration("older_than", older_than)
        total = 0
        while True:
            port = await self.room()
            count = await port.call(port.native.purge_dead, queue, age)
            total += count
            if count < _taquba.PURGE_COUNT_MAX:
                return total

    async def oldest_pending(self, queue: str) -> JobInfo | None:
        """Read the pending job of a queue that is first in line, whatever its priority.

        That is the one that was enqueued, requeued or became a step first. A job that waited for a
        retry or its time comes back to its old place. Of more than 1,024 priorities the most urgent
        are looked at.

        Args:
            queue: Queue name.

        Returns:
            The job, without its payload; `None` if none is pending.

        Raises:
            InvalidQueueNameError: `queue` is not a queue name.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self.port()
        page, _ = await port.call(port.native.oldest_pending, queue)
        return read_job(page[0]) if page else None

    async def metrics(self) -> Metrics:
        """Read everything that is measured, since the store was opened.

        Only its owner knows: a reader has `stats`.

        Raises:
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.

        Example:
            >>> metrics = await queue.metrics()
            >>> print(metrics.commit_seconds.quantile(0.99))
        """
        port = self.port()
        return read_metrics(await port.call(port.native.metrics))

    async def _renew(self, claim: Claim, lease: Seconds, *, at_least: bool) -> None:
        duration = _taquba.duration("lease", lease)
        port = self.port()
        await port.call(port.native.renew, claim, duration, at_least=at_least)


def wall_clock(queue: Queue) -> datetime:
    """Return what a queue's clock shows."""
    clock = queue._clock  # noqa: SLF001 - users need no such method
    return clock.now() if isinstance(clock, MockClock) else datetime.now(UTC)


def _give_back(port: Port, answer: "asyncio.Future[list[Claim]]") -> None:
    """Hand back the jobs of an answer that came when its caller was just being cancelled."""
    if answer.done() and not answer.cancelled() and answer.exception() is None:
        unclaim(port, answer.result())


def unclaim(port: Port, claims: Iterable[Claim]) -> None:
    """Hand back jobs that nobody has seen: as if they had not been claimed."""
    for claim in claims:
        if port.native.unclaim(claim):
            port.arrange_flush()
