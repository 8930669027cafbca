"""Waits for a person: a run asks, sleeps until its deadline, and is woken by the answer.

No process has to live while it waits. The answer is a key, durable before anybody is woken.

    python examples/approval.py
"""

import asyncio

from taquba import Queue, RunSpec, RunState, Step, StepOutcome, WorkflowRuntime

DEADLINE_SECONDS = 1.0  # days, in a service


async def answer(queue: Queue, run_id: str, text: bytes) -> None:
    """What the handler of a web form does. The first answer counts."""
    if await queue.kv_compare_put(f"approvals/{run_id}", None, text):
        # It may not have asked yet.
        while (run := await queue.get_run(run_id)).step_number == 0:  # noqa: ASYNC110 - a moment
            await asyncio.sleep(0.01)
        if run.state is RunState.SCHEDULED and run.job_id is not None:
            await queue.wake_scheduled(run.job_id)


async def main() -> None:
    """Three expenses: one is approved, one is rejected, one is forgotten."""
    queue = await Queue.open("memory://")

    async def pay(step: Step) -> StepOutcome:
        if step.step_number == 0:
            return StepOutcome.ContinueAfter(step.payload, delay=DEADLINE_SECONDS)
        match await queue.kv_get(f"approvals/{step.run_id}"):
            case None:
                return StepOutcome.Fail("no answer in time")
            case b"yes":
                return StepOutcome.Succeed(b"paid " + step.payload)
            case _:
                return StepOutcome.Cancel("rejected")

    async with queue, WorkflowRuntime(queue, pay) as runtime:
        runs = [
            await runtime.submit(RunSpec(b"40 EUR", run_id=n)) for n in ("lunch", "yacht", "taxi")
        ]
        await answer(queue, "lunch", b"yes")
        await answer(queue, "yacht", b"no")
        for run in runs:
            outcome = await run.outcome(timeout=20)
            print(run.run_id, outcome.status, outcome.result or outcome.error)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
#
# lunch succeeded b'paid 40 EUR'
# yacht cancelled rejected
# taxi failed no answer in time
