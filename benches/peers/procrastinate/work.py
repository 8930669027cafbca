# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator, misc"
"""Procrastinate's workloads: one process that enqueues and works, on one pool of connections.

A job counts as finished when the statement that marks it as succeeded has committed, not when its
handler returned.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import psycopg_pool
import uvloop
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Job, Status

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

POOL_SIZE = 16
CONCURRENCY = 64
# A worker fetches one job after the other; several in one process fetch at the same time.
FETCHERS = 4
# How long a job waits whose notification was lost: a worker forgets those that arrive in a fetch.
POLL_SECONDS = 0.05
FILLER = "." * (PAYLOAD_BYTES - 21)

Handle = Callable[[str], Awaitable[None]]


class Peer:
    """The app, its one task, and who is told of finished jobs."""

    def __init__(self, pool: psycopg_pool.AsyncConnectionPool) -> None:
        self.pool = pool
        self.app = App(connector=PsycopgConnector())
        self.task = self.app.task(name="work", queue="work")(self._work)
        self.handle: Handle | None = None
        self.on_finished: Callable[[str], None] | None = None
        self._finish = self.app.job_manager.finish_job
        self.app.job_manager.finish_job = self._finish_and_tell

    async def _work(self, content: str) -> None:
        if self.handle is not None:
            await self.handle(content)

    async def _finish_and_tell(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: FBT001
        await self._finish(job=job, status=status, delete_job=delete_job)
        if self.on_finished is not None and status is Status.SUCCEEDED:
            self.on_finished(job.task_kwargs["content"])

    async def enqueue(self, number: int, step: int = 0) -> None:
        """One job, one call."""
        await self.task.defer_async(content=payload(number, step))

    async def fill(self, numbers: range) -> None:
        """Batches of jobs."""
        for first in range(numbers.start, numbers.stop, BATCH_COUNT):
            batch = range(first, min(first + BATCH_COUNT, numbers.stop))
            await self.task.batch_defer_async(*({"content": payload(n)} for n in batch))

    async def work(self, *, wait: bool) -> None:
        """Works until no job is left, or, with `wait`, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(FETCHERS):
                group.create_task(
                    self.app.run_worker_async(
                        queues=["work"],
                        concurrency=CONCURRENCY // FETCHERS,
                        wait=wait,
                        fetch_job_polling_interval=POLL_SECONDS,
                        install_signal_handlers=False,
                    )
                )

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A worker for as long as the context lasts."""
        whole = asyncio.current_task()

        def stop(_task: object) -> None:
            # Without a worker the work would never end.
            if whole is not None:
                whole.cancel()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.work(wait=True))
            task.add_done_callback(stop)
            yield
            task.remove_done_callback(stop)
            task.cancel()

    async def counts(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        async with self.pool.connection() as connection:
            rows = await connection.execute(
                "SELECT status::text, count(*) FROM procrastinate_jobs GROUP BY 1"
            )
            return dict(await rows.fetchall())


def payload(number: int, step: int = 0) -> str:
    """64 characters that say which job this is."""
    return f"{number:010d}.{step:010d}{FILLER}"


def parse(content: str) -> tuple[int, int]:
    """The number and the step of a payload."""
    return int(content[:10]), int(content[11:21])


async def enqueue(said: Arguments, peer: Peer) -> None:
    """One call for each job, or for each thousand."""
    warm = warm_up_count(said.count)

    async def call(numbers: range) -> None:
        if said.workload == "enqueue_batch":
            await peer.fill(numbers)
        else:
            await in_turns(numbers, said.in_flight, peer.enqueue)

    await call(range(warm))
    begin()
    start = time.perf_counter()
    await call(range(warm, warm + said.count))
    seconds = time.perf_counter() - start
    check(await peer.counts(), {"todo": warm + said.count})
    end(said.count, seconds, f"{warm + said.count:,} rows wait in the table")


async def drain(said: Arguments, peer: Peer) -> None:
    """A worker finds all jobs there, and ends when none is left."""
    starts: list[float] = []
    seen: Counter[str] = Counter()
    last = 0.0

    async def handle(content: str) -> None:
        if not seen:
            starts.append(time.perf_counter())
        seen[content] += 1

    def on_finished(_content: str) -> None:
        nonlocal last
        last = time.perf_counter()

    async def work(numbers: range) -> None:
        seen.clear()
        await peer.work(wait=False)
        check(seen == Counter(payload(number) for number in numbers), wanted=True)

    peer.handle, peer.on_finished = handle, on_finished
    warm = warm_up_count(said.count)
    await peer.fill(range(warm))
    await work(range(warm))
    await peer.fill(range(warm, warm + said.count))
    begin()
    await work(range(warm, warm + said.count))
    check(await peer.counts(), {"succeeded": warm + said.count})
    end(said.count, last - starts[-1], f"{said.count:,} payloads seen once, all marked succeeded")


class Chains:
    """Chains of jobs: each but the last enqueues the next before it is done."""

    def __init__(self, peer: Peer, step_count: int) -> None:
        self.peer = peer
        self.step_count = step_count
        self.seen: Counter[tuple[int, int]] = Counter()
        self.latencies: list[float] = []
        self.ends: dict[int, asyncio.Future[None]] = {}
        peer.handle, peer.on_finished = self.handle, self.on_finished

    async def handle(self, content: str) -> None:
        """One step."""
        number, step = parse(content)
        self.seen[number, step] += 1
        if step + 1 < self.step_count:
            await self.peer.enqueue(number, step + 1)

    def on_finished(self, content: str) -> None:
        """A chain has ended if its last job is done."""
        number, step = parse(content)
        if step + 1 == self.step_count:
            self.ends.pop(number).set_result(None)

    async def run(self, number: int) -> None:
        """One chain, from its first call to the end of its last job."""
        start = time.perf_counter()
        ended = self.ends[number] = asyncio.get_running_loop().create_future()
        await self.peer.enqueue(number)
        await ended
        self.latencies.append(time.perf_counter() - start)


async def steps(said: Arguments, peer: Peer) -> None:
    """Chains of ten jobs, or of one: also the workload `latency`."""
    step_count = STEPS_PER_RUN if said.workload == "steps" else 1
    warm = warm_up_count(said.count)
    chains = Chains(peer, step_count)
    async with peer.working():
        await in_turns(range(warm), said.in_flight, chains.run)
        chains.latencies.clear()
        begin()
        start = time.perf_counter()
        await in_turns(range(warm, warm + said.count), said.in_flight, chains.run)
        seconds = time.perf_counter() - start
    job_count = (warm + said.count) * step_count
    check((len(chains.seen), chains.seen.total()), (job_count, job_count))
    check(await peer.counts(), {"succeeded": job_count})
    text = f"{job_count:,} jobs of {warm + said.count:,} chains seen once, all marked succeeded"
    end(said.count * step_count, seconds, text, chains.latencies)


WORKLOADS = {
    "enqueue": enqueue,
    "enqueue_batch": enqueue,
    "drain": drain,
    "steps": steps,
    "latency": steps,
}


async def main(said: Arguments) -> None:
    """Makes the tables, then does one workload."""

    async def configure(connection: psycopg.AsyncConnection) -> None:
        # Each call is one statement: a transaction around it only costs two more round trips.
        await connection.set_autocommit(True)

    async with psycopg_pool.AsyncConnectionPool(
        os.environ["PEER_POSTGRES"], min_size=POOL_SIZE, max_size=POOL_SIZE, configure=configure
    ) as pool:
        peer = Peer(pool)
        async with peer.app.open_async(pool):
            await peer.app.schema_manager.apply_schema_async()
            await WORKLOADS[said.workload](said, peer)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    uvloop.run(main(arguments()))
