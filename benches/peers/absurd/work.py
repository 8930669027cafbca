# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator, misc"
"""Absurd's workloads: one process, several workers and callers, each with its own connection.

A run counts as finished when its row says so. The caller asks for it from the moment on when the
handler has returned, so that asking costs little.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import absurdctl
import psycopg
import uvloop
from absurd_sdk import AsyncAbsurd, AsyncTaskContext

from benches.peers.protocol import (
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

WORKERS = 8
# Tasks that a worker claims at once and runs side by side on its connection.
BATCH_SIZES = {"drain": 20, "steps": 2, "latency": 1}
POLL_SECONDS = 0.002
LOOK_SECONDS = 0.001
FILLER = "." * (PAYLOAD_BYTES - 10)


class Peer:
    """Connections, and what was called."""

    def __init__(self, url: str, clients: list[Any]) -> None:
        self.url = url
        self.clients = clients
        self.calls: Counter[tuple[int, int]] = Counter()
        self.first_call: float | None = None
        self.returned: dict[int, asyncio.Event] = {}

    def note(self, number: int, step: int) -> None:
        """A handler, or a step of it, was called."""
        if self.first_call is None:
            self.first_call = time.perf_counter()
        self.calls[number, step] += 1

    async def job(self, said: dict[str, Any], _context: object) -> int:
        """A task without steps."""
        number: int = said["number"]
        self.note(number, 0)
        if number in self.returned:
            self.returned[number].set()
        return number

    async def steps(self, said: dict[str, Any], context: AsyncTaskContext) -> int:
        """A task of ten steps."""
        number: int = said["number"]
        for step in range(STEPS_PER_RUN):

            async def work(step: int = step) -> str:
                self.note(number, step)
                return FILLER

            await context.step(f"step-{step}", work)
        self.returned[number].set()
        return number

    async def spawn(self, number: int, task: str = "job") -> str:
        """One task, one call, on a connection that nobody else uses meanwhile."""
        client = self.clients.pop()
        try:
            said = await client.spawn(task, {"number": number, "filler": FILLER}, queue="work")
            return str(said["task_id"])
        finally:
            self.clients.append(client)

    async def result(self, number: int, task_id: str) -> object:
        """What a task returned, as its row has it."""
        await self.returned[number].wait()
        client = self.clients.pop()
        try:
            while True:
                snapshot = await client.fetch_task_result(task_id, "work")
                if snapshot is not None and snapshot.state != "running":
                    return snapshot.result
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.clients.append(client)

    @contextlib.asynccontextmanager
    async def working(self, batch_size: int, count: int = WORKERS) -> AsyncIterator[None]:
        """Workers for as long as the context lasts."""
        whole = asyncio.current_task()

        def stop(_task: object) -> None:
            # Without a worker the work would never end.
            if whole is not None:
                whole.cancel()

        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            workers = [AsyncAbsurd(self.url, "work") for _ in range(count)]
            running = []
            for number, worker in enumerate(workers):
                stack.push_async_callback(worker.close)
                worker.register_task("job")(self.job)
                worker.register_task("steps")(self.steps)
                work = worker.start_worker(
                    f"worker-{number}", concurrency=batch_size, poll_interval=POLL_SECONDS
                )
                running.append(group.create_task(work))
                running[-1].add_done_callback(stop)
            yield
            for task, worker in zip(running, workers, strict=True):
                task.remove_done_callback(stop)
                worker.stop_worker()

    async def counts(self) -> dict[str, int]:
        """How many tasks there are in each state."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            rows = await connection.execute("SELECT state, count(*) FROM absurd.t_work GROUP BY 1")
            return dict(await rows.fetchall())

    async def wait_for(self, count: int) -> None:
        """Until so many tasks are completed."""
        while (await self.counts()).get("completed", 0) < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def enqueue(said: Arguments, peer: Peer) -> None:
    """One call for each job."""
    warm = warm_up_count(said.count)
    await in_turns(range(warm), said.in_flight, peer.spawn)
    begin()
    start = time.perf_counter()
    await in_turns(range(warm, warm + said.count), said.in_flight, peer.spawn)
    seconds = time.perf_counter() - start
    check(await peer.counts(), {"pending": warm + said.count})
    end(said.count, seconds, f"{warm + said.count:,} tasks are pending")


async def drain(said: Arguments, peer: Peer) -> None:
    """Workers find all jobs there."""
    warm = warm_up_count(said.count)
    width = len(peer.clients)
    await in_turns(range(warm), width, peer.spawn)
    async with peer.working(BATCH_SIZES["drain"]):
        await peer.wait_for(warm)
    peer.calls.clear()
    peer.first_call = None
    await in_turns(range(said.count), width, peer.spawn)
    begin()
    async with peer.working(BATCH_SIZES["drain"]):
        while len(peer.calls) < said.count:  # noqa: ASYNC110 - a look costs nothing
            await asyncio.sleep(LOOK_SECONDS)
        await peer.wait_for(warm + said.count)
        ended = time.perf_counter()
        check(peer.calls, Counter((number, 0) for number in range(said.count)))
        text = f"{said.count:,} jobs called once, all tasks completed"
        end(said.count, ended - (peer.first_call or ended), text)


async def steps(said: Arguments, peer: Peer) -> None:
    """Runs of ten steps, or single jobs: also the workload `latency`."""
    task, step_count = ("steps", STEPS_PER_RUN) if said.workload == "steps" else ("job", 1)
    warm = warm_up_count(said.count)
    latencies: list[float] = []

    async def run(number: int) -> None:
        start = time.perf_counter()
        peer.returned[number] = asyncio.Event()
        check(await peer.result(number, await peer.spawn(number, task)), number)
        latencies.append(time.perf_counter() - start)

    worker_count = WORKERS if said.workload == "steps" else 1
    async with peer.working(BATCH_SIZES[said.workload], worker_count):
        await in_turns(range(warm), said.in_flight, run)
        latencies.clear()
        begin()
        start = time.perf_counter()
        await in_turns(range(warm, warm + said.count), said.in_flight, run)
        seconds = time.perf_counter() - start
        runs = warm + said.count
        check(peer.calls, Counter((run, step) for run in range(runs) for step in range(step_count)))
        check(await peer.counts(), {"completed": runs})
        text = f"{runs * step_count:,} steps called once, {runs:,} results equal to the input"
        end(said.count * step_count, seconds, text, latencies)


WORKLOADS = {"enqueue": enqueue, "drain": drain, "steps": steps, "latency": steps}


async def main(said: Arguments) -> None:
    """Makes the tables, then does one workload."""
    url = os.environ["PEER_POSTGRES"]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(absurdctl.BUNDLED_SCHEMA_SQL)
    # A caller that waits for a result needs its connection for a moment only, but all may at once.
    async with contextlib.AsyncExitStack() as stack:
        clients = [AsyncAbsurd(url, "work") for _ in range(max(said.in_flight, 16))]
        for client in clients:
            stack.push_async_callback(client.close)
        await clients[0].create_queue("work")
        await WORKLOADS[said.workload](said, Peer(url, clients))


if __name__ == "__main__":
    uvloop.run(main(arguments()))
