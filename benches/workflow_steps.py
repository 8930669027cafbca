"""What one durable step costs: no-op Python steps of runs of ten.

python benches/workflow_steps.py --runs 20000 --steps 10 --in-flight 512 --store both
"""

import argparse
import asyncio
import sys
from pathlib import Path

if not __package__:
    # The directory of this file holds a `queue.py` that would hide the standard library's.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benches import measure
from taquba import Queue
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime

# One submission at a time carries this many runs: submitting is not what is measured.
BATCH_COUNT = 1_000


class NoopRunner:
    """Hands the payload on until the last step."""

    def __init__(self, step_count: int) -> None:
        self.last = step_count - 1

    async def run_step(self, step: Step) -> StepOutcome:
        """Does nothing, durably."""
        if step.step_number < self.last:
            return StepOutcome.Continue(step.payload)
        return StepOutcome.Succeed(step.payload)


def make_work(arguments: argparse.Namespace) -> measure.Work:
    """Submits all runs and waits for their ends."""

    async def work(queue: Queue) -> None:
        runner = NoopRunner(arguments.steps)
        payload = b"x" * arguments.payload_bytes
        runtime = WorkflowRuntime(
            queue, runner, concurrency=arguments.in_flight, run_retention=arguments.retention
        )
        async with runtime:
            handles = []
            for start in range(0, arguments.runs, BATCH_COUNT):
                count = min(BATCH_COUNT, arguments.runs - start)
                handles += await runtime.submit_many([RunSpec(payload)] * count)
            await asyncio.gather(*(handle.outcome() for handle in handles))

    return work


async def benchmark(arguments: argparse.Namespace) -> None:
    """Measures each store."""
    count = arguments.runs * arguments.steps
    for store in measure.stores(arguments.store):
        rounds = await measure.run_rounds(
            store, arguments.directory, arguments.rounds, make_work(arguments)
        )
        name = "memory" if store == "memory" else "local disk with fsync"
        title = f"{name}, {arguments.steps} steps per run, {arguments.in_flight} in flight"
        measure.show(f"{title}, {arguments.payload_bytes} B payload", "step", count, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=5_000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--retention", type=float, default=60.0, help="seconds an end stays known")
    measure.add_arguments(parser)
    parsed = parser.parse_args()
    measure.main(lambda: benchmark(parsed))
