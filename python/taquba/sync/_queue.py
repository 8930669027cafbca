"""The queue for threads: every method of `taquba.Queue`, blocking.

Invariants:
    1. Nothing is done here: each method has the asynchronous one run, and waits.
    2. A waiting call does not hold the interpreter's lock; Ctrl-C ends the wait and cancels it.
"""

import contextlib
from collections.abc import Iterable
from typing import Self, final

from taquba import queue as asynchronous
from taquba._checks import Seconds
from taquba._taquba import Claim
from taquba.exceptions import ClosedError
from taquba.options import (
    ENQUEUE_DEFAULTS,
    OPEN_DEFAULTS,
    EnqueueOptions,
    NewJob,
    OpenOptions,
)
from taquba.queue import Effects, JobCancelled, Metrics
from taquba.queue._queue import unclaim
from taquba.store import StoreLike
from taquba.sync._inspect import Inspection, close_unseen
from taquba.sync._loop import run, take

__all__ = ["Queue"]


@final
class Queue(Inspection[asynchronous.Queue]):
    """A durable queue in an object store; see `taquba.Queue`. Made by `Queue.open`."""

    @classmethod
    def open(
        cls, store: StoreLike, path: str = "taquba", options: OpenOptions = OPEN_DEFAULTS
    ) -> Self:
        """Open the queue at a path of a store; see `taquba.Queue.open`.

        Example:
            >>> with taquba.sync.Queue.open("memory://") as queue:
            ...     job_id = queue.enqueue("emails", b"a@example.com")
        """
        return cls(take(close_unseen, _opened, store, path, options))

    def enqueue(
        self, queue: str, payload: bytes, options: EnqueueOptions = ENQUEUE_DEFAULTS
    ) -> str:
        """Add a job to a queue; see `taquba.Queue.enqueue`."""
        return run(self.wrapped.enqueue, queue, payload, options)

    def enqueue_batch(self, queue: str, jobs: Iterable[bytes | NewJob]) -> list[str]:
        """Add jobs to a queue, all or none; see `taquba.Queue.enqueue_batch`."""
        return run(self.wrapped.enqueue_batch, queue, jobs)

    def claim(self, queue: str, lease: Seconds | None = None) -> Claim | None:
        """Take a job, if one is there; see `taquba.Queue.claim`."""
        return take(self._give_back, self.wrapped.claim, queue, lease=lease)

    def claim_batch(
        self, queue: str, count_max: int = 1, lease: Seconds | None = None
    ) -> list[Claim]:
        """Take jobs, as many as are there; see `taquba.Queue.claim_batch`."""
        return take(self._give_back, self.wrapped.claim_batch, queue, count_max, lease=lease)

    def claim_with_wait(
        self, queue: str, *, timeout: Seconds | None = None, lease: Seconds | None = None
    ) -> Claim | None:
        """Take a job, and wait for one; see `taquba.Queue.claim_with_wait`."""
        return take(
            self._give_back, self.wrapped.claim_with_wait, queue, timeout=timeout, lease=lease
        )

    def renew(self, claim: Claim, lease: Seconds | None = None) -> None:
        """Prolong the lease of a claim; see `taquba.Queue.renew`."""
        run(self.wrapped.renew, claim, lease)

    def ensure_at_least(self, claim: Claim, lease: Seconds) -> None:
        """Prolong a lease that would end sooner; see `taquba.Queue.ensure_at_least`."""
        run(self.wrapped.ensure_at_least, claim, lease)

    def ack(self, claim: Claim) -> None:
        """Settle a claim as done; see `taquba.Queue.ack`."""
        run(self.wrapped.ack, claim)

    def nack(self, claim: Claim, error: str, *, retry_after: Seconds | None = None) -> None:
        """Settle a claim as failed for now; see `taquba.Queue.nack`."""
        run(self.wrapped.nack, claim, error, retry_after=retry_after)

    def dead_letter(self, claim: Claim, reason: str) -> None:
        """Settle a claim as failed for good; see `taquba.Queue.dead_letter`."""
        run(self.wrapped.dead_letter, claim, reason)

    def ack_with(self, claim: Claim, effects: Effects) -> None:
        """Settle as done, and apply effects; see `taquba.Queue.ack_with`."""
        run(self.wrapped.ack_with, claim, effects)

    def nack_with(
        self, claim: Claim, error: str, effects: Effects, *, retry_after: Seconds | None = None
    ) -> None:
        """Settle as failed for now, and apply effects; see `taquba.Queue.nack_with`."""
        run(self.wrapped.nack_with, claim, error, effects, retry_after=retry_after)

    def dead_letter_with(self, claim: Claim, reason: str, effects: Effects) -> None:
        """Settle as failed for good, and apply effects; see `taquba.Queue.dead_letter_with`."""
        run(self.wrapped.dead_letter_with, claim, reason, effects)

    def cancel(self, job_id: str) -> JobCancelled:
        """Remove a job, or ask its holder to stop; see `taquba.Queue.cancel`."""
        return run(self.wrapped.cancel, job_id)

    def wake_scheduled(self, job_id: str) -> None:
        """Make a scheduled job claimable now; see `taquba.Queue.wake_scheduled`."""
        run(self.wrapped.wake_scheduled, job_id)

    def requeue_dead_job(self, job_id: str) -> None:
        """Make a dead job claimable again; see `taquba.Queue.requeue_dead_job`."""
        run(self.wrapped.requeue_dead_job, job_id)

    def purge_dead(self, queue: str, *, older_than: Seconds = 0) -> int:
        """Delete dead jobs; see `taquba.Queue.purge_dead`."""
        return run(self.wrapped.purge_dead, queue, older_than=older_than)

    def metrics(self) -> Metrics:
        """Read everything that is measured; see `taquba.Queue.metrics`."""
        return run(self.wrapped.metrics)

    def kv_put(self, key: str, value: bytes) -> None:
        """Set a key; see `taquba.Queue.kv_put`."""
        run(self.wrapped.kv_put, key, value)

    def kv_delete(self, key: str) -> None:
        """Remove a key; see `taquba.Queue.kv_delete`."""
        run(self.wrapped.kv_delete, key)

    def kv_compare_put(self, key: str, expected: bytes | None, value: bytes) -> bool:
        """Set a key if it holds what is expected; see `taquba.Queue.kv_compare_put`."""
        return run(self.wrapped.kv_compare_put, key, expected, value)

    def kv_compare_delete(self, key: str, expected: bytes) -> bool:
        """Remove a key if it holds what is expected; see `taquba.Queue.kv_compare_delete`."""
        return run(self.wrapped.kv_compare_delete, key, expected)

    def _give_back(self, taken: Claim | list[Claim] | None) -> None:
        claims = taken if isinstance(taken, list) else [taken]
        # A closed queue has given back all it had.
        with contextlib.suppress(ClosedError):
            unclaim(self.wrapped.port(), [claim for claim in claims if claim is not None])


async def _opened(store: StoreLike, path: str, options: OpenOptions) -> asynchronous.Queue:
    return await asynchronous.Queue.open(store, path, options)
