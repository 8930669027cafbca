# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator, misc"
"""Taskito's workloads: one process that enqueues, and works in threads.

A job counts as finished when the database has it among the complete ones; a run, when Taskito
says so.
"""

import concurrent.futures
import contextlib
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from taskito import Queue
from taskito.events import EventType
from taskito.workflows import Workflow

from benches.peers.protocol import (
    BATCH_COUNT,
    PAYLOAD_BYTES,
    STEPS_PER_RUN,
    Arguments,
    arguments,
    begin,
    check,
    end,
    warm_up_count,
)

THREADS = 8
# Jobs that the scheduler claims in one transaction.
BATCH_SIZE = 30
POLL_MS = 1
LOOK_SECONDS = 0.002
FILLER = "." * (PAYLOAD_BYTES - 10)
# Steps of one run have adjacent numbers.
STRIDE = 16
QUEUE = "work"


class Peer:
    """The queue, its one task, and what was called."""

    def __init__(self, said: Arguments) -> None:
        self.queue = Queue(
            db_path=str(said.directory / "work.db"),
            workers=THREADS,
            scheduler_poll_interval_ms=POLL_MS,
            scheduler_batch_size=BATCH_SIZE,
            push_dispatch=True,
        )
        self.calls: list[tuple[float, int]] = []
        self.task = self.queue.task(name="work", queue=QUEUE)(self._work)

    def _work(self, number: int, _filler: str) -> int:
        self.calls.append((time.perf_counter(), number))
        return number

    def enqueue(self, number: int) -> None:
        """One job, one call."""
        self.task.delay(number, FILLER)

    def fill(self, numbers: range) -> None:
        """Batches of jobs."""
        for first in range(numbers.start, numbers.stop, BATCH_COUNT):
            batch = range(first, min(first + BATCH_COUNT, numbers.stop))
            self.queue.enqueue_many("work", [(n, FILLER) for n in batch], queue=QUEUE)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """A worker for as long as the context lasts."""
        worker = threading.Thread(target=self.queue.run_worker, args=([QUEUE],))
        worker.start()
        try:
            yield
        finally:
            self.queue.shutdown()
            worker.join()

    def wait_for(self, call_count: int, complete_count: int) -> None:
        """Until there were so many calls and the database has so many complete jobs."""
        while len(self.calls) < call_count:
            time.sleep(LOOK_SECONDS)
        while self.queue.stats()["completed"] < complete_count:
            time.sleep(LOOK_SECONDS)

    def waiting_count(self) -> int:
        """Jobs that no worker has taken."""
        return int(self.queue.stats()["pending"])


def in_turns(numbers: range, width: int, call: Callable[[int], object]) -> None:
    """Calls once for each number, in `width` threads."""
    waiting = iter(numbers)

    def caller() -> None:
        while (number := next(waiting, None)) is not None:
            call(number)

    with concurrent.futures.ThreadPoolExecutor(width) as pool:
        for future in [pool.submit(caller) for _ in range(width)]:
            future.result()


def told() -> None:
    """Says `begin`; the banner of a worker goes elsewhere."""
    with contextlib.redirect_stdout(sys.__stdout__):
        begin()


def finish(count: int, seconds: float, text: str, latencies: Sequence[float] = ()) -> None:
    """Says `end`, while the worker is there: its memory is a part of the result."""
    with contextlib.redirect_stdout(sys.__stdout__):
        end(count, seconds, text, latencies)


def enqueue(said: Arguments, peer: Peer) -> None:
    """One call for each job, or for each thousand."""
    warm = warm_up_count(said.count)

    def call(numbers: range) -> None:
        if said.workload == "enqueue_batch":
            peer.fill(numbers)
        else:
            in_turns(numbers, said.in_flight, peer.enqueue)

    call(range(warm))
    told()
    start = time.perf_counter()
    call(range(warm, warm + said.count))
    seconds = time.perf_counter() - start
    check(peer.waiting_count(), warm + said.count)
    finish(said.count, seconds, f"{warm + said.count:,} jobs wait in the table")


def drain(said: Arguments, peer: Peer) -> None:
    """A worker finds all jobs there."""
    warm = warm_up_count(said.count)
    peer.fill(range(warm))
    with peer.working():
        peer.wait_for(warm, warm)
    peer.calls.clear()
    peer.fill(range(said.count))
    told()
    with peer.working():
        peer.wait_for(said.count, warm + said.count)
        ended = time.perf_counter()
        check(sorted(number for _, number in peer.calls), list(range(said.count)))
        check(peer.waiting_count(), 0)
        text = f"{said.count:,} jobs called once, all complete, none waits"
        finish(said.count, ended - min(start for start, _ in peer.calls), text)


class Runs:
    """Workflows of ten steps."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.latencies: list[float] = []
        self.ended = threading.Condition()
        self.completed: set[str] = set()
        peer.queue.on_event(EventType.WORKFLOW_COMPLETED, self._on_completed)

    def _on_completed(self, _event: object, said: dict[str, str]) -> None:
        with self.ended:
            self.completed.add(said["run_id"])
            self.ended.notify()

    def start(self, number: int) -> str:
        """Submits one run; returns its id."""
        workflow = Workflow(f"run-{number}")
        for step in range(STEPS_PER_RUN):
            after = f"step-{step - 1}" if step > 0 else None
            arguments_ = (number * STRIDE + step, FILLER)
            workflow.step(f"step-{step}", self.peer.task, after=after, args=arguments_, queue=QUEUE)
        return str(self.peer.queue.submit_workflow(workflow).id)

    def run(self, numbers: range, width: int) -> None:
        """Runs, `width` at a time."""
        waiting = iter(numbers)
        starts: dict[str, float] = {}

        def start_next() -> None:
            if (number := next(waiting, None)) is not None:
                start = time.perf_counter()
                starts[self.start(number)] = start

        for _ in range(width):
            start_next()
        while starts:
            with self.ended:
                self.ended.wait_for(lambda: self.completed)
                completed, self.completed = self.completed, set()
            now = time.perf_counter()
            # Taskito may tell of one end twice.
            for run in completed & starts.keys():
                self.latencies.append(now - starts.pop(run))
                start_next()


def steps(said: Arguments, peer: Peer) -> None:
    """Workflows of ten steps, each a job."""
    warm = warm_up_count(said.count)
    runs = Runs(peer)
    with peer.working():
        runs.run(range(warm), said.in_flight)
        runs.latencies.clear()
        told()
        start = time.perf_counter()
        runs.run(range(warm, warm + said.count), said.in_flight)
        seconds = time.perf_counter() - start
        total = (warm + said.count) * STEPS_PER_RUN
        peer.wait_for(total, total)
        called = Counter(divmod(number, STRIDE) for _, number in peer.calls)
        wanted = {(run, step) for run in range(warm + said.count) for step in range(STEPS_PER_RUN)}
        check((called.keys() == wanted, called.total()), (True, total))
        text = f"{total:,} steps called once, all complete, {warm + said.count:,} runs completed"
        finish(said.count * STEPS_PER_RUN, seconds, text, runs.latencies)


def latency(said: Arguments, peer: Peer) -> None:
    """One job after the other, with its result."""
    warm = warm_up_count(said.count)
    latencies = []
    with peer.working():
        for number in range(warm + said.count):
            if number == warm:
                told()
            start = time.perf_counter()
            job = peer.task.delay(number, FILLER)
            result = job.result(timeout=60, poll_interval=0.001, max_poll_interval=0.001)
            latencies.append(time.perf_counter() - start)
            check(result, number)
        text = f"{said.count:,} results equal to the input"
        finish(said.count, sum(latencies[warm:]), text, latencies[warm:])


WORKLOADS = {
    "enqueue": enqueue,
    "enqueue_batch": enqueue,
    "drain": drain,
    "steps": steps,
    "latency": latency,
}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    SAID = arguments()
    with contextlib.redirect_stdout(sys.stderr):
        WORKLOADS[SAID.workload](SAID, Peer(SAID))
