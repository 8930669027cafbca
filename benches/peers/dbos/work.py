# mypy: disable-error-code="import-not-found, untyped-decorator, misc, no-any-unimported"
"""DBOS: workflows and queues in this process, their state in SQLite or PostgreSQL.

Callers that enqueue are a `DBOSClient`, which runs no workflow; steps are coroutines, a run is
called directly, as its guides have it. Queues serve `drain` only.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy
from dbos import DBOS, DBOSClient, DBOSConfig

from benches.peers import protocol

QUEUE = "bench"
POLL_SECONDS = 0.02
# Connections, of those who enqueue and of those who run workflows: SQLite has one writer, and who
# waits for a connection is woken up in order, while who waits for its lock sleeps and tries again.
POOL_SIZES = {"sqlite": (1, 2), "postgresql": (32, 20)}

asked = protocol.arguments()
ids_seen: list[str] = []
first_at = 0.0


def database_url() -> str:
    """The database of this workload: PostgreSQL if there is one, else a file in WAL mode."""
    url = os.environ.get("PEER_POSTGRES")
    if url:
        return url.replace("postgresql://", "postgresql+psycopg://", 1)
    file = asked.directory / "dbos.db"
    with sqlite3.connect(file) as connection:
        mode = connection.execute("pragma journal_mode=wal").fetchone()[0]
        level = connection.execute("pragma synchronous").fetchone()[0]
    connection.close()
    protocol.expect((mode, level) == ("wal", 2), f"SQLite is in mode {mode}, synchronous={level}")
    return f"sqlite:///{file}"


def pool_sizes(url: str) -> tuple[int, int]:
    """Connections of a client and of a process with workflows."""
    return POOL_SIZES["sqlite" if url.startswith("sqlite") else "postgresql"]


@DBOS.workflow()
async def job(payload: str) -> str:
    """Does nothing."""
    global first_at  # noqa: PLW0603 - handlers are functions of this module
    if not ids_seen:
        first_at = time.perf_counter()
    ids_seen.append(payload)
    return payload


@DBOS.step()
async def step(payload: str) -> str:
    """Does nothing, durably."""
    return payload


@DBOS.workflow()
async def chain(payload: str, step_count: int) -> str:
    """A run of so many steps, one after the other."""
    for _ in range(step_count):
        payload = await step(payload)
    return payload


def payloads(count: int) -> list[str]:
    """Payloads that tell one job from another."""
    return [f"{number:0{protocol.PAYLOAD_BYTES}d}" for number in range(count)]


class Database:
    """The system database, to enqueue in transactions and to count what is in it."""

    def __init__(self, url: str) -> None:
        self.engine = sqlalchemy.create_engine(url)
        self.prefix = "dbos." if "postgresql" in url else ""
        size, _ = pool_sizes(url)
        self.client = DBOSClient(system_database_url=url, system_database_pool_size=size)
        self.options = {"queue_name": QUEUE, "workflow_name": job.__qualname__}

    def count(self, table: str, condition: str) -> int:
        """Rows of a table of DBOS."""
        query = f"select count(*) from {self.prefix}{table} where {condition}"  # noqa: S608
        with self.engine.connect() as connection:
            return int(connection.execute(sqlalchemy.text(query)).scalar_one())

    def job_count(self, status: str) -> int:
        """Jobs of the queue in this state."""
        return self.count("workflow_status", f"queue_name = '{QUEUE}' and status = '{status}'")

    def enqueue(self, payload: str) -> str:
        """One call; the new workflow's id."""
        name: str = self.client.enqueue(self.options, payload).workflow_id
        return name

    def enqueue_all(self, work: list[str]) -> None:
        """Batches of 1,000, each one transaction."""
        for first in range(0, len(work), protocol.BATCH_COUNT):
            with self.engine.begin() as connection:
                for payload in work[first : first + protocol.BATCH_COUNT]:
                    self.client.enqueue_in_transaction(connection, self.options, payload)


def enqueue(database: Database) -> None:
    """One call for each job, from threads."""
    work = payloads(asked.count)
    warm_up = work[: protocol.warm_up_count(asked.count)]
    with ThreadPoolExecutor(asked.in_flight) as threads:
        list(threads.map(database.enqueue, warm_up))
        protocol.begin()
        start = time.perf_counter()
        ids = list(threads.map(database.enqueue, work))
        seconds = time.perf_counter() - start
    pending = database.job_count("ENQUEUED") - len(warm_up)
    protocol.expect(pending == asked.count == len(set(ids)), f"{pending} jobs are pending")
    protocol.end(asked.count, seconds, f"{asked.count:,} distinct ids, as many jobs enqueued")


def enqueue_batch(database: Database) -> None:
    """Transactions of 1,000 jobs, one caller."""
    work = payloads(asked.count)
    warm_up = work[: protocol.warm_up_count(asked.count)]
    database.enqueue_all(warm_up)
    protocol.begin()
    start = time.perf_counter()
    database.enqueue_all(work)
    seconds = time.perf_counter() - start
    pending = database.job_count("ENQUEUED") - len(warm_up)
    protocol.expect(pending == asked.count, f"{pending} jobs are pending")
    protocol.end(asked.count, seconds, f"{asked.count:,} jobs enqueued")


async def until(condition: Callable[[], bool]) -> None:
    """Looks again and again; how long that takes at most is the driver's matter."""
    # A database does not wake us up.
    while not await asyncio.to_thread(condition):  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def drain(database: Database) -> None:
    """The jobs are there; the queue is let go."""
    work = payloads(asked.count)
    warm_up = work[: protocol.warm_up_count(asked.count)]
    queue = await DBOS.register_queue_async(
        QUEUE, worker_concurrency=asked.in_flight, polling_interval_sec=POLL_SECONDS
    )
    await asyncio.to_thread(database.enqueue_all, warm_up)
    await until(lambda: database.job_count("SUCCESS") == len(warm_up))
    await queue.set_worker_concurrency_async(0)
    await asyncio.sleep(10 * POLL_SECONDS)
    await asyncio.to_thread(database.enqueue_all, work)
    ids_seen.clear()
    protocol.begin()
    await queue.set_worker_concurrency_async(asked.in_flight)
    await until(lambda: len(ids_seen) >= asked.count)
    await until(lambda: database.job_count("SUCCESS") == asked.count + len(warm_up))
    seconds = time.perf_counter() - first_at
    protocol.expect(sorted(ids_seen) == work, "the worker did not see each job once")
    protocol.end(asked.count, seconds, f"each of {asked.count:,} jobs seen once, all in SUCCESS")


async def run_all(work: list[str], width: int, step_count: int) -> list[float]:
    """Runs in a closed loop; their latencies."""
    latencies = list[float]()

    async def run(payload: str) -> None:
        start = time.perf_counter()
        result = await chain(payload, step_count)
        latencies.append(time.perf_counter() - start)
        protocol.expect(result == payload, f"`{result}` is not `{payload}`")

    await protocol.in_turns(work, width, run)
    return latencies


async def runs(database: Database, step_count: int) -> None:
    """Runs of some steps, so many in flight."""
    work = payloads(asked.count)
    warm_up = work[: protocol.warm_up_count(asked.count)]
    await run_all(warm_up, asked.in_flight, step_count)
    protocol.begin()
    start = time.perf_counter()
    latencies = await run_all(work, asked.in_flight, step_count)
    seconds = time.perf_counter() - start
    stored = database.count("operation_outputs", "output is not null")
    stored -= len(warm_up) * step_count
    done_count = asked.count * step_count
    protocol.expect(stored == done_count, f"{stored} step results are stored")
    said = f"{asked.count:,} results equal to their input, {stored:,} step results stored"
    protocol.end(done_count, seconds, said, latencies)


async def with_workflows(work: Callable[[], Awaitable[None]]) -> None:
    """Launches DBOS on this event loop."""
    DBOS.launch()
    await work()


def main() -> None:
    """Makes the tables, then does one workload."""
    url = database_url()
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "sys_db_pool_size": pool_sizes(url)[1],
        "log_level": "ERROR",
        "application_version": "1",
    }
    DBOS(config=config)
    if asked.workload in {"enqueue", "enqueue_batch"}:
        DBOS.launch()
        DBOS.destroy()
        database = Database(url)
        (enqueue if asked.workload == "enqueue" else enqueue_batch)(database)
        return
    step_count = protocol.STEPS_PER_RUN if asked.workload == "steps" else 1

    async def work() -> None:
        database = Database(url)
        await (drain(database) if asked.workload == "drain" else runs(database, step_count))

    asyncio.run(with_workflows(work))
    DBOS.destroy()


if __name__ == "__main__":
    main()
