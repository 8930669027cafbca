"""What one durable memo costs: to put it, to find it again, to look for one that is not there.

python benches/memos.py --memos 50000 --in-flight 512 --store both --payload-bytes 4096

As many steps as are in flight are held open, and each of them works on its own memo: at any time
one call of each step is under way.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

if not __package__:
    # The directory of this file holds a `queue.py` that would hide the standard library's.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benches import measure
from taquba import Memo, OpenOptions, Queue
from taquba.store import MemoryStore
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime

# One call on one step's memo, by the number of the call.
Call = Callable[[Memo, int], Awaitable[object]]


@asynccontextmanager
async def held_memos(queue: Queue, count: int) -> AsyncIterator[list[Memo]]:
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


def make_work(memos: list[Memo], count: int, call: Call) -> measure.Work:
    """Makes so many calls, one at a time on each memo; a number always goes to the same memo."""

    async def work(_queue: Queue) -> None:
        async def lane(index: int) -> None:
            for number in range(index, count, len(memos)):
                await call(memos[index], number)

        async with asyncio.TaskGroup() as group:
            for index in range(len(memos)):
                group.create_task(lane(index))

    return work


async def measure_round(
    queue: Queue, memos: list[Memo], name: str, arguments: argparse.Namespace
) -> list[measure.Round]:
    """Puts memos under fresh keys, finds all of them, and looks for as many that are not there."""
    value = b"x" * arguments.payload_bytes

    async def put(memo: Memo, number: int) -> None:
        await memo.put(f"{name}/{number}", value)

    async def find(memo: Memo, number: int) -> None:
        if await memo.get(f"{name}/{number}") != value:
            message = f"memo {number} of round {name} is not what was put"
            raise AssertionError(message)

    async def miss(memo: Memo, number: int) -> None:
        if await memo.get(f"{name}/absent/{number}") is not None:
            message = f"memo {number} of round {name} is there, and nobody put it"
            raise AssertionError(message)

    calls: list[Call] = [put, find, miss]
    return [await measure.measure(queue, make_work(memos, arguments.memos, call)) for call in calls]


async def run_rounds(store: str, arguments: argparse.Namespace) -> list[list[measure.Round]]:
    """Opens a fresh store and repeats the rounds; one more before warms everything up."""
    where = arguments.directory or Path.cwd()
    with tempfile.TemporaryDirectory(prefix=".taquba-bench-", dir=where) as disk:
        place = MemoryStore() if store == "memory" else disk
        async with (
            Queue.open(place, options=OpenOptions(fsync=True)) as queue,
            held_memos(queue, arguments.in_flight) as memos,
        ):
            await measure_round(queue, memos, "warm", arguments)
            return [
                await measure_round(queue, memos, str(number), arguments)
                for number in range(arguments.rounds)
            ]


async def benchmark(arguments: argparse.Namespace) -> None:
    """Measures each store."""
    for store in measure.stores(arguments.store):
        rounds = await run_rounds(store, arguments)
        name = "memory" if store == "memory" else "local disk with fsync"
        title = f"{name}, {arguments.in_flight} in flight, {arguments.payload_bytes} B value"
        for index, unit in enumerate(("put", "get", "empty get")):
            measure.show(title, unit, arguments.memos, [each[index] for each in rounds])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--memos", type=int, default=50_000, help="calls of one round")
    measure.add_arguments(parser)
    parsed = parser.parse_args()
    measure.main(lambda: benchmark(parsed))
