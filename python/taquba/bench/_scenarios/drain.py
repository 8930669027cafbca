"""How fast a worker gets through a backlog."""

import asyncio
from functools import partial

from taquba import Claim, Queue, run_worker
from taquba.bench._lab import Lab, fill
from taquba.bench._meter import Meter
from taquba.bench._result import Case, Round
from taquba.bench._scenario import Bars, Scenario

# What a worker has at a time unless its user says otherwise.
_CONCURRENCY_DEFAULT = 64


async def measure(lab: Lab) -> list[Case]:
    """Measures `run_worker` with its default concurrency, and with all that may be in flight."""
    count = lab.count(100_000, 10_000)
    cases = []
    for concurrency in sorted({_CONCURRENCY_DEFAULT, lab.settings.in_flight}):
        async with lab.open() as queue:
            rounds = await lab.rounds(partial(_round, lab, queue, concurrency, count))
        cases.append(Case(f"{concurrency} in flight", "job", rounds))
    return cases


async def _round(lab: Lab, queue: Queue, concurrency: int, count: int, number: int) -> Round:
    name = f"round-{number}"
    await fill(queue, name, map(lab.payload, range(count)), lab.settings.payload_bytes)
    seen = lab.seen(count)
    done = asyncio.Event()

    async def work(job: Claim) -> None:
        seen.add(job.payload)
        if seen.is_complete:
            done.set()

    async with Meter(queue) as meter:
        await run_worker(queue, name, work, concurrency=concurrency, shutdown=done)
    seen.check()
    return Round(count=count, cost=meter.cost)


DRAIN = Scenario(
    name="drain",
    summary="waiting jobs through one run_worker",
    measure=measure,
    columns=("per_second", "cpu_us_each", "puts_per_1000", "put_kib_per_1000"),
    panels=(Bars("per_second"), Bars("cpu_us_each")),
)
