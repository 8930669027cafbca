"""`taquba worker`: own a store, and do its work, until a signal comes.

Invariants:
    1. The first SIGTERM or SIGINT drains: what is in flight is finished, the store is closed.
       Another one interrupts what is in flight; it is delivered again later.
    2. One line says that it is ready, on the standard output.
    3. Whatever can be refused is refused before the store is taken from the process that has it.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from taquba import _taquba
from taquba._delivery import function_of
from taquba.cli._command import OK, Command, CommandError
from taquba.cli._loading import load
from taquba.cli._options import add_store, count, store_url
from taquba.cli._serving import (
    ADDRESS_DEFAULT,
    Address,
    Place,
    add_serving,
    check_serving,
    reserved,
    served,
)
from taquba.cli._text import escaped
from taquba.options import OpenOptions
from taquba.queue import Queue
from taquba.worker import run_worker
from taquba.workflow import WorkflowRuntime

if TYPE_CHECKING:
    from taquba.worker._worker import AnyWorker
    from taquba.workflow._runner import Runner

__all__ = ["COMMAND"]

_QUEUE_DEFAULT: Final = "workflow"
_CONCURRENCY_DEFAULT: Final = 64
_CONCURRENCY_MAX: Final = 100_000


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="MODULE:NAME", help="what does the work")
    add_store(parser)
    parser.add_argument("--queue", help=f"works on this queue ({_QUEUE_DEFAULT}; needed for jobs)")
    parser.add_argument(
        "--jobs", action="store_true", help="NAME does plain jobs; without, the steps of runs"
    )
    parser.add_argument(
        "--concurrency",
        type=count(1, _CONCURRENCY_MAX),
        default=_CONCURRENCY_DEFAULT,
        metavar="N",
        help="most jobs or steps in flight (%(default)s)",
    )
    parser.add_argument(
        "--no-takeover",
        action="store_true",
        help="leave the store to an owner that is alive, instead of taking it over",
    )
    parser.add_argument(
        "--admin",
        nargs="?",
        type=Address.read,
        const=Address.read(ADDRESS_DEFAULT),
        metavar="HOST:PORT",
        help=f"serve taquba.admin, at {ADDRESS_DEFAULT} if no address is given",
    )
    add_serving(parser)


def _run(options: argparse.Namespace) -> int:
    if options.jobs and options.queue is None:
        message = "--jobs needs --queue: which one does the work lie in?"
        raise CommandError(message)
    if options.admin is not None:
        check_serving(options.admin, options)
    store = store_url(options)
    name = options.queue or _QUEUE_DEFAULT
    _taquba.check_queue_name(name)
    worker = load(options.name)
    kind, method = ("worker", "process") if options.jobs else ("runner", "run_step")
    function_of(kind, worker, method)
    with contextlib.ExitStack() as stack:
        place = None
        if options.admin is not None:
            place = stack.enter_context(reserved(options.admin))
        asyncio.run(_work(options, store, name, worker, place))
    return OK


async def _work(
    options: argparse.Namespace, store: str, name: str, worker: object, place: Place | None
) -> None:
    shutdown = asyncio.Event()
    opening = OpenOptions(takeover=not options.no_takeover)
    with _signals(shutdown):
        async with Queue.open(store, options.path, opening) as queue:
            runtimes: list[WorkflowRuntime] = []
            if options.jobs:
                work = _jobs(queue, name, worker, options.concurrency)
            else:
                runtime = WorkflowRuntime(
                    queue, cast("Runner", worker), queue_name=name, concurrency=options.concurrency
                )
                runtimes.append(runtime)
                work = runtime.run
            ready = f"ready: works on `{name}` of {store}"
            if place is None:
                _say(ready)
                await work(shutdown)
                return
            async with served(queue, place, options, runtimes) as site:
                _say(f"{ready}; admin at {site.url}")
                await _beside(site.task, work, shutdown)


def _jobs(
    queue: Queue, name: str, worker: object, concurrency: int
) -> Callable[[asyncio.Event], Coroutine[Any, Any, None]]:
    async def work(shutdown: asyncio.Event) -> None:
        await run_worker(
            queue, name, cast("AnyWorker", worker), concurrency=concurrency, shutdown=shutdown
        )

    return work


async def _beside(
    serving: "asyncio.Task[None]",
    work: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    shutdown: asyncio.Event,
) -> None:
    """Work until the work ends; if nobody serves any more, end it."""
    serving.add_done_callback(lambda _: shutdown.set())
    await work(shutdown)
    if serving.done():
        serving.result()


@contextlib.contextmanager
def _signals(shutdown: asyncio.Event) -> Iterator[None]:
    """Have the first signal set an event, and the second one cancel this task."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None, "a coroutine of `asyncio.run`"  # noqa: S101 - ours
    is_interrupted = False

    def heard() -> None:
        nonlocal is_interrupted
        if not shutdown.is_set():
            shutdown.set()
            sys.stderr.write("finishes what is in flight; another signal interrupts it\n")
        else:
            # Work that is cancelled before it has heard of the end drains too: the next one counts.
            is_interrupted = True
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard)
    try:
        yield
    except asyncio.CancelledError:
        if is_interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _say(line: str) -> None:
    sys.stdout.write(escaped(line) + "\n")
    sys.stdout.flush()


COMMAND: Final = Command(
    name="worker",
    summary="own a store and do its work",
    description="Opens a store, which takes it from the process that has it, and does its work: "
    "NAME is a runner for the steps of runs, or with --jobs what does plain jobs. SIGTERM and "
    "SIGINT finish what is in flight and close the store. With --admin it serves the dashboard "
    "and the API through which other commands make changes.",
    add_arguments=_add_arguments,
    run=_run,
)
