# mypy: disable-error-code="import-not-found, import-untyped"
"""Temporal's workloads: one dev server on a SQLite file; client and worker are in this process.

A job is a standalone activity, a run a workflow whose steps are activities; a run ends when the
caller has its result.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator

import uvloop
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import PollerBehaviorSimpleMaximum, UnsandboxedWorkflowRunner, Worker

from benches.peers.protocol import (
    PAYLOAD_BYTES,
    Arguments,
    arguments,
    begin,
    check,
    end,
    in_turns,
    warm_up_count,
)
from benches.peers.servers import free_port
from benches.peers.temporal.flows import RUN_STEPS, TIMEOUT, Handler, Run

QUEUE = "bench"
START_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.05
# With its write-ahead log SQLite made runs more than twice as fast as with its default journal;
# 2 is FULL: a sync at each commit.
PRAGMAS = ("journal_mode=wal", "synchronous=2")
# The default is 5. Of 5, 16 and 32, tried twice on a busy machine, 32 was the fastest for runs.
POLLERS = PollerBehaviorSimpleMaximum(maximum=32)


def payload(number: int) -> str:
    """64 characters that say which job or run this is."""
    return f"{number:010d}".ljust(PAYLOAD_BYTES, ".")


def worker(client: Client, handler: Handler) -> Worker:
    """A worker that is not running yet, with room for everything that may be in flight."""
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=[Run],
        activities=[handler.step],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=4_000,
        max_concurrent_workflow_tasks=500,
        max_concurrent_activities=500,
        workflow_task_poller_behavior=POLLERS,
        activity_task_poller_behavior=POLLERS,
    )


async def fill(client: Client, numbers: range, width: int) -> None:
    """One standalone activity for each number."""

    async def call(number: int) -> None:
        await client.start_activity(
            "step",
            payload(number),
            id=f"job-{number}",
            task_queue=QUEUE,
            start_to_close_timeout=TIMEOUT,
        )

    await in_turns(numbers, width, call)


async def until_counted(client: Client, status: str, wanted: int) -> None:
    """The server counts its standalone activities with some delay."""
    query = f"ExecutionStatus = '{status}'"
    async with asyncio.timeout(START_SECONDS_MAX):
        while (await client.count_activities(query)).count != wanted:  # noqa: ASYNC110 - a server
            await asyncio.sleep(LOOK_SECONDS)


async def enqueue(said: Arguments, client: Client) -> None:
    """One call for each job."""
    warm = warm_up_count(said.count)
    await fill(client, range(warm), said.in_flight)
    begin()
    start = time.perf_counter()
    await fill(client, range(warm, warm + said.count), said.in_flight)
    seconds = time.perf_counter() - start
    end(said.count, seconds, f"the server counts {warm + said.count:,} activities that wait")
    await until_counted(client, "Running", warm + said.count)


async def drain(said: Arguments, client: Client) -> None:
    """A worker finds all jobs there; ends when the last was handled."""
    warm = warm_up_count(said.count)

    async def work(numbers: range) -> float:
        await fill(client, numbers, said.in_flight)
        if numbers.start:
            begin()
        handler = Handler()
        async with worker(client, handler):
            await until_handled(handler, len(numbers))
            seconds = time.perf_counter() - handler.first[0]
            check(set(handler.seen), {payload(number) for number in numbers})
            if numbers.start:
                text = f"{said.count:,} payloads handled, as many activities completed"
                end(said.count, seconds, text)
            await until_counted(client, "Completed", numbers.stop)
        return seconds

    await work(range(warm))
    await work(range(warm, warm + said.count))


async def until_handled(handler: Handler, count: int) -> None:
    """Ends when the handler was called that often."""
    while len(handler.seen) < count:  # noqa: ASYNC110 - looking costs less than an event for each
        await asyncio.sleep(LOOK_SECONDS / 10)


async def runs(said: Arguments, client: Client) -> None:
    """Workflows of ten activities, or of one: also the workload `latency`."""
    step_count = RUN_STEPS[said.workload]
    latencies: list[float] = []

    async def run(number: int) -> None:
        start = time.perf_counter()
        result = await client.execute_workflow(
            Run.run,
            args=[payload(number), step_count],
            id=f"run-{number}",
            task_queue=QUEUE,
            request_eager_start=True,
        )
        latencies.append(time.perf_counter() - start)
        check(result, payload(number))

    warm = warm_up_count(said.count)
    handler = Handler()
    async with worker(client, handler):
        await in_turns(range(warm), said.in_flight, run)
        latencies.clear()
        begin()
        start = time.perf_counter()
        await in_turns(range(warm, warm + said.count), said.in_flight, run)
        seconds = time.perf_counter() - start
        text = f"{said.count:,} results equal to inputs, {step_count} activity calls each"
        end(said.count * step_count, seconds, text, latencies)
    times = Counter(handler.seen)
    check((len(times), min(times.values()) >= step_count), (warm + said.count, True))


@contextlib.asynccontextmanager
async def connected(said: Arguments) -> AsyncIterator[Client]:
    """A client of a dev server with a database of its own."""
    port = free_port()
    program = f"{os.environ['PEER_CACHE']}/devserver"
    database = str(said.directory / "temporal.db")
    process = await asyncio.create_subprocess_exec(
        program, str(port), database, *PRAGMAS, stdin=asyncio.subprocess.DEVNULL, stdout=2
    )
    try:
        yield await _connect(f"127.0.0.1:{port}")
    finally:
        # What it has in memory is of no use any more.
        process.kill()
        await process.wait()


async def _connect(address: str) -> Client:
    async with asyncio.timeout(START_SECONDS_MAX):
        while True:
            with contextlib.suppress(RPCError, RuntimeError):
                client = await Client.connect(address)
                await client.count_workflows("")
                return client
            await asyncio.sleep(LOOK_SECONDS)


WORKLOADS = {"enqueue": enqueue, "drain": drain, "steps": runs, "latency": runs}


async def main(said: Arguments) -> None:
    """Starts the server, then does one workload."""
    async with connected(said) as client:
        await WORKLOADS[said.workload](said, client)


if __name__ == "__main__":
    uvloop.run(main(arguments()))
