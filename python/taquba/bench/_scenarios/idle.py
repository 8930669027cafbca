"""What a queue costs that has little to do: one run at a time, and then none at all."""

import asyncio
import time
from array import array
from functools import partial

from taquba import Queue
from taquba.bench._lab import Lab, in_lanes
from taquba.bench._latency import Latency
from taquba.bench._meter import Meter
from taquba.bench._result import Case, NotDoneError, Round
from taquba.bench._scenario import Bars, Curves, Scenario
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime

_QUEUE = "alone"


async def measure(lab: Lab) -> list[Case]:
    """Measures one run after the other, one enqueue after the other, and silence."""
    count = lab.count(500, 100)

    async def succeed(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(step.payload)

    async with lab.open() as queue, WorkflowRuntime(queue, succeed) as runtime:
        runs = await lab.rounds(partial(_run_round, lab, queue, runtime, count))
        commits = await lab.rounds(partial(_commit_round, lab, queue, count))
        silence = await _silence(lab, queue)
    return [
        Case("one-step run", "run", runs),
        Case("enqueue", "job", commits),
        Case("left alone", "second", [silence]),
    ]


async def _run_round(
    lab: Lab, queue: Queue, runtime: WorkflowRuntime, count: int, _number: int
) -> Round:
    """From the submission to the outcome, one run at a time."""
    seconds = array("d")

    async def call(number: int) -> None:
        payload = lab.payload(number)
        start = time.perf_counter()
        handle = await runtime.submit(RunSpec(payload))
        outcome = await handle.outcome()
        seconds.append(time.perf_counter() - start)
        if outcome.result != payload:
            message = f"a run ended as {outcome.status}, or not with what it was given"
            raise NotDoneError(message)

    async with Meter(queue) as meter:
        made = await in_lanes(1, count, call, lab.round_seconds_max)
    return _one_by_one(made, meter, seconds)


async def _commit_round(lab: Lab, queue: Queue, count: int, number: int) -> Round:
    """A commit alone: one enqueue at a time, and nobody works on the jobs."""
    name = f"{_QUEUE}-{number}"
    seconds = array("d")

    async def call(index: int) -> None:
        start = time.perf_counter()
        await queue.enqueue(name, lab.payload(index))
        seconds.append(time.perf_counter() - start)

    async with Meter(queue) as meter:
        made = await in_lanes(1, count, call, lab.round_seconds_max)
    found = (await queue.stats()).queues[name].pending_count
    if found != made:
        message = f"{found} of {made} jobs are there"
        raise NotDoneError(message)
    return _one_by_one(made, meter, seconds)


def _one_by_one(made: int, meter: Meter, seconds: "array[float]") -> Round:
    extra = {"commits_each": meter.cost.counters["commit_count"] / made}
    latencies = {"call": Latency.of(seconds)}
    return Round(count=made, cost=meter.cost, latencies=latencies, extra=extra)


async def _silence(lab: Lab, queue: Queue) -> Round:
    """Nobody calls: what is left is what the queue does by itself."""
    seconds = lab.seconds(60.0, 10.0)
    # What the last calls have left to do is not the cost of silence.
    await asyncio.sleep(lab.seconds(5.0, 2.0))
    async with Meter(queue) as meter:
        await asyncio.sleep(seconds)
    cost = meter.cost
    minutes = cost.wall_seconds / 60
    extra = {"cpu_ms_per_second": cost.cpu_seconds / cost.wall_seconds * 1e3}
    for figure, counter in (
        ("puts_per_minute", "put_count"),
        ("gets_per_minute", "get_count"),
        ("lists_per_minute", "list_count"),
        ("deletes_per_minute", "delete_count"),
    ):
        if counter in cost.counters:
            extra[figure] = cost.counters[counter] / minutes
    return Round(count=max(1, round(seconds)), cost=cost, extra=extra)


IDLE = Scenario(
    name="idle",
    summary="one-step runs one at a time, a commit alone, then a queue left alone",
    measure=measure,
    columns=(
        "commits_each",
        "cpu_us_each",
        "cpu_ms_per_second",
        "puts_per_minute",
        "gets_per_minute",
        "lists_per_minute",
        "deletes_per_minute",
    ),
    panels=(Curves("time of a call"), Bars("commits_each")),
)
