"""What a long backlog costs: memory, opening again, and claims at both ends of it.

python benches/waiting_jobs.py --jobs 1000000 --payload-bytes 64

Three processes work on one store on a local disk. The first loads the jobs and is killed; the
second opens after the kill and closes in order; the third opens after the close, and claims and
acks all. A fourth shows what an open queue without jobs needs.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from taquba import Queue
from taquba.bench._machine import describe, machine_lines
from taquba.bench._meter import cpu_seconds, resident_bytes
from taquba.bench._processes import MIB, opened, run_child, settled_bytes, tell
from taquba.bench._table import number, table

QUEUE = "bench"
ENQUEUE_BATCH = 1_000
ENQUEUES_IN_FLIGHT = 8
CLAIM_BATCH = 500


async def role_empty(arguments: argparse.Namespace) -> None:
    """A queue that has done a little and holds nothing."""
    queue, _ = await opened(arguments.directory)
    await queue.enqueue(QUEUE, b"x")
    for claim in await queue.claim_batch(QUEUE, 1):
        await queue.ack(claim)
    tell(resident=await settled_bytes())
    await queue.close()


async def role_load(arguments: argparse.Namespace) -> None:
    """Loads all jobs, then waits to be killed."""
    queue, _ = await opened(arguments.directory)
    payload = b"x" * arguments.payload_bytes
    starts = iter(range(0, arguments.jobs, ENQUEUE_BATCH))
    start, cpu = time.perf_counter(), cpu_seconds()

    async def lane() -> None:
        for first in starts:
            count = min(ENQUEUE_BATCH, arguments.jobs - first)
            await queue.enqueue_batch(QUEUE, [payload] * count)

    async with asyncio.TaskGroup() as group:
        for _ in range(ENQUEUES_IN_FLIGHT):
            group.create_task(lane())
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    tell(seconds=seconds, cpu=cpu, loaded=resident_bytes(), resident=await settled_bytes())
    await asyncio.Event().wait()


async def role_close(arguments: argparse.Namespace) -> None:
    """Opens after the kill, and closes in order."""
    queue, seconds = await opened(arguments.directory)
    pending = (await queue.stats()).queues[QUEUE].pending_count
    resident = await settled_bytes()
    start = time.perf_counter()
    await queue.close()
    tell(open=seconds, close=time.perf_counter() - start, resident=resident, pending=pending)


async def claim_and_ack(queue: Queue, count: int) -> float:
    """Claims and acks so many jobs; returns the CPU seconds of one."""
    cpu, done = cpu_seconds(), 0
    while done < count:
        claims = await queue.claim_batch(QUEUE, min(CLAIM_BATCH, count - done), lease=3600.0)
        if not claims:
            message = f"only {done} of {count} jobs were there"
            raise AssertionError(message)
        await asyncio.gather(*(queue.ack(claim) for claim in claims))
        done += len(claims)
    return (cpu_seconds() - cpu) / count


async def role_claim(arguments: argparse.Namespace) -> None:
    """Opens after the close, and empties the queue."""
    queue, seconds = await opened(arguments.directory)
    resident = await settled_bytes()
    window = min(arguments.window, arguments.jobs // 2)
    first = await claim_and_ack(queue, window)
    middle = arguments.jobs - 2 * window
    between = await claim_and_ack(queue, middle) if middle else 0.0
    last = await claim_and_ack(queue, window)
    if await queue.claim(QUEUE) is not None:
        message = "more jobs than were enqueued"
        raise AssertionError(message)
    await queue.close()
    tell(open=seconds, resident=resident, first=first, between=between, last=last)


ROLES: dict[str, Callable[[argparse.Namespace], Awaitable[None]]] = {
    "empty": role_empty,
    "load": role_load,
    "close": role_close,
    "claim": role_claim,
}


async def run(arguments: argparse.Namespace) -> None:
    """Is one of the processes."""
    await ROLES[arguments.role](arguments)


def run_role(role: str, directory: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs one process; the one that loads is killed once it has told its figures."""
    told = {name: getattr(arguments, name) for name in ("jobs", "payload_bytes", "window")}
    options = {"role": role, "directory": directory, **told}
    program = [str(Path(__file__).resolve())]
    return run_child(program, options, is_killed=role == "load")


def show(arguments: argparse.Namespace, found: dict[str, dict[str, Any]]) -> None:
    """Prints the figures."""
    empty = found["empty"]["resident"]
    load, close, claim = found["load"], found["close"], found["claim"]

    window = min(arguments.window, arguments.jobs // 2)
    rows = [
        ("memory of an empty queue, MiB", empty / MIB),
        ("above it, right after loading, MiB", (load["loaded"] - empty) / MIB),
        ("above it, settled, MiB", (load["resident"] - empty) / MIB),
        ("above it, opened after kill -9, MiB", (close["resident"] - empty) / MIB),
        ("above it, opened after a close, MiB", (claim["resident"] - empty) / MIB),
        ("loading, s", load["seconds"]),
        ("CPU of loading, us per job", load["cpu"] / arguments.jobs * 1e6),
        ("opening after kill -9, s", close["open"]),
        ("closing, s", close["close"]),
        ("opening after a close, s", claim["open"]),
        (f"CPU of claim and ack, first {window:,}, us per job", claim["first"] * 1e6),
        ("CPU of claim and ack, between, us per job", claim["between"] * 1e6),
        (f"CPU of claim and ack, last {window:,}, us per job", claim["last"] * 1e6),
        ("last by first", claim["last"] / claim["first"]),
    ]
    print(f"local disk with fsync: {arguments.jobs:,} jobs of {arguments.payload_bytes} B")
    print("\n".join(table([[name, number(value)] for name, value in rows], 1)))
    print(f"  jobs found after kill -9: {close['pending']:,} of {arguments.jobs:,}")


async def benchmark(arguments: argparse.Namespace) -> None:
    """Runs one process after the other."""
    where = arguments.directory or Path.cwd()
    with tempfile.TemporaryDirectory(prefix=".taquba-bench-", dir=where) as directory:
        found = {
            role: run_role(role, f"{directory}/{store}", arguments)
            for role, store in (
                ("empty", "empty"),
                ("load", "full"),
                ("close", "full"),
                ("claim", "full"),
            )
        }
    show(arguments, found)


def main() -> None:
    """Runs the benchmark, or one of its processes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--payload-bytes", type=int, default=64)
    parser.add_argument("--window", type=int, default=50_000, help="jobs at each end")
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
