"""The worker loop for threads."""

import asyncio
import threading
from collections.abc import Callable
from typing import Final, Protocol

from taquba import worker as asynchronous
from taquba._checks import Seconds, check_instance, refuse_type
from taquba._delivery import function_of, is_coroutine_function
from taquba._taquba import Claim
from taquba.options import SHUTDOWN_TIMEOUT
from taquba.queue import Effects
from taquba.sync._loop import Call
from taquba.sync._queue import Queue

__all__ = ["Worker", "run_worker"]

# How often a loop that works looks whether it is to end. A `threading.Event` tells nobody.
_SHUTDOWN_CHECK_SECONDS: Final = 0.05


class Worker(Protocol):
    """What does the jobs of a queue, in threads; see `taquba.Worker`."""

    def process(self, job: Claim) -> Effects | None:
        """Do one job; see `taquba.Worker.process`."""


def run_worker(  # noqa: PLR0913 - keyword arguments are the builder
    queue: Queue,
    queue_name: str,
    worker: Worker | Callable[[Claim], Effects | None],
    *,
    concurrency: int = 64,
    shutdown: threading.Event | None = None,
    job_timeout: Seconds | None = None,
    shutdown_timeout: Seconds = SHUTDOWN_TIMEOUT,
) -> None:
    """Work on the jobs of a queue until `shutdown` is set; see `taquba.run_worker`.

    The worker is a plain function, or an object with a plain method `process`; each job in flight
    has a thread. Ctrl-C ends the work as `shutdown` does, a second one at once.
    """
    check_instance("queue", queue, Queue)
    if shutdown is not None:
        check_instance("shutdown", shutdown, threading.Event)
    if is_coroutine_function(function_of("worker", worker, "process")):
        refuse_type("worker", worker, "give a plain function; `taquba.run_worker` takes coroutines")
    stop = asyncio.Event()
    working = Call(
        lambda: asynchronous.run_worker(
            queue.wrapped,
            queue_name,
            worker,  # type: ignore[arg-type] # a plain method, which the other one takes too
            concurrency=concurrency,
            shutdown=stop,
            job_timeout=job_timeout,
            shutdown_timeout=shutdown_timeout,
        )
    )
    try:
        working.begin()
        if shutdown is not None:
            while not working.is_done and not shutdown.wait(_SHUTDOWN_CHECK_SECONDS):
                pass
            working.tell(stop.set)
        working.wait()
    except BaseException:
        # Ctrl-C, or what else a signal handler raises.
        _end(working, stop)
        raise
    working.result()


def _end(working: Call[None], stop: asyncio.Event) -> None:
    """Wait for the end of the work; interrupted once more, have it end at once."""
    try:
        working.tell(stop.set)
        # Once more: it may have been interrupted. If it was not begun, there is nothing to do now.
        working.begin()
        working.wait()
    except BaseException:
        working.withdraw()
        raise
