# mypy: disable-error-code="import-not-found"
"""Duroxide's workloads: threads that start orchestrations, and one runtime, all in one process.

A job is an orchestration of one activity, a run one of ten; the activity is the handler. An outcome
counts only when it was read back and equals the input.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from duroxide import (
    Client,
    OrchestrationContext,
    Runtime,
    RuntimeOptions,
    SqliteProvider,
    init_tracing,
)

from benches.peers.protocol import (
    PAYLOAD_BYTES,
    STEPS_PER_RUN,
    Arguments,
    arguments,
    begin,
    end,
    warm_up_count,
)

# Dispatchers for orchestrations, dispatchers for activities, and how often they look for work.
# SQLite lets one writer in; who finds it locked waits 200 ms and more. Of seven settings, tried
# once each on a busy machine, this was the best at draining, and near the best at runs of ten.
BUSY = RuntimeOptions(
    orchestration_concurrency=4, worker_concurrency=8, dispatcher_poll_interval_ms=5
)
LONE = RuntimeOptions(
    orchestration_concurrency=1, worker_concurrency=1, dispatcher_poll_interval_ms=1
)
OUTCOME_MS_MAX = 120_000
# The package's own wait looks less and less often; a lone run would mostly wait for that.
LONE_LOOK_SECONDS = 0.001
LOOK_SECONDS = 0.005


def payload(number: int) -> str:
    """64 characters that say which job or run this is."""
    return f"{number:010d}".ljust(PAYLOAD_BYTES, ".")


class Handler:
    """The activity: gives back what it got, and notes that it did."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.seen: list[str] = []

    def __call__(self, _context: object, content: str) -> str:
        """One step."""
        if not self.times:
            self.times.append(time.perf_counter())
        self.seen.append(content)
        return content


def orchestration(step_count: int) -> Callable[..., Generator[object, str, str]]:
    """One activity after the other; each gets the result of the one before."""

    def run(context: OrchestrationContext, content: str) -> Generator[object, str, str]:
        for _ in range(step_count):
            content = yield context.schedule_activity("step", content)
        return content

    return run


@contextmanager
def running(
    provider: SqliteProvider, options: RuntimeOptions, handler: Handler
) -> Iterator[Runtime]:
    """A runtime at work."""
    runtime = Runtime(provider, options)
    runtime.register_activity("step", handler)
    runtime.register_orchestration("one", orchestration(1))
    runtime.register_orchestration("ten", orchestration(STEPS_PER_RUN))
    runtime.start()
    try:
        yield runtime
    finally:
        runtime.shutdown(5_000)


def in_threads(numbers: range, width: int, call: Callable[[int], None]) -> None:
    """Calls once for each number, `width` at a time."""
    waiting = iter(numbers)

    def lane() -> None:
        while (number := next(waiting, None)) is not None:
            call(number)

    with ThreadPoolExecutor(width) as pool:
        for ended in [pool.submit(lane) for _ in range(width)]:
            ended.result()


def name_of(number: int) -> str:
    """The instance of a job or run."""
    return f"instance-{number}"


def check(found: object, wanted: object) -> None:
    """Ends the workload if something is not as it must be.

    Raises:
        SystemExit: It is not.
    """
    if found != wanted:
        message = f"found {found!r:.300}, wanted {wanted!r:.300}"
        raise SystemExit(message)


def enqueue(said: Arguments, provider: SqliteProvider) -> None:
    """Starts that nobody works on."""
    client = Client(provider)

    def call(number: int) -> None:
        client.start_orchestration(name_of(number), "one", payload(number))

    warm = warm_up_count(said.count)
    in_threads(range(warm), said.in_flight, call)
    begin()
    start = time.perf_counter()
    in_threads(range(warm, warm + said.count), said.in_flight, call)
    seconds = time.perf_counter() - start
    end(said.count, seconds, f"{warm + said.count:,} starts wait in the database")
    check(client.get_queue_depths().orchestrator_queue, warm + said.count)


def drain(said: Arguments, provider: SqliteProvider) -> None:
    """A runtime finds all starts there; ends when all orchestrations have completed."""
    client = Client(provider)

    def work(numbers: range) -> float:
        for number in numbers:
            client.start_orchestration(name_of(number), "one", payload(number))
        if numbers.start:
            begin()
        handler = Handler()
        with running(provider, BUSY, handler) as runtime:
            while runtime.metrics_snapshot().orch_completions < len(numbers):
                time.sleep(LOOK_SECONDS)
            ended = time.perf_counter()
        check(set(handler.seen), {payload(number) for number in numbers})
        return ended - handler.times[0]

    warm = warm_up_count(said.count)
    work(range(warm))
    seconds = work(range(warm, warm + said.count))
    end(said.count, seconds, f"{said.count:,} payloads handled, all results equal to them")
    for number in range(warm + said.count):
        status = client.get_status(name_of(number))
        check((status.status, status.output), ("Completed", payload(number)))


def runs(said: Arguments, provider: SqliteProvider) -> None:
    """Orchestrations of ten activities, or of one: also the workload `latency`."""
    is_lone = said.workload == "latency"
    name, step_count = ("one", 1) if is_lone else ("ten", STEPS_PER_RUN)
    client, handler = Client(provider), Handler()
    latencies: list[float] = []

    def run(number: int) -> None:
        start = time.perf_counter()
        client.start_orchestration(name_of(number), name, payload(number))
        if is_lone:
            while client.get_status(name_of(number)).status in {"NotFound", "Running"}:
                time.sleep(LONE_LOOK_SECONDS)
        outcome = client.wait_for_orchestration(name_of(number), OUTCOME_MS_MAX)
        latencies.append(time.perf_counter() - start)
        check((outcome.status, outcome.output), ("Completed", payload(number)))

    warm = warm_up_count(said.count)
    with running(provider, LONE if is_lone else BUSY, handler):
        in_threads(range(warm), said.in_flight, run)
        latencies.clear()
        begin()
        start = time.perf_counter()
        in_threads(range(warm, warm + said.count), said.in_flight, run)
        seconds = time.perf_counter() - start
        text = f"{said.count:,} results equal to inputs, {step_count} activity calls each"
        end(said.count * step_count, seconds, text, latencies)
    times = Counter(handler.seen)
    # At least: an activity whose outcome met a locked database may be called again.
    few = [content for content, count in times.items() if count < step_count]
    check((len(times), few), (warm + said.count, []))


WORKLOADS = {"enqueue": enqueue, "drain": drain, "steps": runs, "latency": runs}


def main() -> None:
    """Opens the database, then does one workload."""
    # Warnings about the locked database would cost more than the work.
    init_tracing(os.devnull, "error")
    said = arguments()
    WORKLOADS[said.workload](said, SqliteProvider.open(str(said.directory / "duroxide.db")))


if __name__ == "__main__":
    main()
