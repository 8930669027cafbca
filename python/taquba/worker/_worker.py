"""Workers: what users write to do jobs, and the loop that has them done.

Invariants:
    1. A loop that has ended holds no job: each was settled or handed back.
    2. Leases are kept by the engine while a worker runs, also when it blocks the event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Protocol

from taquba import _taquba
from taquba._checks import Seconds, check_count, check_instance, optional_duration
from taquba._delivery import (
    Subscription,
    Threads,
    as_coroutine_function,
    function_of,
    limited,
    work_until,
)
from taquba._taquba import Claim
from taquba.options import SHUTDOWN_TIMEOUT
from taquba.queue import Effects, Queue
from taquba.worker._dispatcher import JobDispatcher
from taquba.worker._errors import JobTimeoutError

__all__ = ["AnyWorker", "Worker", "run_worker"]


class Worker(Protocol):
    """What does the jobs of a queue."""

    async def process(self, job: Claim) -> Effects | None:
        """Do one job.

        Called at least once per job: it must be idempotent for one `job.job_id`.

        Args:
            job: Payload, headers, attempts; `job.cancel_token` fires if the job is cancelled.

        Returns:
            `None` if the job is done, or `Effects` to apply in the commit that says so.

        Raises:
            PermanentFailure: The job failed for good: it is dead-lettered.
            TransientFailure: It failed for now, and says when to try it again.
            Postponed: It cannot be done yet: delivered later, and the attempt does not count.
            Exception: It failed for now: tried again with backoff, until its attempts are used up.
        """


AnyWorker = (
    Worker | Callable[[Claim], Awaitable[Effects | None]] | Callable[[Claim], Effects | None]
)
"""A worker object, or a bare function; a plain one runs in a thread."""


async def run_worker(  # noqa: PLR0913 - keyword arguments are the builder
    queue: Queue,
    queue_name: str,
    worker: AnyWorker,
    *,
    concurrency: int = 64,
    shutdown: asyncio.Event | None = None,
    job_timeout: Seconds | None = None,
    shutdown_timeout: Seconds = SHUTDOWN_TIMEOUT,
) -> None:
    """Work on the jobs of a queue until `shutdown` is set, then finish those in flight.

    Jobs are delivered as they come: nothing is polled. Their leases are kept by the engine.

    Durable: when this returns, every job that was settled is settled in the object store.

    Cancellation: ends the work as `shutdown` does, then raises `CancelledError`.

    Args:
        queue: An open queue.
        queue_name: The queue of the jobs. Several workers with one name share the work.
        worker: What does a job: an object with `process`, or a function. A plain function runs in
            a thread, of which there are as many as `concurrency`, and one for each function that
            outlived `job_timeout`.
        concurrency: Most jobs in flight, 1 to 100,000.
        shutdown: Ends the work; without one it goes on until cancelled.
        job_timeout: How long one delivery may take before it is interrupted and tried again; `None`
            for as long as it takes. A plain function cannot be interrupted: its job is tried again
            while it goes on, and 4 x `concurrency` such functions end the work.
        shutdown_timeout: How long jobs in flight may take to end at shutdown; then they are
            interrupted, and delivered again later.

    Raises:
        InvalidQueueNameError: `queue_name` is not a queue name.
        InvalidArgumentError: A value is outside its bounds; the message names both.
        FencedError: Another process owns this store now.
        StoreUnavailableError: A commit did not succeed.
        ClosedError: The queue is closed, or was closed meanwhile.
        RuntimeError: Too many plain functions go on after `job_timeout`.

    Example:
        >>> async def send(job: Claim) -> None:
        ...     print(job.payload)
        >>> await run_worker(queue, "emails", send, shutdown=shutdown)
    """
    check_instance("queue", queue, Queue)
    _taquba.check_queue_name(queue_name)
    check_count("concurrency", concurrency, _taquba.CONCURRENCY_MAX)
    if shutdown is not None:
        check_instance("shutdown", shutdown, asyncio.Event)
    limit = optional_duration("job_timeout", job_timeout)
    patience = _taquba.duration("shutdown_timeout", shutdown_timeout)
    function = function_of("worker", worker, "process")
    port = queue.port()
    if shutdown is not None and shutdown.is_set():
        return
    with closing(Threads(queue_name, concurrency)) as threads, port.watching() as lost:
        process = as_coroutine_function(function, threads)
        work = await Subscription.begin(
            JobDispatcher(port, limited(process, limit, _out_of_time)),
            queue_name,
            concurrency,
            job_timeout=limit,
            shutdown_timeout=patience,
        )
        try:
            await work_until(shutdown, lost, work.failed)
        finally:
            await work.end()


def _out_of_time(seconds: float) -> JobTimeoutError:
    return JobTimeoutError(f"the job took longer than `job_timeout` ({seconds} s)")
