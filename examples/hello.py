"""The smallest run: two steps, the first of which fails once and is tried again.

python examples/hello.py
"""

import asyncio

from taquba import Queue, RunSpec, Step, StepError, StepOutcome, WorkflowRuntime


async def greet(step: Step) -> StepOutcome:
    """Decides what comes next, one step at a time."""
    if step.attempts == 1:
        raise StepError.transient("the provider is busy", retry_after=0.1)
    if step.step_number == 0:
        return StepOutcome.Continue(b"hello " + step.payload)
    return StepOutcome.Succeed(step.payload.upper())


async def main() -> None:
    """Opens a queue, submits a run, and waits for its end."""
    queue = await Queue.open("memory://")  # or a directory, or s3://bucket/prefix
    async with queue, WorkflowRuntime(queue, greet) as runtime:
        handle = await runtime.submit(RunSpec(b"world"))
        outcome = await handle.outcome(timeout=20)
    print(outcome.status, (outcome.result or b"").decode())


if __name__ == "__main__":
    asyncio.run(main())

# Output:
#
# succeeded HELLO WORLD
