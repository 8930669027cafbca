"""What runs cost that wait for their day: memory, submitting, and opening again.

python benches/scheduled_runs.py --runs 100000 --payload-bytes 64

Three processes work on one store on a local disk. The first submits the runs, each of which starts
in a day, and is killed; the second opens after the kill and closes in order; the third opens after
the close. A fourth shows what an open queue needs that has had one run and holds none.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taquba import Queue
from taquba.bench._machine import describe, machine_lines
from taquba.bench._meter import cpu_seconds, resident_bytes
from taquba.bench._processes import MIB, opened, run_child, settled_bytes, tell
from taquba.bench._table import number, table
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
    start, cpu = time.perf_counter(), cpu_seconds()
    await submit_all(queue, arguments)
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu
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


ROLES: dict[str, Callable[[argparse.Namespace], Awaitable[None]]] = {
    "empty": role_empty,
    "load": role_load,
    "open": role_open,
}


async def run(arguments: argparse.Namespace) -> None:
    """Is one of the processes."""
    await ROLES[arguments.role](arguments)


def run_role(role: str, directory: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs one process; the one that loads is killed once it has told its figures."""
    told = {name: getattr(arguments, name) for name in ("runs", "payload_bytes")}
    options = {"role": role, "directory": directory, **told}
    program = [str(Path(__file__).resolve())]
    return run_child(program, options, is_killed=role == "load")


async def benchmark(arguments: argparse.Namespace) -> None:
    """Runs one process after the other, and prints the figures."""
    where = arguments.directory or Path.cwd()
    with tempfile.TemporaryDirectory(prefix=".taquba-bench-", dir=where) as directory:
        empty = run_role("empty", f"{directory}/empty", arguments)["resident"]
        load = run_role("load", f"{directory}/full", arguments)
        killed = run_role("open", f"{directory}/full", arguments)
        closed = run_role("open", f"{directory}/full", arguments)

    rows = [
        ("memory of an empty queue, MiB", empty / MIB),
        ("above it, right after submitting, MiB", (load["loaded"] - empty) / MIB),
        ("above it, settled, MiB", (load["resident"] - empty) / MIB),
        ("above it, opened after kill -9, MiB", (killed["resident"] - empty) / MIB),
        ("above it, opened after a close, MiB", (closed["resident"] - empty) / MIB),
        ("submitting, s", load["seconds"]),
        ("CPU of submitting, us per run", load["cpu"] / arguments.runs * 1e6),
        ("opening after kill -9, s", killed["open"]),
        ("closing, s", killed["close"]),
        ("opening after a close, s", closed["open"]),
    ]
    print(f"local disk with fsync: {arguments.runs:,} runs in a day, {arguments.payload_bytes} B")
    print("\n".join(table([[name, number(value)] for name, value in rows], 1)))


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
        print("\n".join(machine_lines(describe())))
        asyncio.run(benchmark(arguments))


if __name__ == "__main__":
    main()
