"""Whether steps are as fast, and memory as small, after many minutes as they were at first."""

import asyncio
import time
from dataclasses import replace

from taquba.bench._lab import Lab
from taquba.bench._meter import Meter
from taquba.bench._result import Case, NotDoneError, Round
from taquba.bench._scenario import Lines, Scenario
from taquba.bench._scenarios.steps import NoopRunner, do_run, runtime_of

# At least two parts, else there is no drift to see.
_PARTS_MIN = 2


async def measure(lab: Lab) -> list[Case]:
    """Measures each minute of one closed loop, after some seconds of warming up."""
    in_flight, minutes = lab.settings.in_flight, lab.settings.drift_minutes
    part_count = max(_PARTS_MIN, round(minutes))
    part_seconds = minutes * 60 / part_count
    runner = NoopRunner()
    run_count = 0
    is_over = False

    async with lab.open() as queue, runtime_of(queue, runner, in_flight) as runtime:

        async def lane() -> None:
            nonlocal run_count
            while not is_over:
                run_count += 1
                await do_run(runtime, lab.payload(run_count))

        parts = []
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(lane())
            await asyncio.sleep(lab.seconds(5.0, 1.0))
            start = time.perf_counter()
            for number in range(1, part_count + 1):
                before = runner.step_count
                async with Meter(queue) as meter:
                    await asyncio.sleep(start + number * part_seconds - time.perf_counter())
                count = runner.step_count - before
                if count == 0:
                    message = f"no step was done within {part_seconds:g} s"
                    raise NotDoneError(message)
                parts.append(Round(count=count, cost=meter.cost))
            is_over = True
        runner.check(run_count)
    return _cases(parts, part_seconds / 60)


def _cases(parts: list[Round], part_minutes: float) -> list[Case]:
    """One case for each part, with its figures by those of the first."""
    first = parts[0].figures()
    cases = []
    for number, part in enumerate(parts, start=1):
        figures = part.figures()
        minutes = number * part_minutes
        rate_by_first = figures["per_second"] / first["per_second"]
        extra = {"minutes": minutes, "rate_by_first": rate_by_first}
        if "resident_mib" in first:
            extra["memory_by_first"] = figures["resident_mib"] / first["resident_mib"]
        cases.append(Case(f"minute {minutes:g}", "step", [replace(part, extra=extra)]))
    return cases


DRIFT = Scenario(
    name="drift",
    summary="steps in a closed loop for --minutes, minute by minute",
    measure=measure,
    columns=("per_second", "rate_by_first", "cpu_us_each", "resident_mib", "memory_by_first"),
    panels=(
        Lines("per_second", "minutes"),
        Lines("cpu_us_each", "minutes"),
        Lines("resident_mib", "minutes"),
    ),
    is_default=False,
)
