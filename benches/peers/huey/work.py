# mypy: disable-error-code="import-not-found, misc, no-any-unimported"
"""huey: callers in this process, the consumer in a child of it, one SQLite file between them."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benches.peers import protocol

RESULT_SECONDS_MAX = 60.0
POLL_SECONDS = 0.001

asked = protocol.arguments()
os.environ["HUEY_FILE"] = str(asked.directory / "jobs.db")

import tasks  # noqa: E402 - opens the file that was named above


def payloads(count: int) -> list[str]:
    """Payloads that tell one job from another."""
    return [f"{number:0{protocol.PAYLOAD_BYTES}d}" for number in range(count)]


class Consumer:
    """The child that consumes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.hear("ready")

    def consume(self, count: int) -> None:
        """Has it consume so many jobs."""
        if self.process.stdin is None:
            raise AssertionError
        self.process.stdin.write(f"consume {count}\n")
        self.process.stdin.flush()

    def hear(self, word: str) -> dict[str, Any]:
        """The next thing that it says, which must be this."""
        if self.process.stdout is None:
            raise AssertionError
        event: dict[str, Any] = json.loads(self.process.stdout.readline() or "{}")
        protocol.expect(word in event, f"the consumer said `{event}`, not `{word}`")
        return event


@contextlib.contextmanager
def consumer() -> Iterator[Consumer]:
    """A consumer for as long as the context lasts."""
    with subprocess.Popen(  # noqa: S603 - a program of this folder
        [sys.executable, str(Path(__file__).with_name("consumer.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Consumer(process)
        finally:
            process.kill()


def enqueue() -> None:
    """One call for each job, from threads."""
    work = payloads(asked.count)
    warm_up = work[: protocol.warm_up_count(asked.count)]
    with ThreadPoolExecutor(asked.in_flight) as threads:
        list(threads.map(tasks.job, warm_up))
        protocol.begin()
        start = time.perf_counter()
        ids = [result.id for result in threads.map(tasks.job, work)]
        seconds = time.perf_counter() - start
    pending = tasks.queue.pending_count() - len(warm_up)
    protocol.expect(pending == asked.count == len(set(ids)), f"{pending} jobs are pending")
    protocol.end(asked.count, seconds, f"{asked.count:,} distinct ids, as many jobs pending")


def drain() -> None:
    """The jobs are there; the consumer takes them all."""
    work = payloads(asked.count)
    warm_up = work[: protocol.warm_up_count(asked.count)]
    with consumer() as child:
        for payload in warm_up:
            tasks.job(payload)
        child.consume(len(warm_up))
        child.hear("done")
        for payload in work:
            tasks.job(payload)
        protocol.begin()
        child.consume(asked.count)
        done = child.hear("done")
        left = tasks.queue.pending_count()
        protocol.expect(done["distinct"] == asked.count and left == 0, f"{done}, {left} left")
        seconds = done["last_at"] - done["first_at"]
        protocol.end(asked.count, seconds, f"each of {asked.count:,} jobs seen once, none left")


def run_all(child: Consumer, work: list[str], width: int) -> tuple[list[float], list[str]]:
    """Chains in a closed loop; their latencies, and the ids of their last jobs."""
    started, latencies, ids = {}, [], []
    waiting = iter(work)
    for payload in itertools.islice(waiting, width):
        started[payload] = time.perf_counter()
        tasks.step(payload, 0)
    for _ in work:
        event = child.hear("run")
        latencies.append(time.perf_counter() - started[event["run"]])
        ids.append(event["id"])
        for payload in itertools.islice(waiting, 1):
            started[payload] = time.perf_counter()
            tasks.step(payload, 0)
    return latencies, ids


def steps() -> None:
    """Chains of ten jobs, each enqueued by the one before."""
    work = payloads(asked.count)
    warm_up = work[: protocol.warm_up_count(asked.count)]
    step_count = asked.count * protocol.STEPS_PER_RUN
    with consumer() as child:
        child.consume(len(warm_up) * protocol.STEPS_PER_RUN)
        run_all(child, warm_up, asked.in_flight)
        child.hear("done")
        child.consume(step_count)
        protocol.begin()
        start = time.perf_counter()
        latencies, ids = run_all(child, work, asked.in_flight)
        seconds = time.perf_counter() - start
        done = child.hear("done")
        results = sorted(tasks.queue.result(name) for name in ids)
        protocol.expect(results == work, "a result is not equal to its input")
        protocol.expect(done["distinct"] == step_count, f"{done['distinct']} steps ran")
        said = f"{asked.count:,} results equal to their input, {step_count:,} distinct steps ran"
        protocol.end(step_count, seconds, said, latencies)


def latency() -> None:
    """One job with its result after the other."""
    work, latencies = payloads(asked.count), []
    warm_up = work[: protocol.warm_up_count(asked.count)]
    with consumer() as child:
        child.consume(len(warm_up) + len(work))
        for payload in warm_up:
            result_of(payload)
        protocol.begin()
        begun = time.perf_counter()
        for payload in work:
            start = time.perf_counter()
            answer = result_of(payload)
            latencies.append(time.perf_counter() - start)
            protocol.expect(answer == payload, f"`{answer}` is not `{payload}`")
        seconds = time.perf_counter() - begun
        said = f"{asked.count:,} results equal to their input"
        protocol.end(asked.count, seconds, said, latencies)


def result_of(payload: str) -> str:
    """Enqueues a job and waits for its result, which is polled for."""
    answer: str = tasks.echo(payload).get(
        blocking=True, timeout=RESULT_SECONDS_MAX, max_delay=POLL_SECONDS, backoff=1.0
    )
    return answer


WORKLOADS = {"enqueue": enqueue, "drain": drain, "steps": steps, "latency": latency}

if __name__ == "__main__":
    WORKLOADS[asked.workload]()
