# ruff: noqa: A005 - run as a script, with its directory taken off the path
"""What one durable job costs: enqueue, claim, ack.

python benches/queue.py --jobs 100000 --batch 100 --in-flight 512 --store both
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

if not __package__:
    # This file's name is also a module of the standard library: its directory must not be searched.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benches import measure
from taquba import Claim, Queue

QUEUE = "bench"


async def in_parallel(count: int, width: int, one: Callable[[int], Awaitable[None]]) -> None:
    """Calls ``one`` for each number, at most ``width`` at a time."""
    numbers = iter(range(count))

    async def lane() -> None:
        for number in numbers:
            await one(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(width, count)):
            group.create_task(lane())


def make_enqueue(arguments: argparse.Namespace) -> measure.Work:
    """Enqueues all jobs, in batches that are awaited side by side."""
    payload = b"x" * arguments.payload_bytes
    batch_count = -(-arguments.jobs // arguments.batch)

    async def work(queue: Queue) -> None:
        async def one(number: int) -> None:
            first = number * arguments.batch
            count = min(arguments.batch, arguments.jobs - first)
            await queue.enqueue_batch(QUEUE, [payload] * count)

        await in_parallel(batch_count, arguments.in_flight, one)

    return work


def make_claim_and_ack(arguments: argparse.Namespace) -> measure.Work:
    """Claims and acks until nothing is left, with as many acks side by side as are in flight."""

    async def work(queue: Queue) -> None:
        while claims := await queue.claim_batch(QUEUE, arguments.in_flight, lease=600.0):
            await ack_all(queue, claims)

    return work


async def ack_all(queue: Queue, claims: list[Claim]) -> None:
    """Acks side by side."""
    await asyncio.gather(*(queue.ack(claim) for claim in claims))


def make_whole(arguments: argparse.Namespace) -> measure.Work:
    """The life of a job from end to end."""
    enqueue, claim_and_ack = make_enqueue(arguments), make_claim_and_ack(arguments)

    async def work(queue: Queue) -> None:
        await enqueue(queue)
        await claim_and_ack(queue)

    return work


async def benchmark(arguments: argparse.Namespace) -> None:
    """Measures each store."""
    for store in measure.stores(arguments.store):
        rounds = await measure.run_rounds(
            store, arguments.directory, arguments.rounds, make_whole(arguments)
        )
        name = "memory" if store == "memory" else "local disk with fsync"
        title = f"{name}, batches of {arguments.batch}, {arguments.in_flight} in flight"
        title += f", {arguments.payload_bytes} B payload"
        measure.show(title, "job", arguments.jobs, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=1, help="jobs of one enqueue")
    measure.add_arguments(parser)
    parsed = parser.parse_args()
    measure.main(lambda: benchmark(parsed))
