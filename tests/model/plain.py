"""What a store holds, as dicts: the model that the real one is compared with.

It knows the rules of the documentation and nothing of how they are kept. Time is the clock of the
test. What the documentation leaves open (whether a claim younger than one commit was counted when
the process died) is adopted from the real store, within its bounds.
"""

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from taquba import Claim, JobInfo, JobState, QueueConfig, RetryJitter, RunState

BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 10, 300
RUN_RETENTION = timedelta(seconds=900)
FLOW = "flow"

_RETRIES: dict[str, Any] = {
    "retry_backoff_base": BACKOFF_SECONDS,
    "retry_backoff_max": BACKOFF_SECONDS_MAX,
    "retry_jitter": RetryJitter.NONE,
}
CONFIGS = {
    "plain": QueueConfig(**_RETRIES, dead_retention=None),
    "kept": QueueConfig(
        **_RETRIES, max_attempts=2, default_priority=7, keep_done_jobs=100, dead_retention=500
    ),
    FLOW: QueueConfig(**_RETRIES, max_attempts=2, dead_retention=None),
}
JOB_QUEUES = ("plain", "kept")


@dataclass
class Job:
    """A job, or the dead step of a run that failed."""

    queue: str
    payload_bytes: int
    priority: int
    max_attempts: int
    headers: dict[str, str]
    dedup_key: str | None
    dedup_scope: str
    place: int
    """Its turn among jobs of its priority; a revived job goes to the end."""
    state: JobState = JobState.PENDING
    attempts: int = 0
    at: datetime | None = None
    """When it becomes due, its lease ends, or it ended."""
    claim: Claim | None = None
    is_cancelled: bool = False
    error: str | None = None


@dataclass
class Run:
    """A run, and its present step."""

    input: bytes
    headers: dict[str, str]
    priority: int
    max_attempts: int
    place: int
    payload: bytes
    state: RunState = RunState.PENDING
    step_number: int = 0
    attempts: int = 0
    at: datetime | None = None
    """When its step becomes due, or when it ended."""
    error: str | None = None
    result: bytes | None = None
    last_error: str | None = None
    memos: dict[tuple[int, str], bytes] = field(default_factory=dict)
    submission: int = 0
    """Its turn among all submissions."""


class Model:
    """All of it. Every change of the real store has its counterpart here."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.jobs: dict[str, Job] = {}
        self.keys: dict[str, bytes] = {}
        self.runs: dict[str, Run] = {}
        self.stale: list[Claim] = []
        self.held: str | None = None
        """The run whose step is being delivered."""
        self._holders: dict[tuple[str, str], str] = {}
        self.totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._places = itertools.count()

    def config(self, queue: str) -> QueueConfig:
        """How a queue treats its jobs."""
        return CONFIGS[queue]

    def in_states(self, *states: JobState) -> list[str]:
        """Jobs in one of these states, oldest first."""
        return sorted(job_id for job_id, job in self.jobs.items() if job.state in states)

    def runs_in(self, *states: RunState) -> list[str]:
        """Runs in one of these states."""
        return sorted(run_id for run_id, run in self.runs.items() if run.state in states)

    # Jobs, in the order of their lives.

    def holder(self, queue: str, key: str | None) -> str | None:
        """The job that has a dedup key."""
        return None if key is None else self._holders.get((queue, key))

    def add(self, job_id: str, queue: str, **fields: Any) -> None:
        """A job came in."""
        delay = fields.pop("delay", None)
        job = Job(queue=queue, place=next(self._places), **fields)
        if delay:
            job.state, job.at = JobState.SCHEDULED, self.now + timedelta(seconds=delay)
        self.jobs[job_id] = job
        self.totals[queue]["enqueued"] += 1
        self._hold(job_id)

    def next_jobs(self, queue: str, count: int) -> list[str]:
        """Those that a claim must take."""
        ready = [
            (job.priority, job.place, job_id)
            for job_id, job in self.jobs.items()
            if job.queue == queue and job.state is JobState.PENDING
        ]
        return [job_id for _, _, job_id in sorted(ready)[:count]]

    def claim(self, job_id: str, claim: Claim, lease: timedelta) -> None:
        """A job was taken."""
        job = self.jobs[job_id]
        job.attempts += 1
        job.state, job.claim, job.at = JobState.CLAIMED, claim, self.now + lease
        if job.dedup_scope == "waiting":
            self._free(job_id)

    def ack(self, job_id: str) -> None:
        """A delivery ended well."""
        job = self._end_delivery(job_id)
        self.totals[job.queue]["acked"] += 1
        if self.config(job.queue).keep_done_jobs is None:
            self.remove(job_id)
        else:
            self._keep(job_id, JobState.DONE)

    def nack(self, job_id: str, error: str, retry_after: float | None) -> None:
        """A delivery failed for now."""
        job = self._end_delivery(job_id)
        seconds = backoff(job.attempts) if retry_after is None else retry_after
        self._again(job_id, error, timedelta(seconds=seconds))

    def bury(self, job_id: str, error: str | None) -> None:
        """A delivery failed for good."""
        job = self._end_delivery(job_id)
        job.error = error
        self.totals[job.queue]["dead"] += 1
        self._keep(job_id, JobState.DEAD)

    def cancel(self, job_id: str) -> None:
        """A job is not to go on."""
        job = self.jobs[job_id]
        if job.state is JobState.CLAIMED:
            job.is_cancelled = True
        else:
            self.totals[job.queue]["cancelled"] += 1
            self.remove(job_id)

    def revive(self, job_id: str) -> None:
        """A dead job gets all its attempts anew."""
        job = self.jobs[job_id]
        job.state, job.attempts, job.at, job.place = JobState.PENDING, 0, None, next(self._places)
        self.totals[job.queue]["retried"] += 1
        self._hold(job_id)

    def remove(self, job_id: str) -> None:
        """A job is gone."""
        self._free(job_id)
        del self.jobs[job_id]

    # Runs.

    def submit(self, run_id: str, run: Run, delay: float | None) -> None:
        """A run came in."""
        run.place = run.submission = next(self._places)
        if delay:
            run.state, run.at = RunState.SCHEDULED, self.now + timedelta(seconds=delay)
        self.runs[run_id] = run
        self.totals[FLOW]["enqueued"] += 1

    def deliver(self, run_id: str) -> None:
        """A step goes to the runner."""
        run = self.runs[run_id]
        run.attempts += 1
        run.state = RunState.RUNNING
        self.held = run_id

    def go_on(self, payload: bytes, delay: float | None) -> None:
        """The step that is being delivered is followed by another one."""
        run = self._returned()
        if run.state is RunState.CANCELLING:
            return self.stop_run(run)
        run.step_number += 1
        run.attempts, run.payload, run.place = 0, payload, next(self._places)
        run.last_error = None
        self._make_run_wait(run, delay)
        self.totals[FLOW]["enqueued"] += 1
        self.totals[FLOW]["acked"] += 1
        return None

    def finish(self, state: RunState, result: bytes | None, error: str | None) -> None:
        """The step that is being delivered ends its run."""
        run = self._returned()
        if run.state is RunState.CANCELLING and state is not RunState.CANCELLED:
            return self.stop_run(run)
        self._end_run(run, state, result, error)
        self.totals[FLOW]["acked"] += 1
        return None

    def fail_step(
        self, error: str, job_id: str, *, is_permanent: bool, retry_after: float | None
    ) -> None:
        """The step that is being delivered failed."""
        run = self._returned()
        if run.state is RunState.CANCELLING:
            return self.stop_run(run)
        if is_permanent or run.attempts >= run.max_attempts:
            return self.fail_run(run, error, job_id)
        run.last_error = error
        self._make_run_wait(run, backoff(run.attempts) if retry_after is None else retry_after)
        self.totals[FLOW]["retried"] += 1
        return None

    def fail_run(self, run: Run, error: str | None, job_id: str) -> None:
        """The last step of a run is a dead letter."""
        self._end_run(run, RunState.FAILED, None, error)
        self.totals[FLOW]["dead"] += 1
        self.jobs[job_id] = Job(
            queue=FLOW,
            payload_bytes=len(run.payload),
            priority=run.priority,
            max_attempts=run.max_attempts,
            headers=run.headers,
            dedup_key=None,
            dedup_scope="waiting",
            place=run.place,
            state=JobState.DEAD,
            attempts=run.attempts,
            at=self.now,
            error=error,
        )

    def stop_run(self, run: Run) -> None:
        """A run ends because somebody cancelled it."""
        self._end_run(run, RunState.CANCELLED, None, None)
        self.totals[FLOW]["cancelled"] += 1

    # Time, and the end of the process.

    def advance(self, seconds: float) -> set[str]:
        """Time passes. Returns the runs whose steps became due."""
        self.now += timedelta(seconds=seconds)
        for job in self.jobs.values():
            if job.state is JobState.SCHEDULED and job.at is not None and job.at <= self.now:
                job.state = JobState.PENDING
        for job_id, job in list(self.jobs.items()):
            if job.state is JobState.CLAIMED and job.at is not None and job.at <= self.now:
                self._end_delivery(job_id)
                error = "the lease expired before the job was settled"
                self._again(job_id, error, timedelta())
        self._forget()
        due = [run for run in self.runs.values() if run.state is RunState.SCHEDULED]
        woken = {id(run) for run in due if run.at is not None and run.at <= self.now}
        for run in due:
            if id(run) in woken:
                run.state = RunState.PENDING
        return {run_id for run_id, run in self.runs.items() if id(run) in woken}

    def recover(self, *, was_closed: bool) -> None:
        """The store was opened again. What was claimed is to be adopted after a crash."""
        for job_id, job in list(self.jobs.items()):
            if job.state is not JobState.CLAIMED:
                continue
            self._end_delivery(job_id)
            if job.is_cancelled:
                self.totals[job.queue]["cancelled"] += 1
                self.remove(job_id)
            elif was_closed:
                self._again(job_id, "the queue was closed before it was settled", timedelta())
        self._holders.clear()
        for job_id in sorted(self.jobs):
            if self.jobs[job_id].state not in {JobState.DONE, JobState.DEAD}:
                self._hold(job_id)

    def adopt(self, job_id: str, info: JobInfo) -> None:
        """Take over what became of a claim at a crash, within what is allowed."""
        job = self.jobs[job_id]
        assert info.attempts in {job.attempts - 1, job.attempts}, (info, job)
        is_last = info.attempts >= job.max_attempts
        assert info.state is (JobState.DEAD if is_last else JobState.PENDING), (info, job)
        job.attempts = info.attempts
        if is_last:
            self.totals[job.queue]["dead"] += 1
            self._keep(job_id, JobState.DEAD)
        else:
            job.state, job.at = JobState.PENDING, None
            self._hold(job_id)
        job.error = info.last_error

    def _hold(self, job_id: str) -> None:
        job = self.jobs[job_id]
        if job.dedup_key is not None:
            self._holders.setdefault((job.queue, job.dedup_key), job_id)

    def _free(self, job_id: str) -> None:
        job = self.jobs[job_id]
        key = (job.queue, job.dedup_key or "")
        if self._holders.get(key) == job_id:
            del self._holders[key]

    def _end_delivery(self, job_id: str) -> Job:
        job = self.jobs[job_id]
        if job.claim is not None:
            self.stale.append(job.claim)
        job.claim = None
        return job

    def _again(self, job_id: str, error: str, after: timedelta) -> None:
        job = self.jobs[job_id]
        if job.is_cancelled:
            self.totals[job.queue]["cancelled"] += 1
            self.remove(job_id)
        elif job.attempts >= job.max_attempts:
            self.bury(job_id, error)
        else:
            job.error = error
            job.state, job.at = JobState.PENDING, None
            if after:
                job.state, job.at = JobState.SCHEDULED, self.now + after
            self.totals[job.queue]["retried"] += 1
            self._hold(job_id)

    def _keep(self, job_id: str, state: JobState) -> None:
        self._free(job_id)
        job = self.jobs[job_id]
        job.state, job.at, job.is_cancelled = state, self.now, False

    def _forget(self) -> None:
        for job_id, job in list(self.jobs.items()):
            config = self.config(job.queue)
            kept = {JobState.DONE: config.keep_done_jobs, JobState.DEAD: config.dead_retention}
            retention = kept.get(job.state)
            if not isinstance(retention, timedelta) or job.at is None:
                continue
            if job.at + retention <= self.now:
                self.remove(job_id)
        for run_id, run in list(self.runs.items()):
            if run.state.is_terminal and run.at is not None and run.at + RUN_RETENTION <= self.now:
                del self.runs[run_id]

    def _returned(self) -> Run:
        assert self.held is not None, "a step is being delivered"
        run, self.held = self.runs[self.held], None
        return run

    def _make_run_wait(self, run: Run, delay: float | None) -> None:
        run.state, run.at = RunState.PENDING, None
        if delay:
            run.state, run.at = RunState.SCHEDULED, self.now + timedelta(seconds=delay)

    def _end_run(self, run: Run, state: RunState, result: bytes | None, error: str | None) -> None:
        run.state, run.result, run.error, run.at = state, result, error, self.now


def backoff(attempts: int) -> float:
    """Seconds until the next delivery."""
    return float(min(BACKOFF_SECONDS * 2 ** (attempts - 1), BACKOFF_SECONDS_MAX))
