# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator, misc"
"""PgQueuer's workloads: one process that enqueues, and works with batches of jobs.

A job counts as finished when the flush that logs its outcome and deletes its row has committed, not
when its handler returned.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from benches.peers.protocol import (
    BATCH_COUNT,
    PAYLOAD_BYTES,
    STEPS_PER_RUN,
    Arguments,
    arguments,
    begin,
    check,
    end,
    in_turns,
    warm_up_count,
)

ENTRYPOINT = "work"
# Callers that wait for the same sync share it.
POOL_SIZE = 32
# Rows of one dequeue and of one flush. A lone job shall not wait for others to share its flush.
BATCH_SIZES = {"drain": 500, "steps": 100, "latency": 1}
WAIT = timedelta(seconds=1)


class Watched(Queries):
    """Tells which jobs have an outcome in the database."""

    on_logged: Callable[[bytes], None] | None = None

    async def log_jobs(self, job_status: list[Any]) -> None:
        """Writes outcomes, then tells."""
        await super().log_jobs(job_status)
        if self.on_logged is not None:
            for job, status, _traceback in job_status:
                if status == "successful":
                    self.on_logged(job.payload)


def payload(number: int, step: int = 0) -> bytes:
    """64 bytes that say which job this is."""
    return b"%010d.%010d" % (number, step) + b"." * (PAYLOAD_BYTES - 21)


def parse(content: bytes) -> tuple[int, int]:
    """The number and the step of a payload."""
    return int(content[:10]), int(content[11:21])


def manager_of(queries: Watched, handle: Callable[[bytes], Awaitable[None]]) -> QueueManager:
    """A worker that is not running yet."""
    manager = QueueManager(queries)

    @manager.entrypoint(ENTRYPOINT)
    async def work(job: Job) -> None:
        await handle(job.payload or b"")

    return manager


@contextlib.asynccontextmanager
async def worker(
    queries: Watched, batch_size: int, handle: Callable[[bytes], Awaitable[None]]
) -> AsyncIterator[None]:
    """A worker that runs for as long as the context lasts."""
    manager = manager_of(queries, handle)
    whole = asyncio.current_task()

    def stop(_task: object) -> None:
        # Without a worker the work would never end.
        if whole is not None:
            whole.cancel()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(manager.run(WAIT, batch_size))
        task.add_done_callback(stop)
        yield
        task.remove_done_callback(stop)
        manager.shutdown.set()


async def counts(pool: asyncpg.Pool) -> tuple[int, int]:
    """How many jobs are in the queue, and how many were logged as done."""
    waiting = await pool.fetchval("SELECT count(*) FROM pgqueuer")
    done = await pool.fetchval(
        "SELECT count(DISTINCT job_id) FROM pgqueuer_log WHERE status = 'successful'"
    )
    return waiting, done


async def enqueue(said: Arguments, queries: Watched, pool: asyncpg.Pool) -> None:
    """One call for each job."""
    warm = warm_up_count(said.count)

    async def call(number: int) -> None:
        await queries.enqueue(ENTRYPOINT, payload(number))

    await in_turns(range(warm), said.in_flight, call)
    begin()
    start = time.perf_counter()
    await in_turns(range(warm, warm + said.count), said.in_flight, call)
    seconds = time.perf_counter() - start
    check(await counts(pool), (warm + said.count, 0))
    end(said.count, seconds, f"{warm + said.count:,} rows wait in the table")


async def fill(queries: Watched, numbers: range) -> None:
    """Batches of jobs."""
    for first in range(numbers.start, numbers.stop, BATCH_COUNT):
        batch = range(first, min(first + BATCH_COUNT, numbers.stop))
        await queries.enqueue(
            [ENTRYPOINT] * len(batch), [payload(number) for number in batch], [0] * len(batch)
        )


async def enqueue_batch(said: Arguments, queries: Watched, pool: asyncpg.Pool) -> None:
    """One call for each thousand jobs."""
    warm = warm_up_count(said.count)
    await fill(queries, range(warm))
    begin()
    start = time.perf_counter()
    await fill(queries, range(warm, warm + said.count))
    seconds = time.perf_counter() - start
    check(await counts(pool), (warm + said.count, 0))
    end(said.count, seconds, f"{warm + said.count:,} rows wait in the table")


async def drain(said: Arguments, queries: Watched, pool: asyncpg.Pool) -> None:
    """A worker finds all jobs there, and ends when none is left."""
    first: list[float] = []
    seen: Counter[bytes] = Counter()

    async def handle(content: bytes) -> None:
        if not seen:
            first.append(time.perf_counter())
        seen[content] += 1

    async def work(numbers: range) -> float:
        manager = manager_of(queries, handle)
        await manager.run(WAIT, BATCH_SIZES["drain"], QueueExecutionMode.drain)
        check(seen == Counter(payload(number) for number in numbers), wanted=True)
        seen.clear()
        return last

    last = 0.0

    def on_logged(_content: bytes) -> None:
        nonlocal last
        last = time.perf_counter()

    queries.on_logged = on_logged
    warm = warm_up_count(said.count)
    await fill(queries, range(warm))
    await work(range(warm))
    await fill(queries, range(warm, warm + said.count))
    await pool.execute("VACUUM ANALYZE")
    begin()
    seconds = await work(range(warm, warm + said.count)) - first[-1]
    check(await counts(pool), (0, warm + said.count))
    end(said.count, seconds, f"{said.count:,} payloads seen once, all logged, none waits")


class Chains:
    """Chains of jobs: each but the last enqueues the next before it is done."""

    def __init__(self, queries: Watched, step_count: int) -> None:
        self.queries = queries
        self.step_count = step_count
        self.seen: Counter[tuple[int, int]] = Counter()
        self.latencies: list[float] = []
        self.ends: dict[int, asyncio.Future[None]] = {}
        queries.on_logged = self.on_logged

    async def handle(self, content: bytes) -> None:
        """One step."""
        number, step = parse(content)
        self.seen[number, step] += 1
        if step + 1 < self.step_count:
            await self.queries.enqueue(ENTRYPOINT, payload(number, step + 1))

    def on_logged(self, content: bytes) -> None:
        """A chain has ended if its last job is done."""
        number, step = parse(content)
        if step + 1 == self.step_count:
            self.ends.pop(number).set_result(None)

    async def run(self, number: int) -> None:
        """One chain, from its first call to the outcome of its last job."""
        start = time.perf_counter()
        ended = self.ends[number] = asyncio.get_running_loop().create_future()
        await self.queries.enqueue(ENTRYPOINT, payload(number))
        await ended
        self.latencies.append(time.perf_counter() - start)


async def steps(said: Arguments, queries: Watched, pool: asyncpg.Pool) -> None:
    """Chains of ten jobs, or of one: also the workload `latency`."""
    step_count = STEPS_PER_RUN if said.workload == "steps" else 1
    warm = warm_up_count(said.count)
    chains = Chains(queries, step_count)
    async with worker(queries, BATCH_SIZES[said.workload], chains.handle):
        await in_turns(range(warm), said.in_flight, chains.run)
        chains.latencies.clear()
        begin()
        start = time.perf_counter()
        await in_turns(range(warm, warm + said.count), said.in_flight, chains.run)
        seconds = time.perf_counter() - start
    job_count = (warm + said.count) * step_count
    check((len(chains.seen), chains.seen.total()), (job_count, job_count))
    check(await counts(pool), (0, job_count))
    text = f"{job_count:,} jobs of {warm + said.count:,} chains seen once, all logged, none waits"
    end(said.count * step_count, seconds, text, chains.latencies)


WORKLOADS = {
    "enqueue": enqueue,
    "enqueue_batch": enqueue_batch,
    "drain": drain,
    "steps": steps,
    "latency": steps,
}


async def main(said: Arguments) -> None:
    """Makes the tables, then does one workload."""
    url = os.environ["PEER_POSTGRES"]
    async with asyncpg.create_pool(url, min_size=POOL_SIZE, max_size=POOL_SIZE) as pool:
        queries = Watched.from_asyncpg_pool(pool)
        await queries.install()
        await WORKLOADS[said.workload](said, queries, pool)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    uvloop.run(main(arguments()))
