"""What it costs to hand work over: one job a call, and batches."""

import time
from array import array
from functools import partial

from taquba import Queue
from taquba.bench._lab import Lab, in_lanes
from taquba.bench._latency import Latency
from taquba.bench._meter import Meter
from taquba.bench._result import Case, Round
from taquba.bench._scenario import Bars, Curves, Scenario
from taquba.bench._scenarios._by_hand import Shape, check_ids, claim_and_ack

# Claims of the check afterwards, which is not measured.
_CHECK_WIDTH = 1_000

# One caller waits for a commit at each call, so it gets fewer of them.
_SHAPES = (
    Shape(callers=1, full=4_000, quick=400),
    Shape(callers=64, full=50_000, quick=5_000),
    Shape(callers=512, full=100_000, quick=10_000),
    Shape(batch=64, full=100_000, quick=10_000),
    Shape(batch=1_000, full=200_000, quick=20_000),
)


async def measure(lab: Lab) -> list[Case]:
    """Measures each number of callers and each size of a batch."""
    cases = []
    for shape in _SHAPES:
        async with lab.open() as queue:
            rounds = await lab.rounds(partial(_round, lab, queue, shape))
        cases.append(Case(shape.name, "job", rounds))
    return cases


async def _round(lab: Lab, queue: Queue, shape: Shape, number: int) -> Round:
    name = f"round-{number}"
    count = lab.count(shape.full, shape.quick)
    seconds = array("d")
    job_ids: list[str] = []
    payloads = [lab.payload(number) for number in range(count)]

    async def enqueue(index: int) -> None:
        start = time.perf_counter()
        job_ids.append(await queue.enqueue(name, payloads[index]))
        seconds.append(time.perf_counter() - start)

    async def enqueue_batch(index: int) -> None:
        first = index * shape.batch
        start = time.perf_counter()
        job_ids.extend(await queue.enqueue_batch(name, payloads[first : first + shape.batch]))
        seconds.append(time.perf_counter() - start)

    call = enqueue if shape.batch == 1 else enqueue_batch
    async with Meter(queue) as meter:
        await in_lanes(shape.callers, -(-count // shape.batch), call, lab.round_seconds_max)
    check_ids(job_ids)
    # Each job is there once, with its payload.
    await claim_and_ack(queue, name, _CHECK_WIDTH, lab.seen(len(job_ids)))
    latencies = {"call": Latency.of(seconds)}
    return Round(count=len(job_ids), cost=meter.cost, latencies=latencies)


ENQUEUE = Scenario(
    name="enqueue",
    summary="one job a call from 1, 64 and 512 callers, then batches from one caller",
    measure=measure,
    columns=("per_second", "cpu_us_each", "puts_per_1000", "put_kib_per_1000"),
    panels=(Bars("per_second"), Bars("cpu_us_each"), Curves("time of a call")),
)
