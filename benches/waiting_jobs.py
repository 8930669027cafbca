"""What a long backlog costs: memory, opening again, and claims at both ends of it.

python benches/waiting_jobs.py --jobs 1000000 --payload-bytes 64

Three processes work on one store on a local disk. The first loads the jobs and is killed; the
second opens after the kill and closes in order; the third opens after the close, and claims and
acks all. A fourth shows what an open queue without jobs needs.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

if not __package__:
    # The directory of this file holds a `queue.py` that would hide the standard library's.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benches import measure
from taquba import OpenOptions, Queue

QUEUE = "bench"
ENQUEUE_BATCH = 1_000
ENQUEUES_IN_FLIGHT = 8
CLAIM_BATCH = 500
# Until memory stands still: the storage engine flushes and compacts after the last commit.
SETTLE_SECONDS_MAX = 60.0
SETTLE_LOOK_SECONDS = 1.0
SETTLE_LOOKS = 3
MIB = 1024 * 1024


def resident_bytes() -> int:
    """What this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def settled_bytes() -> int:
    """Resident memory once it has not changed by more than 1 MiB for some looks in a row."""
    gc.collect()
    last, unchanged_count = resident_bytes(), 0
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while unchanged_count < SETTLE_LOOKS and time.monotonic() < deadline:
        await asyncio.sleep(SETTLE_LOOK_SECONDS)
        now = resident_bytes()
        unchanged_count = unchanged_count + 1 if abs(now - last) < MIB else 0
        last = now
    return last


def tell(**figures: float) -> None:
    """Hands figures to the parent."""
    print(json.dumps(figures), flush=True)


async def opened(directory: str) -> tuple[Queue, float]:
    """The queue, and how long opening it took."""
    start = time.perf_counter()
    queue = await Queue.open(directory, options=OpenOptions(fsync=True))
    return queue, time.perf_counter() - start


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
    start, cpu = time.perf_counter(), measure.cpu_seconds()

    async def lane() -> None:
        for first in starts:
            count = min(ENQUEUE_BATCH, arguments.jobs - first)
            await queue.enqueue_batch(QUEUE, [payload] * count)

    async with asyncio.TaskGroup() as group:
        for _ in range(ENQUEUES_IN_FLIGHT):
            group.create_task(lane())
    seconds, cpu = time.perf_counter() - start, measure.cpu_seconds() - cpu
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
    cpu, done = measure.cpu_seconds(), 0
    while done < count:
        claims = await queue.claim_batch(QUEUE, min(CLAIM_BATCH, count - done), lease=3600.0)
        if not claims:
            message = f"only {done} of {count} jobs were there"
            raise AssertionError(message)
        await asyncio.gather(*(queue.ack(claim) for claim in claims))
        done += len(claims)
    return (measure.cpu_seconds() - cpu) / count


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
    """Runs one process, kills it once it has told its figures if it is the one that loads."""
    command = [sys.executable, str(Path(__file__).resolve()), "--role", role]
    for name in ("jobs", "payload_bytes", "window"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    command += ["--directory", directory]
    # The program is this file.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        if process.stdout is None:
            message = "the process has no output"
            raise AssertionError(message)
        line = process.stdout.readline()
        if role == "load":
            process.send_signal(signal.SIGKILL)
        process.wait()
    if not line:
        message = f"`{role}` ended with {process.returncode}"
        raise RuntimeError(message)
    figures: dict[str, Any] = json.loads(line)
    return figures


def show(arguments: argparse.Namespace, found: dict[str, dict[str, Any]]) -> None:
    """Prints the figures."""
    empty = found["empty"]["resident"]
    load, close, claim = found["load"], found["close"], found["claim"]

    def line(name: str, value: float, unit: str) -> None:
        print(f"  {name:<44} {value:>12,.2f} {unit}")

    print(f"local disk with fsync: {arguments.jobs:,} jobs of {arguments.payload_bytes} B")
    line("memory of an empty queue", empty / MIB, "MiB")
    line("above it, right after loading", (load["loaded"] - empty) / MIB, "MiB")
    line("above it, settled", (load["resident"] - empty) / MIB, "MiB")
    line("above it, opened after kill -9", (close["resident"] - empty) / MIB, "MiB")
    line("above it, opened after a close", (claim["resident"] - empty) / MIB, "MiB")
    line("loading", load["seconds"], "s")
    line("CPU of loading", load["cpu"] / arguments.jobs * 1e6, "us per job")
    line("opening after kill -9", close["open"], "s")
    line("closing", close["close"], "s")
    line("opening after a close", claim["open"], "s")
    window = min(arguments.window, arguments.jobs // 2)
    line(f"CPU of claim and ack, first {window:,}", claim["first"] * 1e6, "us per job")
    line("CPU of claim and ack, between", claim["between"] * 1e6, "us per job")
    line(f"CPU of claim and ack, last {window:,}", claim["last"] * 1e6, "us per job")
    line("last by first", claim["last"] / claim["first"], "")
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
        measure.main(lambda: benchmark(arguments))


if __name__ == "__main__":
    main()
