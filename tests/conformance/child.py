"""What the suite's other processes do.

python -m tests.conformance.child WHAT ADDRESS PATH FSYNC
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable

from taquba import EnqueueOptions, OpenOptions, Queue, QueueReader
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.conformance.address import Address


async def leave_behind(queue: Queue) -> None:
    """Settles one job, leaves others in every state, and dies."""
    await queue.enqueue_batch("emails", [b"acked", b"claimed", b"waiting"])
    acked, _ = await queue.claim_batch("emails", 2, lease=600.0)
    await queue.ack(acked)
    await queue.enqueue("emails", b"later", EnqueueOptions(delay=3600))

    async def first_step_only(step: Step) -> StepOutcome:
        if step.step_number == 0:
            return StepOutcome.Continue(b"after step 0")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed")

    async with WorkflowRuntime(queue, first_step_only, queue_name="runs") as runtime:
        handle = await runtime.submit(RunSpec(b"", run_id="run", max_attempts=5))
        await handle.outcome()


async def hold(queue: Queue) -> None:
    """Owns the store until its input ends."""
    await queue.enqueue("emails", b"of the owner")
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)


async def read(reader: QueueReader) -> None:
    """Prints what a reader sees."""
    stats = await reader.stats()
    jobs = (await reader.list_jobs("emails")).jobs
    value = await reader.kv_get("greeting")
    owner = await reader.owner()
    seen = {
        "pending_count": stats.queues["emails"].pending_count,
        "jobs": [job.job_id for job in jobs],
        "value": None if value is None else value.decode(),
        "owner_pid": None if owner is None else owner.pid,
        "owner_is_alive": owner is not None and owner.is_alive,
    }
    print(json.dumps(seen))


TASKS: dict[str, Callable[[Queue], Awaitable[None]]] = {
    "leave_behind": leave_behind,
    "hold": hold,
}


async def main(what: str, address: str, path: str, fsync: str) -> None:
    """Opens the queue and does one of the tasks."""
    store = Address.from_text(address).store()
    if what == "read":
        async with QueueReader.open(store, path) as reader:
            await read(reader)
        return
    async with Queue.open(store, path, OpenOptions(fsync=bool(int(fsync)))) as queue:
        await TASKS[what](queue)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
