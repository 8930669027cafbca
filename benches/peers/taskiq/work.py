# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator, misc"
"""Taskiq's workloads: one process that enqueues to a Redis stream, and works on it.

A drain has ended when no entry of the stream is unacknowledged; a chain, when the result of its
last job is in Redis.
"""

import asyncio
import contextlib
import logging
import os
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from redis.asyncio import Redis
from taskiq import TaskiqMiddleware, TaskiqResult
from taskiq.api import run_receiver_task
from taskiq.exceptions import NoResultError
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

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

STREAM, WARM_STREAM, GROUP = "work", "warm", "workers"
POOL_SIZE = 64
CONCURRENCY = 100
FETCH_COUNT = 100
LOOK_SECONDS = 0.002
STOP_SECONDS = 1.0
FILLER = "." * (PAYLOAD_BYTES - 20)


class Saved(TaskiqMiddleware):
    """Tells of results that are in Redis."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[int, asyncio.Future[None]] = {}

    def post_save(self, _message: object, result: TaskiqResult[object]) -> None:
        """A result was saved."""
        ended = self.ends.pop(result.return_value, None)
        if ended is not None:
            ended.set_result(None)


class Peer:
    """The broker, its tasks, and what was called."""

    def __init__(self, url: str, stream: str) -> None:
        self.stream = stream
        self.redis = Redis.from_url(url)
        self.saved = Saved()
        results: Any = RedisAsyncResultBackend(
            url, max_connection_pool_size=POOL_SIZE, serializer=ORJSONSerializer()
        )
        self.broker = RedisStreamBroker(
            url,
            queue_name=stream,
            consumer_group_name=GROUP,
            # From the first entry on: jobs may be there before the worker.
            consumer_id="0",
            xread_count=FETCH_COUNT,
            max_connection_pool_size=POOL_SIZE,
        )
        self.broker = self.broker.with_result_backend(results).with_middlewares(self.saved)
        self.broker = self.broker.with_serializer(ORJSONSerializer())
        self.calls: Counter[tuple[int, int]] = Counter()
        self.first_call: float | None = None
        self._make_tasks()

    def note(self, number: int, step: int) -> None:
        """A handler was called."""
        if self.first_call is None:
            self.first_call = time.perf_counter()
        self.calls[number, step] += 1

    def _make_tasks(self) -> None:
        @self.broker.task(task_name="job")
        async def job(number: int, _filler: str) -> None:
            self.note(number, 0)
            raise NoResultError

        @self.broker.task(task_name="step")
        async def step(number: int, index: int, filler: str) -> None:
            self.note(number, index)
            following = step if index + 2 < STEPS_PER_RUN else outcome
            await following.kiq(number, index + 1, filler)
            raise NoResultError

        @self.broker.task(task_name="outcome")
        async def outcome(number: int, index: int, _filler: str) -> int:
            self.note(number, index)
            return number

        self.job, self.step, self.outcome = job, step, outcome

    async def enqueue(self, number: int) -> None:
        """One job, one call."""
        await self.job.kiq(number, FILLER)

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A worker for as long as the context lasts."""
        whole = asyncio.current_task()

        def stop(task: asyncio.Task[None]) -> None:
            # Without a worker the work would never end.
            if not task.cancelled() and (error := task.exception()) is not None:
                traceback.print_exception(error)
            if whole is not None:
                whole.cancel()

        task = asyncio.create_task(
            run_receiver_task(
                self.broker,
                validate_params=False,
                max_async_tasks=CONCURRENCY,
                max_prefetch=CONCURRENCY,
            )
        )
        task.add_done_callback(stop)
        yield
        task.remove_done_callback(stop)
        task.cancel()
        # About one in ten forgets that it was cancelled; the end of the process ends it then.
        await asyncio.wait({task}, timeout=STOP_SECONDS)

    async def unacknowledged_count(self) -> int:
        """Entries that a worker has and that are not acknowledged."""
        return int((await self.redis.xpending(self.stream, GROUP))["pending"])

    async def wait_for(self, count: int) -> None:
        """Until there were so many calls and all are acknowledged."""
        while (  # noqa: ASYNC110 - Redis tells nobody
            len(self.calls) < count or await self.unacknowledged_count() > 0
        ):
            await asyncio.sleep(LOOK_SECONDS)


@contextlib.asynccontextmanager
async def started(stream: str) -> AsyncIterator[Peer]:
    """A broker for as long as the context lasts; its connections end with it."""
    peer = Peer(os.environ["PEER_REDIS"], stream)
    await peer.broker.startup()
    try:
        yield peer
    finally:
        await peer.broker.shutdown()
        await peer.redis.aclose()


async def enqueue(said: Arguments, peer: Peer) -> None:
    """One call for each job."""
    warm = warm_up_count(said.count)
    await in_turns(range(warm), said.in_flight, peer.enqueue)
    begin()
    start = time.perf_counter()
    await in_turns(range(warm, warm + said.count), said.in_flight, peer.enqueue)
    seconds = time.perf_counter() - start
    check(await peer.redis.xlen(STREAM), warm + said.count)
    end(said.count, seconds, f"the stream has {warm + said.count:,} entries")


async def drain(said: Arguments, peer: Peer) -> None:
    """A worker finds all jobs there."""
    warm = warm_up_count(said.count)
    # On a stream of its own: Redis may still hand jobs to the blocked read of a worker that was
    # stopped, and nobody else gets them before they have been idle for ten minutes.
    async with started(WARM_STREAM) as other:
        await in_turns(range(warm), said.in_flight, other.enqueue)
        async with other.working():
            await other.wait_for(warm)
    await in_turns(range(said.count), said.in_flight, peer.enqueue)
    begin()
    async with peer.working():
        await peer.wait_for(said.count)
        ended = time.perf_counter()
    check(peer.calls, Counter((number, 0) for number in range(said.count)))
    text = f"{said.count:,} jobs called once, none is unacknowledged"
    end(said.count, ended - (peer.first_call or ended), text)


async def steps(said: Arguments, peer: Peer) -> None:
    """Chains of ten jobs; the last one has a result."""
    warm = warm_up_count(said.count)
    latencies: list[float] = []

    async def run(number: int) -> None:
        start = time.perf_counter()
        ended = peer.saved.ends[number] = asyncio.get_running_loop().create_future()
        await peer.step.kiq(number, 0, FILLER)
        await ended
        latencies.append(time.perf_counter() - start)

    total = (warm + said.count) * STEPS_PER_RUN
    async with peer.working():
        await in_turns(range(warm), said.in_flight, run)
        latencies.clear()
        begin()
        start = time.perf_counter()
        await in_turns(range(warm, warm + said.count), said.in_flight, run)
        seconds = time.perf_counter() - start
        await peer.wait_for(total)
    check((len(peer.calls), peer.calls.total()), (total, total))
    text = f"{total:,} jobs called once, {warm + said.count:,} results saved"
    end(said.count * STEPS_PER_RUN, seconds, text, latencies)


async def latency(said: Arguments, peer: Peer) -> None:
    """One job after the other, with its result."""
    warm = warm_up_count(said.count)
    latencies = []
    async with peer.working():
        for number in range(warm + said.count):
            if number == warm:
                begin()
            start = time.perf_counter()
            job = await peer.outcome.kiq(number, 0, FILLER)
            result = await job.wait_result(check_interval=0.0005, timeout=60)
            latencies.append(time.perf_counter() - start)
            check(result.return_value, number)
    text = f"{said.count:,} results equal to the input"
    end(said.count, sum(latencies[warm:]), text, latencies[warm:])


WORKLOADS = {"enqueue": enqueue, "drain": drain, "steps": steps, "latency": latency}


async def main(said: Arguments) -> None:
    """Starts the broker, then does one workload."""
    async with started(STREAM) as peer:
        await WORKLOADS[said.workload](said, peer)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    uvloop.run(main(arguments()))
