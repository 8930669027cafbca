"""A process to be killed: runs that fail, wait, remember, are cancelled, and tell their hook.

    python tests/crash/runs_workload.py STORE LEDGER PREFIX            # works until it is killed
    python tests/crash/runs_workload.py STORE LEDGER PREFIX --finish   # ends what is there

What a run does is in its plan (`run_plan.py`); everything that is seen of it goes to the ledger
(`run_ledger.py`). A line on standard output tells the parent how far it is: `ready` once the store
is open, `ended` for each end that the hook is told of.
"""

import argparse
import asyncio
import itertools
import json
import logging
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taquba import Effects, OpenOptions, Queue, QueueConfig, RetryJitter, RunState
from taquba.workflow import (
    RunHandle,
    RunOutcome,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    WorkflowRuntime,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.crash import run_ledger
from tests.crash.ledger import Ledger
from tests.crash.run_plan import Cancelling, RunPlan, Way, end_text, plan_of, transient_text

RUNS_PER_WAVE = 24
CONCURRENCY = 16
HOUR = timedelta(hours=1)
STEPS = "workflow"
FOLLOWUPS = "followups"
LARGE_MEMO_BYTES = 300 * 1024
LOOK_EVERY_SECONDS = 0.01
# Longer than anything here takes: what has not happened by then does not happen.
UNHEARD_AFTER_SECONDS = 30.0


class Workload:
    """One process's work on the store: the runner, the hook, and those who submit and cancel."""

    def __init__(self, queue: Queue, ledger: Ledger) -> None:
        self.ledger = ledger
        self.calls: set[asyncio.Task[None]] = set()
        self.told: set[str] = set()
        self.runtime = WorkflowRuntime(
            queue, self, self, queue_name=STEPS, concurrency=CONCURRENCY, run_retention=None
        )

    def note(self, kind: str, run_id: str, **fields: Any) -> None:
        """Adds one line to the ledger."""
        self.ledger.note(kind, run_id, json.dumps(fields))

    async def run_step(self, step: Step) -> StepOutcome:
        """Does what the plan says."""
        run_id, number, plan = step.run_id, step.step_number, plan_of(step.run_id)
        mine, nonce = plan.steps[number], secrets.token_hex(6)
        self.note(
            "ran",
            run_id,
            step=number,
            attempts=step.attempts,
            nonce=nonce,
            payload=run_ledger.digest(step.payload),
            stop=step.cancel_token.is_cancelled,
        )
        if mine.pause:
            await asyncio.sleep(mine.pause)
        memos = await asyncio.gather(*(self.memo(step, str(k)) for k in range(mine.memo_count)))
        if mine.memo_count:
            await self.replace_memo(step, nonce)
        if plan.cancelling is Cancelling.RUNNING and number == plan.cancel_step:
            await self.cancel_while_running(step)
        if step.attempts <= mine.failure_count:
            self.note("raised", run_id, step=number)
            message = transient_text(number, step.attempts)
            raise StepError.transient(message, retry_after=mine.retry_after)
        chain = [*json.loads(step.payload), [number, nonce, memos]]
        return self.next_outcome(plan, run_id, number, run_ledger.chain_payload(chain))

    def next_outcome(self, plan: RunPlan, run_id: str, number: int, payload: bytes) -> StepOutcome:
        """What the plan says comes next."""
        if number < plan.last:
            self.note("returned", run_id, step=number, payload=run_ledger.digest(payload))
            if plan.cancelling is Cancelling.PARKED and number == plan.cancel_step:
                return StepOutcome.ContinueAfter(payload, HOUR)
            delay = plan.steps[number].delay
            if delay is not None:
                return StepOutcome.ContinueAfter(payload, delay)
            return StepOutcome.Continue(payload)
        match plan.way:
            case Way.SUCCEED:
                return StepOutcome.Succeed(payload)
            case Way.FAIL:
                return StepOutcome.Fail(end_text(plan.way, number))
            case Way.CANCEL:
                return StepOutcome.Cancel(end_text(plan.way, number))
            case Way.PERMANENT:
                raise StepError.permanent(end_text(plan.way, number))

    async def memo(self, step: Step, key: str) -> str:
        """A memo that is computed once, though it is asked for twice at a time."""

        async def compute() -> bytes:
            nonce = secrets.token_hex(6)
            self.note("computing", step.run_id, step=step.step_number, key=key, nonce=nonce)
            await asyncio.sleep(0)
            is_large = plan_of(step.run_id).steps[step.step_number].has_large_memos
            return nonce.encode() + b"." * (LARGE_MEMO_BYTES if is_large else 0)

        both = (step.memo.get_or_compute(key, compute) for _ in range(2))
        values = [value.decode().rstrip(".") for value in await asyncio.gather(*both)]
        for nonce in values:
            self.note("memo", step.run_id, step=step.step_number, key=key, nonce=nonce)
        return values[0]

    async def replace_memo(self, step: Step, nonce: str) -> None:
        """A memo that each delivery sets anew."""
        run_id, number = step.run_id, step.step_number
        found = await step.memo.get("latest")
        self.note("got", run_id, step=number, nonce=None if found is None else found.decode())
        self.note("putting", run_id, step=number, nonce=nonce)
        await step.memo.put("latest", nonce.encode())
        self.note("put", run_id, step=number, nonce=nonce)

    async def cancel_while_running(self, step: Step) -> None:
        """Has somebody else cancel this run, and goes on when the step has heard of it."""
        call = asyncio.create_task(self.cancel(step.run_id))
        self.calls.add(call)
        try:
            async with asyncio.timeout(UNHEARD_AFTER_SECONDS):
                await step.cancel_token.wait()
        except TimeoutError:
            self.note("unheard", step.run_id, step=step.step_number)

    async def on_termination(self, outcome: RunOutcome) -> Effects:
        """Writes down every end that the hook is told of; its effect is a job."""
        run_id, nonce = outcome.run_id, secrets.token_hex(6)
        raises = plan_of(run_id).hook_raises and run_id not in self.told
        self.told.add(run_id)
        self.note("told", run_id, nonce=nonce, raises=raises, end=fields_of(outcome))
        print("ended", flush=True)
        if raises:
            message = "the hook fails for the first time"
            raise RuntimeError(message)
        return Effects().enqueue(FOLLOWUPS, f"{run_id} {nonce}".encode())

    async def cancel(self, run_id: str) -> None:
        """Cancels; the answer is written down once it is there."""
        call = secrets.token_hex(6)
        self.note("cancelling", run_id, call=call)
        answer = await self.runtime.cancel(run_id)
        self.note("cancelled", run_id, call=call, answer=answer)

    async def wave(self, run_ids: list[str], *, in_one_batch: bool) -> None:
        """Submits runs, and sees each of them to its end."""
        for run_id in run_ids:
            self.note("submitting", run_id)
        specs = [spec_of(run_id) for run_id in run_ids]
        async with asyncio.TaskGroup() as group:
            if in_one_batch:
                for handle in await self.runtime.submit_many(specs):
                    group.create_task(self.follow(handle))
            else:
                for spec in specs:
                    group.create_task(self.submit_and_follow(spec))

    async def submit_and_follow(self, spec: RunSpec) -> None:
        """Submits one run, and sees it to its end."""
        await self.follow(await self.runtime.submit(spec))

    async def follow(self, handle: RunHandle) -> None:
        """Cancels the run when its plan says so, and waits for its end."""
        run_id, cancelling = handle.run_id, plan_of(handle.run_id).cancelling
        self.note("submitted", run_id, new=handle.newly_submitted)
        if cancelling is Cancelling.PARKED:
            await self.await_parked(handle)
        if cancelling in (Cancelling.AT_ONCE, Cancelling.SCHEDULED, Cancelling.PARKED):
            # Two at a time: one of them ends the run, the other finds it ended or ending.
            await asyncio.gather(self.cancel(run_id), self.cancel(run_id))
        self.note("ended", run_id, **fields_of(await handle.outcome()))
        if cancelling is Cancelling.LATE:
            await self.cancel(run_id)

    async def await_parked(self, handle: RunHandle) -> None:
        """Waits until the run waits for an hour, or has ended."""
        parked = plan_of(handle.run_id).cancel_step + 1
        while True:
            status = await handle.status()
            if status.state.is_terminal:
                return
            if (status.state, status.step_number) == (RunState.SCHEDULED, parked):
                return
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def go_on(self, prefix: str, unfinished: list[str]) -> None:
        """What the process before left behind, beside wave after wave, until it is killed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.wave(unfinished, in_one_batch=False))
            group.create_task(self.cancel(f"{prefix}-nobody"))
            for number in itertools.count():
                run_ids = [f"{prefix}-{number}-{n}" for n in range(RUNS_PER_WAVE)]
                await self.wave(run_ids, in_one_batch=number % 2 == 1)

    async def finish(self, queue: Queue, runs: run_ledger.Runs) -> None:
        """Sees everything to its end, and writes down how it ended."""
        await self.wave(unfinished_of(runs), in_one_batch=False)
        await asyncio.gather(*self.calls)
        await self.await_quiet(queue)
        for run_id, events in sorted(runs.events.items()):
            if any(event.kind == "submitting" for event in events):
                outcome = await self.runtime.handle(run_id).outcome()
                self.note("outcome", run_id, **fields_of(outcome))
        while claims := await queue.claim_batch(FOLLOWUPS, 100):
            for claim in claims:
                run_id, nonce = claim.payload.decode().split()
                self.note("followup", run_id, nonce=nonce)
            await asyncio.gather(*(queue.ack(claim) for claim in claims))

    async def await_quiet(self, queue: Queue) -> None:
        """Waits until every hook has been told."""
        async with asyncio.timeout(60):
            while True:
                counts = (await queue.stats()).queues[STEPS]
                if counts.pending_count + counts.scheduled_count + counts.claimed_count == 0:
                    return
                await asyncio.sleep(LOOK_EVERY_SECONDS)


def spec_of(run_id: str) -> RunSpec:
    """What is submitted; the same each time, except for the time of a start that never comes."""
    plan = plan_of(run_id)
    is_scheduled = plan.cancelling is Cancelling.SCHEDULED
    return RunSpec(
        run_ledger.chain_payload([]),
        run_id=run_id,
        headers={"run": run_id},
        max_attempts=plan.max_attempts,
        run_at=datetime.now(UTC) + HOUR if is_scheduled else None,
    )


def unfinished_of(runs: run_ledger.Runs) -> list[str]:
    """Runs of earlier processes that nobody has seen to their end."""
    return [
        run_id
        for run_id, events in sorted(runs.events.items())
        if any(event.kind == "submitting" for event in events)
        and not any(event.kind == "ended" for event in events)
    ]


def fields_of(outcome: RunOutcome) -> dict[str, Any]:
    """An outcome, as the ledger has it."""
    if outcome.headers != {"run": outcome.run_id}:
        message = f"run {outcome.run_id} has the headers {outcome.headers}"
        raise AssertionError(message)
    return {
        "status": str(outcome.status),
        "error": outcome.error,
        "final_step": outcome.final_step,
        "result": None if outcome.result is None else json.loads(outcome.result),
    }


async def list_all(queue: Queue, ledger: Ledger) -> None:
    """Writes down every run that the store knows."""
    cursor = None
    while True:
        page = await queue.list_runs(cursor=cursor)
        for run in page.runs:
            fields = {
                "state": str(run.state),
                "error": run.error,
                "step": run.step_number,
                "has_ended": run.ended_at is not None,
            }
            ledger.note("status", run.run_id, json.dumps(fields))
        cursor = page.cursor
        if cursor is None:
            return


async def main(arguments: argparse.Namespace) -> None:
    """Opens the store and works."""
    # Failing hooks are part of the work; what else is logged goes to the parent.
    logging.basicConfig(level=logging.ERROR)
    runs = run_ledger.read(arguments.ledger)
    ledger = Ledger(arguments.ledger)
    ledger.note("start", arguments.prefix, "{}")
    retries = QueueConfig(
        retry_backoff_base=0.005, retry_backoff_max=0.05, retry_jitter=RetryJitter.NONE
    )
    options = OpenOptions(fsync=True, queue_configs={STEPS: retries})
    async with Queue.open(arguments.store, options=options) as queue:
        print("ready", flush=True)
        workload = Workload(queue, ledger)
        async with workload.runtime:
            if arguments.finish:
                await workload.finish(queue, runs)
            else:
                await workload.go_on(arguments.prefix, unfinished_of(runs))
    async with Queue.open(arguments.store, options=options) as queue:
        await list_all(queue, ledger)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("prefix")
    parser.add_argument("--finish", action="store_true")
    asyncio.run(main(parser.parse_args()))
