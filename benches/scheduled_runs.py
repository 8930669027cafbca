"""What runs cost that wait for their day: memory, submitting, and opening again.

python benches/scheduled_runs.py --runs 100000 --payload-bytes 64

Three processes work on one store on a local disk. The first submits the runs, each of which starts
in a day, and is killed; the second opens after the kill and closes in order; the third opens after
the close. A fourth shows what an open queue needs that has had one run and holds none.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

if not __package__:
    # The directory of this file holds a `queue.py` that would hide the standard library's.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benches import measure
from benches.processes import (
    MIB,
    opened,
    resident_bytes,
    run_role,
    settled_bytes,
    show_line,
    tell,
)
from taquba import Queue
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime

QUEUE = "workflow"
SUBMIT_BATCH = 1_000
SUBMITS_IN_FLIGHT = 8
STARTS_IN = timedelta(days=1)


async def runner(step: Step) -> StepOutcome:
    """Does the only step of a run."""
    return StepOutcome.Succeed(step.payload)


async def role_empty(arguments: argparse.Namespace) -> None:
    """A queue that has had one run and holds none that is live."""
    queue, _ = await opened(arguments.directory)
    async with WorkflowRuntime(queue, runner, run_retention=0) as runtime:
        handle = await runtime.submit(RunSpec(b"x"))
        await handle.outcome()
        tell(resident=await settled_bytes())
    await queue.close()


async def submit_all(queue: Queue, arguments: argparse.Namespace) -> None:
    """Submits the runs, some batches side by side."""
    runtime = WorkflowRuntime(queue, runner)
    payload, run_at = b"x" * arguments.payload_bytes, datetime.now(UTC) + STARTS_IN
    starts = iter(range(0, arguments.runs, SUBMIT_BATCH))

    async def lane() -> None:
        for first in starts:
            count = min(SUBMIT_BATCH, arguments.runs - first)
            await runtime.submit_many([RunSpec(payload, run_at=run_at)] * count)

    async with asyncio.TaskGroup() as group:
        for _ in range(SUBMITS_IN_FLIGHT):
            group.create_task(lane())


async def role_load(arguments: argparse.Namespace) -> None:
    """Submits all runs, then waits to be killed."""
    queue, _ = await opened(arguments.directory)
    start, cpu = time.perf_counter(), measure.cpu_seconds()
    await submit_all(queue, arguments)
    seconds, cpu = time.perf_counter() - start, measure.cpu_seconds() - cpu
    tell(seconds=seconds, cpu=cpu, loaded=resident_bytes(), resident=await settled_bytes())
    await asyncio.Event().wait()


async def role_open(arguments: argparse.Namespace) -> None:
    """Opens, with a runtime at work, and closes in order."""
    queue, seconds = await opened(arguments.directory)
    async with WorkflowRuntime(queue, runner):
        counts = (await queue.stats()).queues[QUEUE]
        if {counts.live_run_count, counts.scheduled_count} != {arguments.runs}:
            message = f"{counts.live_run_count} of {arguments.runs} runs were there"
            raise AssertionError(message)
        resident = await settled_bytes()
    start = time.perf_counter()
    await queue.close()
    tell(open=seconds, close=time.perf_counter() - start, resident=resident)


# What each process is told.
OPTIONS = ("runs", "payload_bytes")

ROLES: dict[str, Callable[[argparse.Namespace], Awaitable[None]]] = {
    "empty": role_empty,
    "load": role_load,
    "open": role_open,
}


async def run(arguments: argparse.Namespace) -> None:
    """Is one of the processes."""
    await ROLES[arguments.role](arguments)


async def benchmark(arguments: argparse.Namespace) -> None:
    """Runs one process after the other, and prints the figures."""
    where = arguments.directory or Path.cwd()
    with tempfile.TemporaryDirectory(prefix=".taquba-bench-", dir=where) as directory:
        empty = run_role(__file__, "empty", f"{directory}/empty", arguments, OPTIONS)["resident"]
        load = run_role(__file__, "load", f"{directory}/full", arguments, OPTIONS)
        killed = run_role(__file__, "open", f"{directory}/full", arguments, OPTIONS)
        closed = run_role(__file__, "open", f"{directory}/full", arguments, OPTIONS)

    print(f"local disk with fsync: {arguments.runs:,} runs in a day, {arguments.payload_bytes} B")
    show_line("memory of an empty queue", empty / MIB, "MiB")
    show_line("above it, right after submitting", (load["loaded"] - empty) / MIB, "MiB")
    show_line("above it, settled", (load["resident"] - empty) / MIB, "MiB")
    show_line("above it, opened after kill -9", (killed["resident"] - empty) / MIB, "MiB")
    show_line("above it, opened after a close", (closed["resident"] - empty) / MIB, "MiB")
    show_line("submitting", load["seconds"], "s")
    show_line("CPU of submitting", load["cpu"] / arguments.runs * 1e6, "us per run")
    show_line("opening after kill -9", killed["open"], "s")
    show_line("closing", killed["close"], "s")
    show_line("opening after a close", closed["open"], "s")


def main() -> None:
    """Runs the benchmark, or one of its processes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--payload-bytes", type=int, default=64)
    parser.add_argument("--directory", help="where the store is made; default: here")
    parser.add_argument("--role", choices=sorted(ROLES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        asyncio.run(run(arguments))
    else:
        measure.main(lambda: benchmark(arguments))


if __name__ == "__main__":
    main()
