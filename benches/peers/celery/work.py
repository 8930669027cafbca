# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator, misc"
"""Celery's workloads: this process calls, a worker with two children works.

A drain has ended when every call was made and Redis holds neither a waiting nor an
unacknowledged job. `end` is said while the worker is there: its memory is a part of the result.
"""

import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import redis

from benches.peers.protocol import (
    STEPS_PER_RUN,
    Arguments,
    arguments,
    begin,
    check,
    end,
    warm_up_count,
)

LOOK_SECONDS = 0.002
QUEUE, WARM_QUEUE = "celery", "warm"
POOL = ["--pool", "prefork", "--concurrency", "2"]


class Marks:
    """The calls of tasks, in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.file.touch()
        self._from = 0

    def forget(self) -> None:
        """Only calls from now on count."""
        self._from = self.file.stat().st_size

    def wait_for(self, count: int, size: int) -> None:
        """Until there were so many calls."""
        while self.file.stat().st_size < self._from + count * size:
            time.sleep(LOOK_SECONDS)

    def read(self) -> list[tuple[float, int]]:
        """When each call began, and its number."""
        with self.file.open("rb") as file:
            file.seek(self._from)
            return list(tasks.MARK.iter_unpack(file.read()))


def in_turns(numbers: Iterable[int], width: int, call: Callable[[int], object]) -> None:
    """Calls once for each number, in `width` threads."""
    waiting = iter(numbers)

    def caller() -> None:
        while (number := next(waiting, None)) is not None:
            call(number)

    with concurrent.futures.ThreadPoolExecutor(width) as pool:
        for future in [pool.submit(caller) for _ in range(width)]:
            future.result()


@contextlib.contextmanager
def worker(queue: str) -> Iterator[None]:
    """A worker for as long as the context lasts."""
    command = [sys.executable, "-m", "celery", "--quiet", "--app", "benches.peers.celery.tasks"]
    command += ["worker", *POOL, "--queues", queue, "--loglevel", "CRITICAL"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with subprocess.Popen(command, stdout=sys.stderr) as process:  # noqa: S603 - our own tasks
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def enqueue(said: Arguments, client: redis.Redis, _marks: Marks) -> None:
    """One call for each job."""
    warm = warm_up_count(said.count)

    def call(number: int) -> None:
        tasks.work.apply_async((number, tasks.FILLER))

    in_turns(range(warm), said.in_flight, call)
    begin()
    start = time.perf_counter()
    in_turns(range(warm, warm + said.count), said.in_flight, call)
    seconds = time.perf_counter() - start
    check(client.llen(QUEUE), warm + said.count)
    end(said.count, seconds, f"{warm + said.count:,} jobs wait in the list")


def drain(said: Arguments, client: redis.Redis, marks: Marks) -> None:
    """A worker that has worked on another queue is told of a full one."""
    warm = warm_up_count(said.count)
    for number in range(said.count):
        tasks.work.apply_async((number, tasks.FILLER))
    with worker(WARM_QUEUE):
        for number in range(warm):
            tasks.work.apply_async((number, tasks.FILLER), queue=WARM_QUEUE)
        marks.wait_for(warm, tasks.MARK.size)
        marks.forget()
        check(client.llen(QUEUE), said.count)
        begin()
        tasks.app.control.add_consumer(QUEUE)
        marks.wait_for(said.count, tasks.MARK.size)
        while client.llen(QUEUE) + client.hlen("unacked") > 0:
            time.sleep(LOOK_SECONDS)
        ended = time.monotonic()
        calls = marks.read()
        check(sorted(number for _, number in calls), list(range(said.count)))
        text = f"{said.count:,} jobs called once, none waits or is unacknowledged"
        end(said.count, ended - min(start for start, _ in calls), text)


def start_run(number: int) -> None:
    """Enqueues the first step."""
    tasks.step.apply_async((number * tasks.STRIDE, STEPS_PER_RUN - 1, tasks.FILLER))


def in_flight(pubsub: redis.client.PubSub, numbers: range, width: int) -> list[float]:
    """Runs, `width` at a time; returns how long each took, in seconds."""
    waiting = iter(numbers)
    starts: dict[int, float] = {}
    latencies: list[float] = []

    def start_next() -> None:
        if (number := next(waiting, None)) is not None:
            starts[number] = time.perf_counter()
            start_run(number)

    for _ in range(width):
        start_next()
    while starts:
        message = pubsub.get_message(ignore_subscribe_messages=True, timeout=1.0)
        if message is None:
            continue
        said = json.loads(message["data"])
        check(said["status"], "SUCCESS")
        number, last = divmod(said["result"], tasks.STRIDE)
        check(last, STEPS_PER_RUN - 1)
        latencies.append(time.perf_counter() - starts.pop(number))
        start_next()
    return latencies


def steps(said: Arguments, client: redis.Redis, marks: Marks) -> None:
    """Chains of ten jobs; their ends come by the channels where Celery publishes results."""
    warm = warm_up_count(said.count)
    with worker(QUEUE), client.pubsub() as pubsub:
        pubsub.psubscribe("celery-task-meta-*")
        in_flight(pubsub, range(warm), said.in_flight)
        marks.forget()
        begin()
        start = time.perf_counter()
        latencies = in_flight(pubsub, range(warm, warm + said.count), said.in_flight)
        seconds = time.perf_counter() - start
        called = Counter(divmod(number, tasks.STRIDE) for _, number in marks.read())
        wanted = {(run, i) for run in range(warm, warm + said.count) for i in range(STEPS_PER_RUN)}
        check((called.keys() == wanted, called.total()), (True, len(wanted)))
        text = f"{len(wanted):,} jobs called once, {said.count:,} results equal to the run"
        end(len(wanted), seconds, text, latencies)


def latency(said: Arguments, _client: redis.Redis, _marks: Marks) -> None:
    """One job after the other, with its result."""
    warm = warm_up_count(said.count)
    latencies = []
    with worker(QUEUE):
        for number in range(warm + said.count):
            if number == warm:
                begin()
            start = time.perf_counter()
            result = tasks.outcome.apply_async((number, tasks.FILLER)).get(timeout=60)
            latencies.append(time.perf_counter() - start)
            check(result, number)
        seconds = sum(latencies[warm:])
        end(said.count, seconds, f"{said.count:,} results equal to the input", latencies[warm:])


WORKLOADS = {"enqueue": enqueue, "drain": drain, "steps": steps, "latency": latency}


def main(said: Arguments) -> None:
    """Does one workload."""
    marks = Marks(Path(os.environ["PEER_MARKS"]))
    with redis.Redis.from_url(os.environ["PEER_REDIS"]) as client:
        WORKLOADS[said.workload](said, client, marks)


if __name__ == "__main__":
    SAID = arguments()
    os.environ["PEER_MARKS"] = str(SAID.directory / "marks")
    from benches.peers.celery import tasks

    main(SAID)
