"""What one durable step costs: no-op steps of runs of ten."""

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
from taquba.workflow import (
    RunHandle,
    RunSpec,
    Step,
    StepOutcome,
    TerminalStatus,
    WorkflowRuntime,
)

__all__ = ["STEPS", "STEP_COUNT", "NoopRunner", "do_run", "measure_closed", "runtime_of"]

STEP_COUNT = 10
"""Steps of a run."""

# One submission at a time carries this many runs: submitting is not what is measured.
_SUBMIT_BATCH = 1_000
# How long an end stays known: the sweeping of old ends belongs to the cost of a run.
_RETENTION_SECONDS = 60.0


class NoopRunner:
    """Hands the payload on until the last step, and counts."""

    def __init__(self) -> None:
        self.step_count = 0

    async def run_step(self, step: Step) -> StepOutcome:
        """Does nothing, durably."""
        self.step_count += 1
        if step.step_number < STEP_COUNT - 1:
            return StepOutcome.Continue(step.payload)
        return StepOutcome.Succeed(step.payload)

    def check(self, run_count: int) -> None:
        """Refuse to go on unless each step of so many runs was done once.

        Raises:
            NotDoneError: There were more or fewer.
        """
        if self.step_count != run_count * STEP_COUNT:
            message = f"{self.step_count} steps were done, not {run_count * STEP_COUNT}"
            raise NotDoneError(message)


def runtime_of(queue: Queue, runner: NoopRunner, in_flight: int) -> WorkflowRuntime:
    """A runtime with room for as many steps as runs are in flight."""
    return WorkflowRuntime(queue, runner, concurrency=in_flight, run_retention=_RETENTION_SECONDS)


async def check_outcome(handle: RunHandle, payload: bytes) -> None:
    """Waits for the end of a run, which hands back what it was given.

    Raises:
        NotDoneError: It failed, or handed back something else.
    """
    outcome = await handle.outcome()
    if outcome.status is not TerminalStatus.Succeeded or outcome.result != payload:
        message = f"a run ended as {outcome.status}, or not with what it was given"
        raise NotDoneError(message)


async def do_run(runtime: WorkflowRuntime, payload: bytes) -> None:
    """Submits one run and waits for its end."""
    await check_outcome(await runtime.submit(RunSpec(payload)), payload)


async def measure(lab: Lab) -> list[Case]:
    """Measures both loops."""
    in_flight = lab.settings.in_flight
    count = lab.count(10_000, 2_000)
    async with lab.open() as queue:
        opened = await lab.rounds(partial(_open_round, lab, queue, count))
    return [
        Case("all submitted first", "step", opened),
        Case(f"{in_flight} runs in flight", "step", await measure_closed(lab, in_flight, count)),
    ]


async def _open_round(lab: Lab, queue: Queue, count: int, _number: int) -> Round:
    """Submits all runs and waits for their ends."""
    runner = NoopRunner()
    payloads = [lab.payload(number) for number in range(count)]
    async with Meter(queue) as meter, runtime_of(queue, runner, lab.settings.in_flight) as runtime:
        handles: list[RunHandle] = []
        for start in range(0, count, _SUBMIT_BATCH):
            specs = [RunSpec(payload) for payload in payloads[start : start + _SUBMIT_BATCH]]
            handles += await runtime.submit_many(specs)
        await asyncio.gather(*map(check_outcome, handles, payloads))
    runner.check(count)
    return Round(count=count * STEP_COUNT, cost=meter.cost)


async def measure_closed(lab: Lab, in_flight: int, count: int) -> list[Round]:
    """Rounds in which each lane submits its next run when its last one has ended."""
    async with lab.open() as queue:
        return await lab.rounds(partial(_closed_round, lab, queue, in_flight, count))


async def _closed_round(lab: Lab, queue: Queue, in_flight: int, count: int, _number: int) -> Round:
    runner = NoopRunner()
    seconds = array("d")
    payloads = [lab.payload(number) for number in range(count)]
    async with runtime_of(queue, runner, in_flight) as runtime:

        async def call(number: int) -> None:
            payload = payloads[number]
            start = time.perf_counter()
            await do_run(runtime, payload)
            seconds.append(time.perf_counter() - start)

        async with Meter(queue) as meter:
            made = await in_lanes(in_flight, count, call, lab.round_seconds_max)
    runner.check(made)
    latencies = {"run": Latency.of(seconds)}
    return Round(count=made * STEP_COUNT, cost=meter.cost, latencies=latencies)


STEPS = Scenario(
    name="steps",
    summary="runs of 10 no-op steps: all submitted first, then a closed loop",
    measure=measure,
    columns=("per_second", "cpu_us_each", "puts_per_1000", "put_kib_per_1000"),
    panels=(Bars("per_second"), Bars("cpu_us_each"), Curves("time of a run of 10 steps")),
)
