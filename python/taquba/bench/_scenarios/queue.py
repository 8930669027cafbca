"""What one job costs from end to end: enqueue, claim, ack."""

from functools import partial

from taquba import Queue
from taquba.bench._lab import Lab, in_lanes
from taquba.bench._meter import Meter
from taquba.bench._result import Case, Round
from taquba.bench._scenario import Bars, Scenario
from taquba.bench._scenarios._by_hand import Shape, check_ids, claim_and_ack

_BATCH = 1_000


async def measure(lab: Lab) -> list[Case]:
    """Measures one job at a time, many callers, and batches."""
    cases = []
    for shape in (
        Shape(callers=1, full=1_000, quick=200),
        Shape(callers=64, full=10_000, quick=5_000),
        Shape(callers=lab.settings.in_flight, full=50_000, quick=10_000),
        Shape(callers=_BATCH, batch=_BATCH, full=100_000, quick=20_000),
    ):
        async with lab.open() as queue:
            rounds = await lab.rounds(partial(_round, lab, queue, shape))
        cases.append(Case(shape.name, "job", rounds))
    return cases


async def _round(lab: Lab, queue: Queue, shape: Shape, number: int) -> Round:
    """Enqueues all jobs, then claims and acks as many at a time as there are callers."""
    name = f"round-{number}"
    count = lab.count(shape.full, shape.quick)
    job_ids: list[str] = []

    async def call(index: int) -> None:
        first = index * shape.batch
        payloads = [lab.payload(each) for each in range(first, min(first + shape.batch, count))]
        job_ids.extend(await queue.enqueue_batch(name, payloads))

    async with Meter(queue) as meter:
        await in_lanes(shape.callers, -(-count // shape.batch), call, lab.round_seconds_max)
        await claim_and_ack(queue, name, shape.callers, lab.seen(len(job_ids)))
    check_ids(job_ids)
    return Round(count=len(job_ids), cost=meter.cost)


QUEUE = Scenario(
    name="queue",
    summary="enqueue, claim and ack together",
    measure=measure,
    columns=("per_second", "cpu_us_each", "puts_per_1000", "put_kib_per_1000"),
    panels=(Bars("per_second"), Bars("cpu_us_each"), Bars("puts_per_1000")),
)
