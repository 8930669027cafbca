"""A service with a queue inside: requests become jobs, a worker does them, SIGTERM ends both.

The service accepts work until it is told to stop, then finishes what it has begun and closes the
queue. What is left waits in the state directory for the next start. Kill it instead, and nothing
that was accepted is lost either.

    python examples/worker.py --state .taquba-worker --requests 5
"""

import argparse
import asyncio
import os
import signal
import tempfile

from taquba import Claim, Effects, EnqueueOptions, PermanentFailure, Queue, run_worker

THUMBNAILS = "thumbnails"


class Thumbnails:
    """Makes thumbnails, or acts as if."""

    async def process(self, job: Claim) -> Effects:
        """Does one job; what it returns is applied in the commit that says it is done."""
        name = job.payload.decode()
        if name.endswith(".txt"):
            raise PermanentFailure(f"{name} is not a picture")
        await asyncio.sleep(0.01)
        return Effects().kv_put(f"thumbnails/{name}", b"done")


async def serve(queue: Queue, count: int, shutdown: asyncio.Event) -> None:
    """Stands for a web server: each request is answered when its job is durable."""
    names = [f"{number}.png" for number in range(1, count)] + ["notes.txt"]
    for name in names:
        # A client that asks twice gets one job.
        once = EnqueueOptions(dedup_key=name, dedup_scope="settled")
        await queue.enqueue(THUMBNAILS, name.encode(), once)
        print(f"accepted {name}", flush=True)
    while not shutdown.is_set():
        counts = (await queue.stats()).queues[THUMBNAILS]
        if counts.pending_count + counts.scheduled_count + counts.claimed_count == 0:
            # Nobody stops an example: it does so itself, as a supervisor would.
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.02)


async def run(state: str, count: int) -> None:
    """Opens the queue, works until a signal comes, and closes it."""
    shutdown = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, shutdown.set)
    async with Queue.open(state) as queue:
        async with asyncio.TaskGroup() as group:
            # If the store is taken away, the worker raises and the whole service ends: a supervisor
            # starts it again.
            group.create_task(
                run_worker(
                    queue,
                    THUMBNAILS,
                    Thumbnails(),
                    concurrency=8,
                    shutdown=shutdown,
                    job_timeout=30,
                    shutdown_timeout=10,
                )
            )
            group.create_task(serve(queue, count, shutdown))
        done = await queue.kv_scan("thumbnails/")
        dead = await queue.dead_jobs(THUMBNAILS)
    for key, _ in done.entries:
        print(f"recorded {key}")
    for job in dead.jobs:
        print(f"given up: {job.last_error}")


def main() -> None:
    """Reads the command line and uses a fresh directory if none is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--state", help="directory of everything durable")
    parser.add_argument("--requests", type=int, default=4)
    arguments = parser.parse_args()
    if arguments.state is None:
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(run(directory, arguments.requests))
    else:
        asyncio.run(run(arguments.state, arguments.requests))


if __name__ == "__main__":
    main()

# Output:
#
# accepted 1.png
# accepted 2.png
# accepted 3.png
# accepted notes.txt
# recorded thumbnails/1.png
# recorded thumbnails/2.png
# recorded thumbnails/3.png
# given up: notes.txt is not a picture
