"""Many changes, one job: a document that is saved often is indexed once for all of them.

The first save makes a job for a moment later; while it waits, further ones find it and add
nothing. A save that comes while it is being worked on makes the next job, so the last one counts.

    python examples/debounce.py
"""

import asyncio

from taquba import Claim, EnqueueOptions, Queue, run_worker

WAIT_SECONDS = 0.5


async def save(queue: Queue, name: str, text: bytes) -> str:
    """Keeps the text, and has it indexed soon."""
    await queue.kv_put(f"documents/{name}", text)
    soon = EnqueueOptions(delay=WAIT_SECONDS, dedup_key=name)
    return await queue.enqueue("index", name.encode(), soon)


async def main() -> None:
    """Twenty saves, a pause, and one more."""
    async with Queue.open("memory://") as queue:
        shutdown, has_indexed = asyncio.Event(), asyncio.Event()

        async def index(job: Claim) -> None:
            text = await queue.kv_get(f"documents/{job.payload.decode()}")
            print("indexed", text)
            has_indexed.set()
            if text == b"the end":
                shutdown.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(run_worker(queue, "index", index, shutdown=shutdown))
            jobs = {await save(queue, "essay", b"draft %d" % number) for number in range(20)}
            print("20 saves,", len(jobs), "job")
            await has_indexed.wait()
            await save(queue, "essay", b"the end")


if __name__ == "__main__":
    asyncio.run(main())

# Output:
#
# 20 saves, 1 job
# indexed b'draft 19'
# indexed b'the end'
