"""Whether claims get slower the more jobs have passed through: enqueue, claim, ack, for long.

python benches/pass_through.py --jobs 10000000 --store disk

Every lane claims a batch, acks it job by job, and enqueues as many, so that the backlog stays as
long as it was. What is measured is the time from asking for a batch to having it; a warm-up comes
first, so that the first claims are not slow for reasons of their own.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from array import array
from pathlib import Path

from taquba import OpenOptions, Queue
from taquba.bench._machine import describe, machine_lines
from taquba.bench._meter import cpu_seconds
from taquba.store import MemoryStore

QUEUE = "bench"
PARTS = 10


class Samples:
    """Latencies of claims, in the order in which they came."""

    def __init__(self) -> None:
        self.seconds = array("d")
        self.job_counts = array("I")

    def add(self, seconds: float, job_count: int) -> None:
        """One claim of so many jobs."""
        self.seconds.append(seconds)
        self.job_counts.append(job_count)

    def first(self, job_count: int) -> list[float]:
        """The latencies of the first so many jobs."""
        return self._until(job_count, range(len(self.seconds)))

    def last(self, job_count: int) -> list[float]:
        """The latencies of the last so many jobs."""
        return self._until(job_count, range(len(self.seconds) - 1, -1, -1))

    def _until(self, job_count: int, order: range) -> list[float]:
        taken: list[float] = []
        for index in order:
            if job_count <= 0:
                break
            taken.append(self.seconds[index])
            job_count -= self.job_counts[index]
        return taken

    def part(self, number: int) -> list[float]:
        """The latencies of one tenth of all claims."""
        size = max(1, len(self.seconds) // PARTS)
        return list(self.seconds[number * size : (number + 1) * size])


def quantile_us(seconds: list[float], percent: int) -> float:
    """A percentile in microseconds."""
    if len(seconds) == 1:
        return seconds[0] * 1e6
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1e6


async def pass_through(queue: Queue, arguments: argparse.Namespace, job_count: int) -> Samples:
    """Sends so many jobs through the queue."""
    payload = b"x" * arguments.payload_bytes
    samples = Samples()
    backlog = min(arguments.backlog, job_count)
    left_to_enqueue = job_count - backlog
    left_to_claim = job_count
    for start in range(0, backlog, 10_000):
        await queue.enqueue_batch(QUEUE, [payload] * min(10_000, backlog - start))

    async def lane() -> None:
        nonlocal left_to_enqueue, left_to_claim
        while left_to_claim > 0:
            wanted = min(arguments.batch, left_to_claim)
            left_to_claim -= wanted
            while wanted:
                start = time.perf_counter()
                claims = await queue.claim_batch(QUEUE, wanted, lease=3600.0)
                samples.add(time.perf_counter() - start, len(claims))
                wanted -= len(claims)
                acks = [queue.ack(claim) for claim in claims]
                count = min(len(claims), left_to_enqueue)
                left_to_enqueue -= count
                await asyncio.gather(queue.enqueue_batch(QUEUE, [payload] * count), *acks)

    async with asyncio.TaskGroup() as group:
        for _ in range(arguments.lanes):
            group.create_task(lane())
    return samples


def show(arguments: argparse.Namespace, samples: Samples, seconds: float, cpu: float) -> None:
    """Prints the figures."""
    window = min(arguments.window, arguments.jobs // 2)
    first, last = samples.first(window), samples.last(window)
    print(
        f"{arguments.store}: {arguments.jobs:,} jobs of {arguments.payload_bytes} B, backlog "
        f"{arguments.backlog:,}, {arguments.lanes} lanes, claims of {arguments.batch}"
    )
    print(
        f"  {arguments.jobs / seconds:,.0f} jobs/s, {cpu / arguments.jobs * 1e6:.1f} us CPU a job"
    )
    for name, found in ((f"first {window:,}", first), (f"last {window:,}", last)):
        p50, p99 = quantile_us(found, 50), quantile_us(found, 99)
        print(f"  claim latency, {name:<16} p50 {p50:>10,.0f} us   p99 {p99:>10,.0f} us")
    for percent in (50, 99):
        ratio = quantile_us(last, percent) / quantile_us(first, percent)
        print(f"  last by first, p{percent}: {ratio:.2f}")
    tenths = [f"{quantile_us(samples.part(number), 99):,.0f}" for number in range(PARTS)]
    print(f"  p99 by tenths, us: {', '.join(tenths)}")


async def benchmark(arguments: argparse.Namespace) -> None:
    """Measures one store."""
    where = arguments.directory or Path.cwd()
    with tempfile.TemporaryDirectory(prefix=".taquba-bench-", dir=where) as disk:
        store = MemoryStore() if arguments.store == "memory" else disk
        async with Queue.open(store, options=OpenOptions(fsync=arguments.fsync)) as queue:
            await pass_through(queue, arguments, arguments.warm_up)
            start, cpu = time.perf_counter(), cpu_seconds()
            samples = await pass_through(queue, arguments, arguments.jobs)
            seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu
            stats = await queue.stats()
    expected = arguments.warm_up + arguments.jobs
    if stats.queues[QUEUE].acked_total != expected:
        message = f"{stats.queues[QUEUE].acked_total} of {expected} jobs were acked"
        raise AssertionError(message)
    show(arguments, samples, seconds, cpu)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--jobs", type=int, default=10_000_000)
    parser.add_argument("--warm-up", type=int, default=100_000, help="jobs before those that count")
    parser.add_argument("--backlog", type=int, default=10_000, help="jobs that wait meanwhile")
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64, help="jobs of one claim")
    parser.add_argument("--window", type=int, default=100_000, help="jobs at each end")
    parser.add_argument("--payload-bytes", type=int, default=64)
    parser.add_argument("--store", choices=["memory", "disk"], default="disk")
    parser.add_argument("--fsync", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--directory", help="where the disk store is made; default: here")
    parsed = parser.parse_args()
    print("\n".join(machine_lines(describe())))
    asyncio.run(benchmark(parsed))
