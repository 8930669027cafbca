"""The real store beside the model: opening it, crashing it, a runner that does as told, and looks.

A crash is a second owner: the first one is not closed, so nothing of it is tidied up, and it is
fenced.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from taquba import JobInfo, JobState, MockClock, OpenOptions, Queue, RunState, RunStatus
from taquba.exceptions import FencedError, TaqubaError
from taquba.store import MemoryStore
from taquba.workflow import Step, StepOutcome, WorkflowRuntime
from tests.model.plain import CONFIGS, FLOW, RUN_RETENTION, Job, Model, Run

# Above the largest but below the others: some payloads are objects.
OFFLOAD_THRESHOLD = 1000
# For the engine's timers, which run on its own thread. Once it has been in vain, a failing life is
# being made shorter, and each of its versions should not take as long.
WAIT_SECONDS_MAX = 10.0
WAIT_AGAIN_SECONDS_MAX = 0.5

Store = MemoryStore | Path


class Bench:
    """An open queue, and a runtime with one step in flight, whose outcome the test decides."""

    def __init__(self, store: Store, clock: MockClock) -> None:
        self._store = store
        self.clock = clock
        self.held: Step | None = None
        self.queue: Queue
        self.runtime: WorkflowRuntime
        self._order: asyncio.Future[StepOutcome] | None = None
        self._arrived = asyncio.Event()

    async def open(self) -> None:
        """Opens the store, and takes it from the owner before."""
        options = OpenOptions(
            clock=self.clock,
            fsync=False,
            queue_configs=CONFIGS,
            payload_offload_threshold=OFFLOAD_THRESHOLD,
        )
        self.queue = await Queue.open(self._store, options=options)

    async def begin_work(self) -> None:
        """Has steps delivered, one at a time."""
        self.held = None
        self._arrived = asyncio.Event()
        runtime = WorkflowRuntime(
            self.queue,
            self._hold,
            queue_name=FLOW,
            concurrency=1,
            run_retention=RUN_RETENTION,
            shutdown_timeout=0,
        )
        self.runtime = await runtime.__aenter__()

    async def close(self) -> None:
        """Ends in order: the step in flight is handed back."""
        await self.runtime.__aexit__(None, None, None)
        await self.queue.close()

    async def crash(self) -> None:
        """Follows an owner that is not closed, which then finds itself fenced."""
        queue, runtime = self.queue, self.runtime
        await self.open()
        try:
            await queue.enqueue("plain", b"behind the back")
        except FencedError:
            pass
        else:
            raise AssertionError("the owner before was not fenced")
        with suppress(TaqubaError):
            await runtime.__aexit__(None, None, None)
        with suppress(TaqubaError):
            await queue.close()

    async def delivered(self) -> Step:
        """Waits for the next step."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await self._arrived.wait()
        assert self.held is not None
        return self.held

    def order(self, outcome: StepOutcome | Exception) -> None:
        """Has the runner return, or raise, what the test wants."""
        assert self._order is not None, "a step is being delivered"
        if isinstance(outcome, Exception):
            self._order.set_exception(outcome)
        else:
            self._order.set_result(outcome)
        self.held, self._order = None, None
        self._arrived.clear()

    async def _hold(self, step: Step) -> StepOutcome:
        self.held = step
        self._order = asyncio.get_running_loop().create_future()
        self._arrived.set()
        return await self._order


async def eventually(probe: Callable[[], Awaitable[str | None]]) -> None:
    """Calls a probe until it finds no difference: the engine's timers run on its own thread."""
    global WAIT_SECONDS_MAX  # noqa: PLW0603 - see there
    difference: str | None = None
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while (difference := await probe()) is not None:  # noqa: ASYNC110 - nothing to wait on
                await asyncio.sleep(0.001)
    except TimeoutError:
        WAIT_SECONDS_MAX = min(WAIT_SECONDS_MAX, WAIT_AGAIN_SECONDS_MAX)
        raise AssertionError(f"still different: {difference}") from None


async def difference(model: Model, queue: Queue) -> str | None:
    """What the store shows otherwise than the model, if anything."""
    pages = await asyncio.gather(*(queue.list_jobs(name, limit=1000) for name in CONFIGS))
    runs, keys, stats = await asyncio.gather(
        queue.list_runs(limit=1000), queue.kv_scan(limit=1000), queue.stats()
    )
    jobs = [info for page in pages for info in page.jobs]
    seen = {info.job_id: _job_seen(info) for info in jobs if info.kind == "job" or _is_dead(info)}
    wanted: dict[str, Any] = {key: _job_wanted(job) for key, job in model.jobs.items()}
    if seen != wanted:
        return f"jobs: {_diff(seen, wanted)}"
    run_wanted = {run_id: _run_wanted(run) for run_id, run in model.runs.items()}
    run_seen = {run.run_id: _run_seen(run) for run in runs.runs}
    if run_seen != run_wanted:
        return f"runs: {_diff(run_seen, run_wanted)}"
    steps = sorted(str(info.run_id) for info in jobs if info.kind == "step" and not _is_dead(info))
    live = sorted(run_id for run_id, run in model.runs.items() if not run.state.is_terminal)
    if steps != live:
        return f"steps: the store has those of {steps}, the model of {live}"
    if dict(keys.entries) != model.keys:
        return f"keys: {_diff(dict(keys.entries), model.keys)}"
    counted = {name: _counts(model, name) for name in CONFIGS}
    shown = {
        name: {field: getattr(one, field) for field in counted[name]}
        for name, one in stats.queues.items()
    }
    counted = {
        name: counts for name, counts in counted.items() if name in shown or any(counts.values())
    }
    return None if shown == counted else f"stats: {_diff(shown, counted)}"


def _is_dead(info: JobInfo) -> bool:
    return info.kind == "step" and info.state is JobState.DEAD


def _job_seen(info: JobInfo) -> dict[str, Any]:
    ended = info.state in {JobState.DONE, JobState.DEAD}
    return {
        "queue": info.queue,
        "state": info.state,
        "attempts": info.attempts,
        "max_attempts": info.max_attempts,
        "priority": info.priority,
        "headers": dict(info.headers),
        "payload_bytes": info.payload_bytes,
        "dedup_key": info.dedup_key if info.kind == "job" else None,
        "at": info.ended_at if ended else info.run_at if info.state is JobState.SCHEDULED else None,
        "error": info.last_error,
        "is_cancelled": info.is_cancel_requested,
    }


def _job_wanted(job: Job) -> dict[str, Any]:
    return {
        "queue": job.queue,
        "state": job.state,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "priority": job.priority,
        "headers": job.headers,
        "payload_bytes": job.payload_bytes,
        "dedup_key": job.dedup_key,
        "at": job.at if job.state not in {JobState.PENDING, JobState.CLAIMED} else None,
        "error": job.error,
        "is_cancelled": job.is_cancelled,
    }


def _run_seen(run: RunStatus) -> dict[str, Any]:
    scheduled = run.state is RunState.SCHEDULED
    return {
        "state": run.state,
        "step_number": run.step_number,
        "attempts": run.attempts,
        "headers": dict(run.headers),
        "at": run.ended_at if run.state.is_terminal else run.run_at if scheduled else None,
        "error": run.error,
        "priority": run.priority,
        "max_attempts": run.max_attempts,
        "last_error": None if run.state.is_terminal else run.last_error,
    }


def _run_wanted(run: Run) -> dict[str, Any]:
    has_ended = run.state.is_terminal
    is_dated = has_ended or run.state is RunState.SCHEDULED
    return {
        "state": run.state,
        "step_number": run.step_number,
        "attempts": run.attempts,
        "headers": run.headers,
        "at": run.at if is_dated else None,
        "error": run.error,
        "priority": None if has_ended else run.priority,
        "max_attempts": None if has_ended else run.max_attempts,
        "last_error": None if has_ended else run.last_error,
    }


def _counts(model: Model, queue: str) -> dict[str, int]:
    states = [job.state for job in model.jobs.values() if job.queue == queue]
    runs = [run.state for run in model.runs.values()] if queue == FLOW else []
    being_delivered = runs.count(RunState.RUNNING) + runs.count(RunState.CANCELLING)
    totals = model.totals[queue]
    return {
        "pending_count": states.count(JobState.PENDING) + runs.count(RunState.PENDING),
        "scheduled_count": states.count(JobState.SCHEDULED) + runs.count(RunState.SCHEDULED),
        "claimed_count": states.count(JobState.CLAIMED) + being_delivered,
        "done_count": states.count(JobState.DONE),
        "dead_count": states.count(JobState.DEAD),
        "live_run_count": sum(not state.is_terminal for state in runs),
        "enqueued_total": totals["enqueued"],
        "acked_total": totals["acked"],
        "retried_total": totals["retried"],
        "dead_total": totals["dead"],
        "cancelled_total": totals["cancelled"],
    }


def _diff(seen: dict[str, Any], wanted: dict[str, Any]) -> str:
    lines = [
        f"{key}: the store shows {seen.get(key)}, the model {wanted.get(key)}"
        for key in sorted(seen.keys() | wanted.keys())
        if seen.get(key) != wanted.get(key)
    ]
    return "; ".join(lines)
