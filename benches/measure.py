"""What the benchmarks share: rounds, stores, and the cost of a round.

CPU time is that of the whole process, user and system, all threads (getrusage): what a step costs
whoever pays for the machine. Wall time depends on what else the machine does; CPU time hardly.
"""

import argparse
import asyncio
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import taquba
from taquba import OpenOptions, Queue
from taquba.store import MemoryStore

Work = Callable[[Queue], Awaitable[None]]


@dataclass(frozen=True)
class Round:
    """The cost of one round."""

    wall_seconds: float
    cpu_seconds: float
    put_count: int
    put_bytes: int
    commit_count: int


def cpu_seconds() -> float:
    """What this process has used so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(queue: Queue, work: Work) -> Round:
    """Runs the work once and takes the differences."""
    before = await queue.stats()
    cpu, wall = cpu_seconds(), time.perf_counter()
    await work(queue)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    after = await queue.stats()
    return Round(
        wall,
        cpu,
        after.put_count - before.put_count,
        after.put_bytes - before.put_bytes,
        after.commit_count - before.commit_count,
    )


async def run_rounds(store: str, directory: str | None, rounds: int, work: Work) -> list[Round]:
    """Opens a fresh store and repeats the work in it; one more round before warms everything up."""
    with tempfile.TemporaryDirectory(prefix=".taquba-bench-", dir=directory or Path.cwd()) as disk:
        where = MemoryStore() if store == "memory" else disk
        async with Queue.open(where, options=OpenOptions(fsync=True)) as queue:
            await work(queue)
            return [await measure(queue, work) for _ in range(rounds)]


def show(title: str, unit: str, count: int, rounds: list[Round]) -> None:
    """Prints minimum and median of every figure; for rates the maximum and the median."""

    def line(name: str, values: list[float], best: Callable[[list[float]], float]) -> None:
        print(
            f"  {name:<30} best {best(values):>12,.1f}   median {statistics.median(values):>12,.1f}"
        )

    print(f"{title}: {len(rounds)} rounds of {count:,} {unit}s")
    line(f"{unit}s per second", [count / r.wall_seconds for r in rounds], max)
    line(f"CPU us per {unit}", [r.cpu_seconds / count * 1e6 for r in rounds], min)
    line(f"PUTs per 1,000 {unit}s", [r.put_count / count * 1e3 for r in rounds], min)
    line(f"PUT KiB per 1,000 {unit}s", [r.put_bytes / count * 1e3 / 1024 for r in rounds], min)
    line(f"commits per 1,000 {unit}s", [r.commit_count / count * 1e3 for r in rounds], min)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of benchmarks that measure in rounds."""
    parser.add_argument("--store", choices=["memory", "disk", "both"], default="both")
    parser.add_argument("--directory", help="where the disk store is made; default: here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=512)
    parser.add_argument("--payload-bytes", type=int, default=64)


def stores(choice: str) -> list[str]:
    """The stores to measure."""
    return ["memory", "disk"] if choice == "both" else [choice]


def show_machine() -> None:
    """Prints what the figures belong to."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in read_lines(Path("/proc/cpuinfo"))
            if line.startswith("model name")
        ),
        platform.processor() or "unknown CPU",
    )
    load = Path("/proc/loadavg")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"taquba {taquba.__version__}, {python}")
    print(f"{platform.system()} {platform.release()} {platform.machine()}, {cpu}")
    print(f"cores: {cpu_count()}; load before: {' '.join(read_lines(load)[:1]) or 'unknown'}")


def read_lines(path: Path) -> list[str]:
    """Lines of a file that not every system has."""
    return path.read_text().splitlines() if path.exists() else []


def cpu_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(benchmark: Callable[[], Awaitable[None]]) -> None:
    """Prints the machine and runs a benchmark."""
    show_machine()
    asyncio.run(_await(benchmark))


async def _await(benchmark: Callable[[], Awaitable[None]]) -> None:
    await benchmark()
