"""Runs of a process that is killed: they fail, wait, remember, are cancelled, and tell their hook.

What a run does is in its plan (`run_plan.py`). What is seen of it goes to two files: to the ledger
of runs, which `run_ledger.py` holds against the plan, and to the history of everything. A line on
the pipe tells the parent of each end that the hook has heard of.
"""

import asyncio
import itertools
import json
import os
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taquba import Effects, Queue, RunState, RunStatus
from taquba.workflow import (
    RunHandle,
    RunOutcome,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    WorkflowRuntime,
)
from tests.kill import run_ledger
from tests.kill.jobs_workload import FOLLOWUPS
from tests.kill.recording import Fields, Recorder
from tests.kill.run_plan import Cancelling, RunPlan, Way, end_text, plan_of, transient_text
from tests.kill.shown import end_fields, milliseconds, step_fields, text_of

# Runs that are submitted together, wave after wave.
WAVE_SIZES = (12, 40, 6, 100)
CONCURRENCY = 16
HOUR = timedelta(hours=1)
STEPS = "workflow"
HOOK_ATTEMPTS_MAX = 25
LARGE_MEMO_BYTES = 300 * 1024
LOOK_EVERY_SECONDS = 0.01
# Longer than anything here takes: what has not happened by then does not happen.
UNHEARD_AFTER_SECONDS = 30.0


class Ledger:
    """Appends lines; each one is a single write, so that none is torn."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, kind: str, key: str, /, **fields: Any) -> None:
        """Adds one line."""
        os.write(self._file, f"{kind} {key} {json.dumps(fields)}\n".encode())


class RunsWorkload:
    """One process's work on its runs: the runner, the hook, and those who submit and cancel.

    Args:
        queue: The open store.
        ledger: Where runs are noted.
        recorder: Where everything is noted.
        on_end: Is called for each end that the hook has heard of.
        telling_counts: How often each run's hook was called so far.
    """

    def __init__(
        self,
        queue: Queue,
        ledger: Ledger,
        recorder: Recorder,
        on_end: Callable[[], None],
        telling_counts: Counter[str],
    ) -> None:
        self.note = ledger.note
        self.recorder = recorder
        self.on_end = on_end
        self.calls: set[asyncio.Task[None]] = set()
        self.told: set[str] = set()
        self.telling_counts = telling_counts
        self.runtime = WorkflowRuntime(
            queue, self, self, queue_name=STEPS, concurrency=CONCURRENCY, run_retention=None
        )

    # Steps.

    async def run_step(self, step: Step) -> StepOutcome:
        """Does what the plan says, and notes how the delivery is about to end."""
        token = self.recorder.delivered(step_fields(step, text_of(step.payload)))
        try:
            outcome = await self.do_step(step, token)
        except StepError as error:
            wait = milliseconds(error.retry_after)
            nack = {"nack": {"error": str(error), "retry_after_ms": wait}}
            self.settling(
                token, {"dead_letter": {"reason": str(error)}} if error.is_permanent else nack
            )
            raise
        self.settling(token, verdict_of(outcome))
        return outcome

    def settling(self, token: str, verdict: Any, effects: list[Fields] | None = None) -> None:
        """Notes how a delivery is about to end. The runtime settles it: nobody hears an answer."""
        told = [] if effects is None else effects
        self.recorder.invoked("settle", token=token, verdict=verdict, effects=told)

    async def do_step(self, step: Step, token: str) -> StepOutcome:
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
        keys = map(str, range(mine.memo_count))
        memos = await asyncio.gather(*(self.memo(step, token, key) for key in keys))
        if mine.memo_count:
            await self.replace_memo(step, token, nonce)
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

    async def memo(self, step: Step, token: str, key: str) -> str:
        """A memo that is computed once, though it is asked for twice at a time."""
        both = (self.computed_memo(step, token, key) for _ in range(2))
        values = await asyncio.gather(*both)
        for nonce in values:
            self.note("memo", step.run_id, step=step.step_number, key=key, nonce=nonce)
        return values[0]

    async def computed_memo(self, step: Step, token: str, key: str) -> str:
        """A memo, read or computed; in the history it is read, and written if it is computed."""
        puts: list[int] = []

        async def compute() -> bytes:
            nonce = secrets.token_hex(6)
            self.note("computing", step.run_id, step=step.step_number, key=key, nonce=nonce)
            puts.append(self.recorder.invoked("memo_put", token=token, key=key, value=nonce))
            await asyncio.sleep(0)
            is_large = plan_of(step.run_id).steps[step.step_number].has_large_memos
            return nonce.encode() + b"." * (LARGE_MEMO_BYTES if is_large else 0)

        got = self.recorder.invoked("memo_get", token=token, key=key)
        value = (await step.memo.get_or_compute(key, compute)).decode().rstrip(".")
        for call in puts:
            self.recorder.answered(call, "done")
        self.recorder.answered(got, {"value": value})
        return value

    async def replace_memo(self, step: Step, token: str, nonce: str) -> None:
        """A memo that each delivery sets anew."""
        run_id, number, latest = step.run_id, step.step_number, {"token": token, "key": "latest"}
        found = await self.recorder.call("memo_get", latest, step.memo.get("latest"), value_of)
        self.note("got", run_id, step=number, nonce=None if found is None else found.decode())
        self.note("putting", run_id, step=number, nonce=nonce)
        put = step.memo.put("latest", nonce.encode())
        await self.recorder.call("memo_put", {**latest, "value": nonce}, put)
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

    # Ends.

    async def on_termination(self, outcome: RunOutcome) -> Effects:
        """Notes every end that the hook is told of; its effect is a job."""
        run_id, nonce = outcome.run_id, secrets.token_hex(6)
        # A hook does not hear which job it is, nor at which attempt: the calls are counted here.
        self.telling_counts[run_id] += 1
        token = self.recorder.delivered(
            {
                "job": f"hook of {run_id}",
                "queue": STEPS,
                "attempts": self.telling_counts[run_id],
                "max_attempts": HOOK_ATTEMPTS_MAX,
                "priority": 0,
                "payload": "",
                "headers": dict(outcome.headers),
                "work": {"notification": end_fields(outcome)},
            }
        )
        raises = plan_of(run_id).hook_raises and run_id not in self.told
        self.told.add(run_id)
        self.note("told", run_id, nonce=nonce, raises=raises, end=fields_of(outcome))
        self.on_end()
        if raises:
            message = "the hook fails for the first time"
            self.settling(token, {"nack": {"error": message, "retry_after_ms": None}})
            raise RuntimeError(message)
        payload = f"{run_id} {nonce}"
        self.settling(token, "ack", [{"enqueue": {"queue": FOLLOWUPS, "jobs": [job_of(payload)]}}])
        return Effects().enqueue(FOLLOWUPS, payload.encode())

    async def cancel(self, run_id: str) -> None:
        """Cancels; the answer is noted once it is there."""
        call = secrets.token_hex(6)
        self.note("cancelling", run_id, call=call)
        cancelled = self.runtime.cancel(run_id)
        answer = await self.recorder.call(
            "cancel_run", {"run": run_id}, cancelled, lambda yes: {"run_cancelled": yes}
        )
        self.note("cancelled", run_id, call=call, answer=answer)

    # Submissions.

    async def wave(self, run_ids: list[str], *, in_one_batch: bool) -> None:
        """Submits runs, and sees each of them to its end."""
        for run_id in run_ids:
            self.note("submitting", run_id)
        specs = [spec_of(run_id) for run_id in run_ids]
        async with asyncio.TaskGroup() as group:
            if in_one_batch and specs:
                for handle in await self.submit(specs, self.runtime.submit_many(specs)):
                    group.create_task(self.follow(handle))
            else:
                for spec in specs:
                    group.create_task(self.submit_and_follow(spec))

    async def submit(
        self, specs: list[RunSpec], made: Awaitable[list[RunHandle]]
    ) -> list[RunHandle]:
        """Submits, and notes it."""
        fields = {"queue": STEPS, "runs": [submission_fields(spec) for spec in specs]}
        return await self.recorder.call("submit", fields, made, submitted)

    async def submit_and_follow(self, spec: RunSpec) -> None:
        """Submits one run, and sees it to its end."""

        async def one() -> list[RunHandle]:
            return [await self.runtime.submit(spec)]

        [handle] = await self.submit([spec], one())
        await self.follow(handle)

    async def follow(self, handle: RunHandle) -> None:
        """Cancels the run when its plan says so, and waits for its end."""
        run_id, cancelling = handle.run_id, plan_of(handle.run_id).cancelling
        self.note("submitted", run_id, new=handle.newly_submitted)
        if cancelling is Cancelling.PARKED:
            await self.await_parked(handle)
        if cancelling in (Cancelling.AT_ONCE, Cancelling.SCHEDULED, Cancelling.PARKED):
            # Two at a time: one of them ends the run, the other finds it ended or ending.
            await asyncio.gather(self.cancel(run_id), self.cancel(run_id))
        self.note("ended", run_id, **fields_of(await self.outcome(handle)))
        if cancelling is Cancelling.LATE:
            await self.cancel(run_id)

    async def outcome(self, handle: RunHandle) -> RunOutcome:
        """Waits for the end of a run, and notes it in the history."""
        fields = {"run": handle.run_id}
        return await self.recorder.call(
            "await_run", fields, handle.outcome(), lambda end: {"outcome": end_fields(end)}
        )

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
            for number, size in enumerate(itertools.cycle(WAVE_SIZES)):
                run_ids = [f"{prefix}-{number}-{n}" for n in range(size)]
                await self.wave(run_ids, in_one_batch=number % 2 == 1)

    async def finish(self, runs: run_ledger.Runs) -> None:
        """Sees every run to its end."""
        await self.wave(unfinished_of(runs), in_one_batch=False)
        await asyncio.gather(*self.calls)

    async def tell_outcomes(self, queue: Queue, runs: run_ledger.Runs) -> None:
        """Notes how each run ended, and what its hook has left."""
        for run_id, events in sorted(runs.events.items()):
            if any(event.kind == "submitting" for event in events):
                outcome = await self.runtime.handle(run_id).outcome()
                self.note("outcome", run_id, **fields_of(outcome))
        cursor = None
        while True:
            page = await queue.list_jobs(FOLLOWUPS, cursor=cursor, limit=1000)
            for job in page.jobs:
                payload = (await queue.get_job(job.job_id)).payload or b""
                run_id, nonce = payload.decode().split()
                self.note("followup", run_id, nonce=nonce)
            cursor = page.cursor
            if cursor is None:
                return


def job_of(payload: str) -> Fields:
    """A job of a hook's effect, as the history has it."""
    return {"payload": payload}


def value_of(value: bytes | None) -> Fields:
    """What a memo holds, as the history has it."""
    return {"value": None if value is None else value.decode()}


def submission_fields(spec: RunSpec) -> Fields:
    """A submission, as the history has it."""
    return {
        "run": spec.run_id,
        "input": text_of(spec.input),
        "headers": dict(spec.headers),
        "delay_ms": None if spec.run_at is None else milliseconds(HOUR),
        "max_attempts": spec.max_attempts,
        "is_observed": True,
    }


def submitted(handles: list[RunHandle]) -> Fields:
    """The answer to it."""
    told = [{"run": handle.run_id, "is_new": handle.newly_submitted} for handle in handles]
    return {"submitted": told}


def verdict_of(outcome: StepOutcome) -> Fields:
    """How a step ends its delivery, as the history has it."""
    match outcome:
        case StepOutcome.Continue(payload):
            return {"continue": {"payload": text_of(payload), "delay_ms": None}}
        case StepOutcome.ContinueAfter(payload, delay):
            return {"continue": {"payload": text_of(payload), "delay_ms": milliseconds(delay)}}
        case StepOutcome.Succeed(result):
            return {"succeed": {"result": text_of(result)}}
        case StepOutcome.Fail(reason):
            return {"fail": {"reason": reason}}
        case StepOutcome.Cancel(reason):
            return {"cancel": {"reason": reason}}
    message = f"no outcome: {outcome!r}"
    raise AssertionError(message)


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


def state_fields(run: RunStatus) -> Fields:
    """A listed run, as the ledger has it."""
    return {
        "state": str(run.state),
        "error": run.error,
        "step": run.step_number,
        "has_ended": run.ended_at is not None,
    }
