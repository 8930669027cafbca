"""A deploy in the middle of the work: the old process drains on SIGTERM, the new one goes on.

python examples/deploy.py
"""

import asyncio
import signal
import subprocess
import sys
import tempfile

from taquba import Queue, RunSpec, Step, StepOutcome, WorkflowRuntime

RUN_COUNT, STEP_COUNT = 20, 5


async def work(step: Step) -> StepOutcome:
    """One of several steps, each of which takes a moment."""
    await asyncio.sleep(0.05)
    print(f"{step.run_id}/{step.step_number}", flush=True)
    is_last = step.step_number == STEP_COUNT - 1
    return StepOutcome.Succeed(b"") if is_last else StepOutcome.Continue(b"")


async def serve(state: str) -> None:
    """The service: works until SIGTERM, ends what it has begun, and closes the store."""
    shutdown = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, shutdown.set)
    async with Queue.open(state) as queue:
        runtime = WorkflowRuntime(queue, work, concurrency=5)
        # At each start: runs that are known are left alone.
        await runtime.submit_many(RunSpec(b"", run_id=f"run-{n}") for n in range(RUN_COUNT))
        await runtime.run(shutdown)


def deploy(state: str, step_count: int) -> list[str]:
    """Starts the service, stops it after this many steps, and returns the steps it has done."""
    command = [sys.executable, __file__, state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        done = [process.stdout.readline() for _ in range(step_count)]
        process.terminate()
        return done + process.stdout.readlines()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(serve(sys.argv[1]))
        sys.exit()
    with tempfile.TemporaryDirectory() as directory:
        old = deploy(directory, 30)
        new = deploy(directory, RUN_COUNT * STEP_COUNT - len(old))
    print(f"steps done: {len(old + new)}, done twice: {len(old + new) - len(set(old + new))}")
    print("the new version began where the old one ended:", len(new) == 100 - len(old))

# Output:
#
# steps done: 100, done twice: 0
# the new version began where the old one ended: True
