"""A process to be killed: runs of five steps and plain jobs, until it dies or is told to finish.

    python tests/crash/workload.py STORE LEDGER PREFIX            # works until it is killed
    python tests/crash/workload.py STORE LEDGER PREFIX --finish   # ends what is there, then exits

Everything it is promised goes to the ledger. A line on standard output tells its parent how far it
is: `ready` once the store is open, `ended` for each run.
"""

import argparse
import asyncio
import itertools
import json
import secrets
import sys
from pathlib import Path

from taquba import EnqueueOptions, NewJob, OpenOptions, Queue
from taquba.exceptions import RunNotFoundError
from taquba.workflow import RunOutcome, RunSpec, Step, StepOutcome, WorkflowRuntime

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.crash import ledger as ledgers

RUNS_PER_WAVE = 200
JOBS_PER_WAVE = 50
# A run whose process is killed many times shall still end: this is not the test of that bound.
MANY_ATTEMPTS = 10_000


class Workload:
    """One process's work on the store."""

    def __init__(self, queue: Queue, ledger: ledgers.Ledger, prefix: str) -> None:
        self.queue = queue
        self.ledger = ledger
        self.prefix = prefix

    async def run_step(self, step: Step) -> StepOutcome:
        """Adds this step, with a number that only this execution has, to the chain."""
        nonce = secrets.token_hex(8)
        self.ledger.note("ran", step.run_id, f"{step.step_number}:{nonce}")
        # Some steps return at once, some are in flight when the process dies.
        if nonce.startswith(("0", "1", "2", "3")):
            await asyncio.sleep(0.005)
        chain = [*json.loads(step.payload), [step.step_number, nonce]]
        payload = json.dumps(chain, separators=(",", ":")).encode()
        if step.step_number + 1 < ledgers.STEP_COUNT:
            return StepOutcome.Continue(payload)
        return StepOutcome.Succeed(payload)

    async def on_termination(self, outcome: RunOutcome) -> None:
        """Writes down every end that the hook is told of."""
        self.ledger.note("told", outcome.run_id, describe(outcome))
        print("ended", flush=True)

    async def submit(self, runtime: WorkflowRuntime, run_ids: list[str]) -> None:
        """Submits a wave, half of it in one batch and half one by one."""
        for run_id in run_ids:
            self.ledger.note("submitting", run_id)
        specs = [RunSpec(b"[]", run_id=run_id, max_attempts=MANY_ATTEMPTS) for run_id in run_ids]
        half = len(specs) // 2

        async def one(spec: RunSpec) -> None:
            handle = await runtime.submit(spec)
            self.ledger.note("submitted", handle.run_id)

        async def batch(batched: list[RunSpec]) -> None:
            for handle in await runtime.submit_many(batched):
                self.ledger.note("submitted", handle.run_id)

        async with asyncio.TaskGroup() as group:
            group.create_task(batch(specs[:half]))
            for spec in specs[half:]:
                group.create_task(one(spec))

    async def enqueue(self, jobs: list[str]) -> None:
        """Enqueues a wave of plain jobs in one batch."""
        for job in jobs:
            self.ledger.note("enqueuing", job)
        options = EnqueueOptions(max_attempts=MANY_ATTEMPTS)
        await self.queue.enqueue_batch("jobs", [NewJob(job.encode(), options) for job in jobs])
        for job in jobs:
            self.ledger.note("enqueued", job)

    async def work_on_jobs(self) -> None:
        """Claims and acks plain jobs for ever."""
        while True:
            claims = await self.queue.claim_batch("jobs", 10, lease=30.0)
            for claim in claims:
                job = claim.payload.decode()
                self.ledger.note("claimed", job)
                await self.queue.ack(claim)
                self.ledger.note("acked", job)
            if not claims:
                await asyncio.sleep(0.005)

    async def go_on(self, runtime: WorkflowRuntime) -> None:
        """Wave after wave, until the process is killed."""
        for wave in itertools.count():
            run_ids = [f"{self.prefix}-{wave}-{n}" for n in range(RUNS_PER_WAVE)]
            await self.submit(runtime, run_ids)
            await self.enqueue([f"{self.prefix}-{wave}-{n}" for n in range(JOBS_PER_WAVE)])
            for run_id in run_ids:
                await runtime.handle(run_id).outcome()

    async def finish(self, runtime: WorkflowRuntime, history: ledgers.History) -> None:
        """Waits for the end of everything that was promised, and writes down how it ended."""
        for run_id in sorted(history.submitting):
            try:
                outcome = await runtime.handle(run_id).outcome(timeout=60)
            except RunNotFoundError:
                # Right if nobody was told that it is there; the checker knows.
                continue
            self.ledger.note("outcome", run_id, describe(outcome))
        async with asyncio.timeout(60):
            while True:
                stats = (await self.queue.stats()).queues
                if all(queue.pending_count + queue.claimed_count == 0 for queue in stats.values()):
                    break
                await asyncio.sleep(0.01)


def describe(outcome: RunOutcome) -> str:
    """An outcome as one word of the ledger."""
    return f"{outcome.status}|{(outcome.result or b'').decode()}"


async def main(arguments: argparse.Namespace) -> None:
    """Opens the store and works."""
    history = ledgers.read(arguments.ledger)
    ledger = ledgers.Ledger(arguments.ledger)
    async with Queue.open(arguments.store, options=OpenOptions(fsync=True)) as queue:
        print("ready", flush=True)
        workload = Workload(queue, ledger, arguments.prefix)
        async with WorkflowRuntime(queue, workload, workload) as runtime:
            jobs = asyncio.create_task(workload.work_on_jobs())
            if arguments.finish:
                await workload.finish(runtime, history)
            else:
                await workload.go_on(runtime)
            jobs.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("prefix")
    parser.add_argument("--finish", action="store_true")
    asyncio.run(main(parser.parse_args()))
