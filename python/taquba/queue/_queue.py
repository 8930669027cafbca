"""The queue: opening a store, and the jobs in it.

Invariants:
    1. What a call promises is durable when it returns.
    2. A call that was made is carried out, even if the task that awaits it is cancelled.
    3. Callers wait while the store is slow: memory does not grow with work that waits.

Not here:
    Every decision about jobs is the engine's; this module converts and awaits.
"""

import asyncio
import atexit
import secrets
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Final, Self, final

from taquba import _taquba
from taquba._checks import Seconds, check_batch, check_count, check_instance
from taquba._port import Port
from taquba._taquba import Claim
from taquba.exceptions import ClosedError
from taquba.options import EnqueueOptions, NewJob, OpenOptions
from taquba.queue._stats import QueueStats, Stats
from taquba.store import StoreLike, resolve

__all__ = ["Opening", "Queue"]

_ENQUEUE_DEFAULTS: Final = EnqueueOptions()
_OPEN_DEFAULTS: Final = OpenOptions()
_SEED_BITS: Final = 64

# A queue that nobody closed is closed at exit: what waits is committed, not lost.
atexit.register(_taquba.close_all)


@final
class Queue:
    """A durable queue in an object store.

    One process owns a store path at a time; opening it takes ownership from the one before. A queue
    may be used from several event loops, each in its own thread. Made by `Queue.open`.
    """

    def __init__(self, engine: _taquba.Engine, port: Port, path: str) -> None:
        self._engine = engine
        self._path = path
        self._ports = {port.loop: port}
        self._is_closed = False

    @classmethod
    def open(
        cls, store: StoreLike, path: str = "taquba", options: OpenOptions = _OPEN_DEFAULTS
    ) -> "Opening":
        """Open the queue at a path of a store, and take ownership of it.

        Durable: when this returns, the owner before is fenced: its calls fail with `FencedError`.

        Cancellation: the store is closed again if nobody awaits this any more.

        Args:
            store: A URL (`s3://bucket/prefix`, `gs://`, `az://`, `file:///dir`, `memory://`), a
                directory, or a store of `obstore` or `taquba.store`.
            path: Where in the store. Created if nothing is there.
            options: Durability on local disks, settings of queues, timeouts.

        Returns:
            To be awaited, or entered with `async with`, which also closes the queue.

        Raises:
            InvalidStoreError: The store cannot be used as given.
            StoreNotFoundError: There is no such bucket or directory.
            StorePermissionError: The store refuses the credentials.
            StoreUnavailableError: No answer within `OpenOptions.store_timeout`.
            CorruptedError: The store holds damaged data.
            UnsupportedFormatError: A newer version of taquba wrote the store.

        Example:
            >>> async with Queue.open("memory://") as queue:
            ...     job_id = await queue.enqueue("emails", b"a@example.com")
        """
        check_instance("path", path, str)
        check_instance("options", options, OpenOptions)
        return Opening(store, path, options)

    async def enqueue(
        self, queue: str, payload: bytes, options: EnqueueOptions = _ENQUEUE_DEFAULTS
    ) -> str:
        """Add a job to a queue.

        Durable: when this returns, the job is in the object store.

        Cancellation: the commit finishes even if the awaiting task is cancelled. Give a
        `dedup_key` to make calling again safe.

        Args:
            queue: Queue name, 1 to 255 characters of `[A-Za-z0-9._-]`, the first one a letter or a
                digit. Created on first use.
            payload: What the worker receives, byte for byte; at most 4 MiB.
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
            PayloadTooLargeError: One payload is over 4 MiB.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        new_jobs = [job if isinstance(job, NewJob) else NewJob(job) for job in jobs]
        check_batch(len(new_jobs))
        port = await self.room()
        return await port.call(port.native.enqueue, queue, new_jobs)

    async def claim_batch(
        self, queue: str, count_max: int = 1, *, lease: Seconds | None = None
    ) -> list[Claim]:
        """Take jobs, as many as are there.

        Returns at once, with an empty list if no job is claimable. A claimed job is this caller's
        until it is settled or its lease runs out; then it is delivered again.

        Cancellation: jobs that were taken meanwhile come back when their lease runs out.

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
        duration = None if lease is None else _taquba.duration("lease", lease)
        port = self.port()
        return await port.call(port.native.claim, queue, count_max, duration)

    async def ack(self, claim: Claim) -> None:
        """Settle a claim as done: the job is gone.

        Durable: when this returns, the job is not delivered again.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            claim: What `claim_batch` returned.

        Raises:
            ClaimLostError: The lease ran out, or the claim was settled before. Nothing changed.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("claim", claim, Claim)
        port = self.port()
        await port.call(port.native.ack, claim)

    async def nack(self, claim: Claim, error: str) -> None:
        """Settle a claim as failed for now: retried with backoff, dead once attempts are used up.

        Durable: when this returns, the failure is recorded.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            claim: What `claim_batch` returned.
            error: What went wrong; kept with the job, cut at 4 KiB.

        Raises:
            ClaimLostError: The lease ran out, or the claim was settled before. Nothing changed.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("claim", claim, Claim)
        check_instance("error", error, str)
        port = self.port()
        await port.call(port.native.nack, claim, error)

    async def dead_letter(self, claim: Claim, reason: str) -> None:
        """Settle a claim as failed for good: dead-lettered at once.

        Durable: when this returns, the failure is recorded.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            claim: What `claim_batch` returned.
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

    async def stats(self) -> Stats:
        """Count the jobs of all queues.

        Raises:
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self.port()
        counts = await port.call(port.native.stats)
        queues = {name: QueueStats(**queue) for name, queue in counts.pop("queues").items()}
        return Stats(queues=queues, **counts)

    async def close(self) -> None:
        """Commit what waits, and give the store up. Closing twice is fine.

        Durable: when this returns, everything that was settled or enqueued is in the store, and
        the next open need not recover.

        Cancellation: the closing finishes even if the awaiting task is cancelled.

        Raises:
            StoreUnavailableError: The last commit did not succeed.
            FencedError: Another process owns this store now.
        """
        if self._is_closed:
            return
        port = self.port()
        closing: asyncio.Future[None] = port.loop.create_future()
        port.native.close(closing, self._engine)
        try:
            await closing
        finally:
            # If cancelled, the closing goes on; calls under way still get their answers.
            if not closing.cancelled():
                self._detach()

    async def __aenter__(self) -> Self:
        """Use the queue in `async with`."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the queue."""
        await self.close()

    def __repr__(self) -> str:
        """Show path and state."""
        state = "closed" if self._is_closed else "open"
        return f"Queue(path={self._path!r}, {state})"

    def port(self) -> Port:
        """Return the running loop's door to the engine. Not for users."""
        if self._is_closed:
            message = f"the queue at `{self._path}` is closed: open it again"
            raise ClosedError(message, path=self._path)
        loop = asyncio.get_running_loop()
        port = self._ports.get(loop)
        return self._add_port(loop) if port is None else port

    async def room(self) -> Port:
        """Wait until waiting work is below its bound. Not for users."""
        port = self.port()
        while not port.native.has_room():
            await port.call(port.native.await_room)
        return port

    def _add_port(self, loop: asyncio.AbstractEventLoop) -> Port:
        for ended in [other for other in self._ports if other.is_closed()]:
            self._ports.pop(ended).close(self._path)
        port = self._ports[loop] = Port()
        port.native.attach(self._engine)
        return port

    def _detach(self) -> None:
        self._is_closed = True
        ports, self._ports = self._ports, {}
        here = asyncio.get_running_loop()
        for loop, port in ports.items():
            if loop is here or loop.is_closed():
                port.close(self._path)
            else:
                loop.call_soon_threadsafe(port.close, self._path)


@final
class Opening:
    """A queue that is about to be open: await it, or enter it with `async with`."""

    def __init__(self, store: StoreLike, path: str, options: OpenOptions) -> None:
        self._store = store
        self._path = path
        self._options = options
        self._queue: Queue | None = None

    def __await__(self) -> Generator[object, None, Queue]:
        """Open the queue."""
        return self._open().__await__()

    async def __aenter__(self) -> Queue:
        """Open the queue."""
        self._queue = await self._open()
        return self._queue

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the queue."""
        if self._queue is not None:
            await self._queue.close()

    async def _open(self) -> Queue:
        store = resolve(self._store)
        seed = secrets.randbits(_SEED_BITS)
        port = Port()
        future: asyncio.Future[_taquba.Engine] = port.loop.create_future()
        try:
            port.native.open(future, store, self._path, self._options, seed)
            engine = await future
        except BaseException:
            port.close(self._path)
            raise
        port.native.attach(engine)
        return Queue(engine, port, self._path)
