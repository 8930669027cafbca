"""taquba: the wheel that is installed in this Python, on a local disk with fsync.

One process holds the engine, the callers and the worker, as README and docs have it: there is no
server that would be another one.
"""

import asyncio
import time

from benches.peers import protocol
from taquba import Claim, OpenOptions, Queue, run_worker
from taquba.workflow import RunSpec, Step, StepOutcome, TerminalStatus, WorkflowRuntime

QUEUE = "bench"
WARM_UP = "warm-up"
BATCH = protocol.BATCH_COUNT


def payloads(count: int) -> list[bytes]:
    """Payloads that tell one job from another."""
    return [b"%0*d" % (protocol.PAYLOAD_BYTES, number) for number in range(count)]


async def pending_count(queue: Queue, name: str) -> int:
    """Jobs that wait."""
    return (await queue.stats()).queues[name].pending_count


async def enqueue(queue: Queue, asked: protocol.Arguments) -> None:
    """One call for each job, so many callers at a time."""
    ids: list[str] = []

    async def one(payload: bytes) -> None:
        ids.append(await queue.enqueue(QUEUE, payload))

    async def warm_up(payload: bytes) -> None:
        await queue.enqueue(WARM_UP, payload)

    work = payloads(asked.count)
    await protocol.in_turns(
        iter(work[: protocol.warm_up_count(asked.count)]), asked.in_flight, warm_up
    )
    protocol.begin()
    start = time.perf_counter()
    await protocol.in_turns(iter(work), asked.in_flight, one)
    seconds = time.perf_counter() - start
    protocol.expect(len(set(ids)) == asked.count, "ids are missing")
    protocol.expect(await pending_count(queue, QUEUE) == asked.count, "jobs are missing")
    protocol.end(asked.count, seconds, f"{asked.count:,} distinct ids, as many jobs pending")


async def fill(queue: Queue, name: str, work: list[bytes]) -> None:
    """Enqueues in batches, one after the other."""
    for first in range(0, len(work), BATCH):
        await queue.enqueue_batch(name, work[first : first + BATCH])


async def enqueue_batch(queue: Queue, asked: protocol.Arguments) -> None:
    """Batches of 1,000, one caller."""
    work = payloads(asked.count)
    await fill(queue, WARM_UP, work[: protocol.warm_up_count(asked.count)])
    protocol.begin()
    start = time.perf_counter()
    await fill(queue, QUEUE, work)
    seconds = time.perf_counter() - start
    protocol.expect(await pending_count(queue, QUEUE) == asked.count, "jobs are missing")
    protocol.end(asked.count, seconds, f"{asked.count:,} jobs pending")


class Collector:
    """A worker that does nothing but remember what it got, and stops the loop after the last."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seen: list[bytes] = []
        self.started = 0.0
        self.shutdown = asyncio.Event()

    async def process(self, job: Claim) -> None:
        """Takes one job."""
        if not self.seen:
            self.started = time.perf_counter()
        self.seen.append(job.payload)
        if len(self.seen) >= self.count:
            self.shutdown.set()


async def work_off(queue: Queue, name: str, count: int, width: int) -> Collector:
    """Runs a worker until so many jobs are done and their acks are durable."""
    worker = Collector(count)
    await run_worker(queue, name, worker, concurrency=width, shutdown=worker.shutdown)
    return worker


async def drain(queue: Queue, asked: protocol.Arguments) -> None:
    """The jobs are there; a worker takes and acknowledges them."""
    work = payloads(asked.count)
    warm_up = work[: protocol.warm_up_count(asked.count)]
    await fill(queue, WARM_UP, warm_up)
    await work_off(queue, WARM_UP, len(warm_up), asked.in_flight)
    await fill(queue, QUEUE, work)
    protocol.begin()
    worker = await work_off(queue, QUEUE, asked.count, asked.in_flight)
    seconds = time.perf_counter() - worker.started
    protocol.expect(sorted(worker.seen) == work, "the worker did not see each job once")
    acked = (await queue.stats()).queues[QUEUE].acked_total
    protocol.expect(acked == asked.count, f"{acked} acks are durable")
    protocol.end(asked.count, seconds, f"each of {asked.count:,} jobs seen once, all acks durable")


class Steps:
    """A runner of no-op steps that counts them; each hands the payload on."""

    def __init__(self, step_count: int) -> None:
        self.last = step_count - 1
        self.called_count = 0

    async def run_step(self, step: Step) -> StepOutcome:
        """Does nothing, durably."""
        self.called_count += 1
        if step.step_number < self.last:
            return StepOutcome.Continue(step.payload)
        return StepOutcome.Succeed(step.payload)


async def run_all(
    runtime: WorkflowRuntime, work: list[bytes], width: int, latencies: list[float]
) -> int:
    """Runs in a closed loop; tells how many succeeded with their input as result."""
    equal_count = 0

    async def one(payload: bytes) -> None:
        nonlocal equal_count
        start = time.perf_counter()
        outcome = await (await runtime.submit(RunSpec(payload))).outcome()
        latencies.append(time.perf_counter() - start)
        is_good = outcome.status is TerminalStatus.Succeeded
        equal_count += is_good and outcome.result == payload

    await protocol.in_turns(iter(work), width, one)
    return equal_count


async def runs(queue: Queue, asked: protocol.Arguments, step_count: int) -> None:
    """Runs of some steps, so many in flight."""
    work, latencies = payloads(asked.count), list[float]()
    runner = Steps(step_count)
    async with WorkflowRuntime(queue, runner, concurrency=max(64, asked.in_flight)) as runtime:
        await run_all(runtime, work[: protocol.warm_up_count(asked.count)], asked.in_flight, [])
        runner.called_count = 0
        protocol.begin()
        start = time.perf_counter()
        equal_count = await run_all(runtime, work, asked.in_flight, latencies)
        seconds = time.perf_counter() - start
    protocol.expect(equal_count == asked.count, f"{equal_count} results equal to their input")
    done_count = asked.count * step_count
    protocol.expect(runner.called_count == done_count, f"{runner.called_count} steps ran")
    said = f"{asked.count:,} results equal to their input, {done_count:,} steps ran"
    protocol.end(done_count, seconds, said, latencies)


async def main() -> None:
    """Opens the store and does one workload."""
    asked = protocol.arguments()
    async with Queue.open(asked.directory, options=OpenOptions(fsync=True)) as queue:
        if asked.workload == "enqueue":
            await enqueue(queue, asked)
        elif asked.workload == "enqueue_batch":
            await enqueue_batch(queue, asked)
        elif asked.workload == "drain":
            await drain(queue, asked)
        elif asked.workload == "steps":
            await runs(queue, asked, protocol.STEPS_PER_RUN)
        else:
            await runs(queue, asked, 1)


if __name__ == "__main__":
    asyncio.run(main())
