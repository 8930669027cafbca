"""What one durable memo costs: to put it, to find it, to look for one that is not there."""

import asyncio
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from taquba import Memo, Queue
from taquba.bench._lab import Lab, in_lanes
from taquba.bench._latency import Latency
from taquba.bench._meter import Meter
from taquba.bench._result import Case, NotDoneError, Round
from taquba.bench._scenario import Bars, Curves, Scenario
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime

# One call, by its number.
_Call = Callable[[int], Awaitable[None]]


@asynccontextmanager
async def _held_memos(queue: Queue, count: int) -> AsyncIterator[list[Memo]]:
    """The memos of so many steps, which run until the block ends."""
    memos: asyncio.Queue[Memo] = asyncio.Queue()
    are_done = asyncio.Event()

    async def hold(step: Step) -> StepOutcome:
        memos.put_nowait(step.memo)
        await are_done.wait()
        return StepOutcome.Succeed(b"")

    async with WorkflowRuntime(queue, hold, concurrency=count) as runtime:
        handles = await runtime.submit_many([RunSpec(b"")] * count)
        try:
            yield [await memos.get() for _ in range(count)]
        finally:
            are_done.set()
            await asyncio.gather(*(handle.outcome() for handle in handles))


async def measure(lab: Lab) -> list[Case]:
    """Measures the three calls, one step's memo for each that is in flight."""
    count = lab.count(20_000, 4_000)
    found: dict[str, list[Round]] = {}
    async with (
        lab.open() as queue,
        _held_memos(queue, min(lab.settings.in_flight, count)) as memos,
    ):
        for number in range(lab.settings.round_count + 1):
            for name, measured in (await _round(lab, queue, memos, count, number)).items():
                found.setdefault(name, []).append(measured)
    # The first round warmed everything up.
    return [Case(name, "call", rounds[1:]) for name, rounds in found.items()]


async def _round(
    lab: Lab, queue: Queue, memos: list[Memo], count: int, number: int
) -> dict[str, Round]:
    """Puts memos under fresh keys, finds all of them, looks for as many that are not there."""

    async def put(index: int) -> None:
        await memos[index % len(memos)].put(f"{number}/{index}", lab.payload(index))

    async def find(index: int) -> None:
        if await memos[index % len(memos)].get(f"{number}/{index}") != lab.payload(index):
            message = f"memo {index} is not what was put"
            raise NotDoneError(message)

    async def miss(index: int) -> None:
        if await memos[index % len(memos)].get(f"{number}/absent/{index}") is not None:
            message = f"memo {index} is there, and nobody put it"
            raise NotDoneError(message)

    measured = {"put": await _measure(lab, queue, len(memos), count, put)}
    put_count = measured["put"].count
    measured["get"] = await _measure(lab, queue, len(memos), put_count, find)
    measured["empty get"] = await _measure(lab, queue, len(memos), put_count, miss)
    return measured


async def _measure(lab: Lab, queue: Queue, width: int, count: int, call: _Call) -> Round:
    seconds = array("d")

    async def timed(index: int) -> None:
        start = time.perf_counter()
        await call(index)
        seconds.append(time.perf_counter() - start)

    async with Meter(queue) as meter:
        made = await in_lanes(width, count, timed, lab.round_seconds_max)
    return Round(count=made, cost=meter.cost, latencies={"call": Latency.of(seconds)})


MEMOS = Scenario(
    name="memos",
    summary="memos put, found, and looked for in vain",
    measure=measure,
    columns=("per_second", "cpu_us_each", "puts_per_1000", "put_kib_per_1000", "gets_per_1000"),
    panels=(Bars("per_second"), Bars("cpu_us_each"), Curves("time of a call")),
)
