"""The table of hostile kinds, in every position, in one process: what became of each of them.

    python -m tests.faults.hostile coroutine      # or `function`: plain functions, in threads

The last line of output is a JSON object: by kind and position, what was not as it has to be.
Positions: the first step of a run, a later one, a retry, the hook, the worker of a job.
"""

import asyncio
import json
import logging
import sys
from collections import Counter
from typing import Any

from taquba import (
    Claim,
    EnqueueOptions,
    JobState,
    NewJob,
    OpenOptions,
    Queue,
    QueueConfig,
    RetryJitter,
    run_worker,
)
from taquba.workflow import (
    RunHandle,
    RunOutcome,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    WorkflowRuntime,
)
from tests.faults.kinds import KINDS, Kind, as_coroutine, needs_loop

STEP_POSITIONS = ("first step", "later step", "retry")
HOOK, WORKER = "hook", "worker"
POSITIONS = (*STEP_POSITIONS, HOOK, WORKER)
JOBS, RUNS = "emails", "workflow"
MAX_ATTEMPTS = 3
# How often a hook is hostile before it hears.
HOSTILE_HOOK_CALLS = 2
TIMEOUT_SECONDS = 0.5
# The engine takes a delivery back that ignores its interruption, each time after some seconds.
PATIENCE_SECONDS = 45.0
LOOK_EVERY_SECONDS = 0.01
HEALTHY = "healthy"


class Table:
    """Everything at once on one queue: the hostile and the healthy."""

    def __init__(self, *, uses_loop: bool) -> None:
        self.uses_loop = uses_loop
        self.kinds = {
            name: kind for name, kind in KINDS.items() if uses_loop or not needs_loop(kind)
        }
        self.names = list(self.kinds)
        self.deliveries: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.wrong: dict[str, str] = {}

    def kind_of(self, subject: str) -> tuple[Kind, str]:
        """The kind and the position that the id of a run, or a payload, stands for."""
        number, position = subject.split("-", 1)
        return self.kinds[self.names[int(number)]], position.replace("_", " ")

    def subject_of(self, name: str, position: str) -> str:
        """The id of its run, and the payload of its job."""
        return f"{self.names.index(name)}-{position.replace(' ', '_')}"

    # What the runner, the worker and the hook do, as a coroutine and as a function.

    def plan_step(self, step: Step) -> Kind | StepOutcome:
        """What a step is to do, or what it is to return."""
        subject = step.run_id
        if subject == HEALTHY:
            return StepOutcome.Succeed(b"fine")
        kind, position = self.kind_of(subject)
        if position == HOOK:
            return StepOutcome.Succeed(b"fine")
        if position == "later step" and step.step_number == 0:
            return StepOutcome.Continue(b"")
        if position == "retry" and step.attempts == 1:
            raise StepError.transient("the first attempt")
        if step.step_number > 1:
            return StepOutcome.Fail("it went on")
        self.deliveries[subject] += 1
        return kind

    async def run_step(self, step: Step) -> Any:
        """The runner."""
        plan = self.plan_step(step)
        return await as_coroutine(plan)() if isinstance(plan, Kind) else plan

    def run_step_in_thread(self, step: Step) -> Any:
        """The same as a plain function."""
        plan = self.plan_step(step)
        return plan.act() if isinstance(plan, Kind) else plan

    async def process(self, job: Claim) -> Any:
        """The worker."""
        if job.payload == HEALTHY.encode():
            return None
        self.deliveries[job.payload.decode()] += 1
        return await as_coroutine(self.kind_of(job.payload.decode())[0])()

    def process_in_thread(self, job: Claim) -> Any:
        """The same as a plain function."""
        if job.payload == HEALTHY.encode():
            return None
        self.deliveries[job.payload.decode()] += 1
        return self.kind_of(job.payload.decode())[0].act()

    def plan_hook(self, outcome: RunOutcome) -> Kind | None:
        """What the hook is to do."""
        subject = outcome.run_id
        if subject == HEALTHY or self.kind_of(subject)[1] != HOOK:
            return None
        self.told[subject] += 1
        return self.kind_of(subject)[0] if self.told[subject] <= HOSTILE_HOOK_CALLS else None

    async def hear(self, outcome: RunOutcome) -> Any:
        """The hook. What hangs is interrupted by itself: hooks have no limit of time."""
        plan = self.plan_hook(outcome)
        if plan is None:
            return None
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await as_coroutine(plan)()

    def hear_in_thread(self, outcome: RunOutcome) -> Any:
        """The same as a plain function."""
        plan = self.plan_hook(outcome)
        return None if plan is None else plan.act()

    # The whole.

    async def work(self, queue: Queue) -> None:
        """Has all of it done, and then some healthy work."""
        shutdown = asyncio.Event()
        process: Any = self.process if self.uses_loop else self.process_in_thread
        worker = asyncio.create_task(
            run_worker(queue, JOBS, process, shutdown=shutdown, job_timeout=TIMEOUT_SECONDS)
        )
        run_step: Any = self.run_step if self.uses_loop else self.run_step_in_thread
        hear: Any = self.hear if self.uses_loop else self.hear_in_thread
        async with WorkflowRuntime(queue, run_step, hear, step_timeout=TIMEOUT_SECONDS) as runtime:
            jobs = await self.enqueue(queue)
            await self.judge_runs(await self.submit(runtime))
            await self.judge_jobs(queue, jobs)
            await self.await_quiet(queue)
            healthy = await runtime.submit(RunSpec(b"", run_id=HEALTHY))
            if (await healthy.outcome(timeout=PATIENCE_SECONDS)).result != b"fine":
                self.wrong[HEALTHY] = "the run did not succeed"
            await queue.enqueue(JOBS, HEALTHY.encode())
            await self.await_quiet(queue)
        shutdown.set()
        await worker
        self.judge_counts()

    async def submit(self, runtime: WorkflowRuntime) -> dict[str, RunHandle]:
        """Submits a run for each kind and position of a run."""
        positions = (*STEP_POSITIONS, HOOK)
        subjects = [self.subject_of(name, place) for name in self.names for place in positions]
        specs = [RunSpec(b"", run_id=subject, max_attempts=MAX_ATTEMPTS) for subject in subjects]
        return dict(zip(subjects, await runtime.submit_many(specs), strict=True))

    async def judge_runs(self, handles: dict[str, RunHandle]) -> None:
        """Holds the end of each run against what its kind says."""
        for subject, handle in handles.items():
            kind, position = self.kind_of(subject)
            name = self.name_of(subject)
            try:
                outcome = await handle.outcome(timeout=PATIENCE_SECONDS)
            except TimeoutError:
                self.wrong[name] = "it has not ended"
                continue
            expected = "succeeded" if position == HOOK else kind.step
            if str(outcome.status) != expected:
                self.wrong[name] = f"it ended as {outcome.status}: {outcome.error}"
            elif expected == "failed" and kind.word not in (outcome.error or ""):
                self.wrong[name] = f"it says {outcome.error!r}"

    async def enqueue(self, queue: Queue) -> dict[str, str]:
        """Enqueues a job for each kind; returns what each of them is for."""
        options = EnqueueOptions(max_attempts=MAX_ATTEMPTS)
        subjects = [self.subject_of(name, WORKER) for name in self.names]
        jobs = [NewJob(subject.encode(), options) for subject in subjects]
        return dict(zip(await queue.enqueue_batch(JOBS, jobs), subjects, strict=True))

    async def judge_jobs(self, queue: Queue, jobs: dict[str, str]) -> None:
        """Holds the end of each job against what its kind says."""
        await self.await_quiet(queue)
        for job, subject in jobs.items():
            kind, name = self.kind_of(subject)[0], self.name_of(subject)
            state = (await queue.get_job(job)).state
            expected = JobState.DONE if kind.job == "acked" else JobState.DEAD
            if state is not expected:
                self.wrong[name] = f"the job is {state.value}"

    def judge_counts(self) -> None:
        """No kind was delivered more often than its attempts allow, and every hook was told."""
        for subject, count in self.deliveries.items():
            if count > MAX_ATTEMPTS:
                self.wrong[self.name_of(subject)] = f"it was delivered {count} times"
        for name in self.names:
            for position in POSITIONS:
                subject = self.subject_of(name, position)
                count = self.told[subject] if position == HOOK else self.deliveries[subject]
                if count == 0:
                    self.wrong[self.name_of(subject)] = "it never happened"

    def name_of(self, subject: str) -> str:
        """What a kind and position are called in the result."""
        number, position = subject.split("-", 1)
        return f"{self.names[int(number)]}, {position.replace('_', ' ')}"

    async def await_quiet(self, queue: Queue) -> None:
        """Waits until nothing waits or runs."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while left := await self.left(queue):
            if asyncio.get_running_loop().time() > deadline:
                self.wrong |= {f"{subject} at {place}": "it is stuck" for subject, place in left}
                return
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def left(self, queue: Queue) -> list[tuple[str, str]]:
        """What waits or runs: its run or job, and its state."""
        found = []
        for name in (JOBS, RUNS):
            for state in (JobState.PENDING, JobState.SCHEDULED, JobState.CLAIMED):
                jobs = (await queue.list_jobs(name, state)).jobs
                found += [(job.run_id or job.job_id, state.value) for job in jobs]
        return found


async def main(form: str) -> None:
    """Does the table in one form."""
    config = QueueConfig(retry_backoff_base=0, retry_jitter=RetryJitter.NONE, keep_done_jobs=3600.0)
    table = Table(uses_loop=form == "coroutine")
    options = OpenOptions(default_queue_config=config)
    async with Queue.open("memory://", options=options) as queue:
        await table.work(queue)
    print(json.dumps({"kinds": len(table.names), "wrong": table.wrong}))


if __name__ == "__main__":
    # Every failure is logged with its traceback, as it should be; here that is noise.
    logging.disable(logging.CRITICAL)
    asyncio.run(main(sys.argv[1]))
