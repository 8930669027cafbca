"""Runs: looking at them, submitting them, and what can be done to one.

Invariants:
    1. A run is submitted by the runtime of its queue, which knows its hook and its retention.
    2. A retry of a run that has failed is a run of its own, with an id that says whose retry it is:
       asking again while it lives starts no second one.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from taquba import _shown
from taquba._redact import redact_headers
from taquba._shown import has_error
from taquba.admin import _wire
from taquba.admin._names import payload_of
from taquba.admin._refusal import Refusal
from taquba.admin._requests import Asked, each_line
from taquba.admin._retries import next_retry
from taquba.admin._scan import scan_runs
from taquba.admin._site import Site
from taquba.exceptions import JobNotFoundError, TaqubaError
from taquba.queue import JobInfo, JobState, Queue, QueueReader, RunState, RunStatus, StepRecord
from taquba.queue._queue import wall_clock
from taquba.workflow import RESERVED_HEADER_PREFIX, RunSpec, WorkflowRuntime

__all__ = ["cancel", "memos", "result", "retry", "runs", "show", "submit", "submit_lines", "wake"]


async def runs(site: Site, asked: Asked) -> Mapping[str, object]:
    """List runs, the latest submission first."""
    query = asked.query
    scanned = await scan_runs(
        site.source,
        query["queue"],
        query["state"] or [state.value for state in RunState],
        prefix=query["prefix"],
        cursor=query["cursor"],
        limit=query["limit"],
        fits=_filter(query["header"], query["error"]),
    )
    return {
        "runs": [_shown.record(run) for run in scanned.found],
        "cursor": scanned.cursor,
        "examined": scanned.examined,
    }


async def show(site: Site, asked: Asked) -> Mapping[str, object]:
    """Show one run with its steps, and the deliveries of its present or last one."""
    run_id = asked.query["run_id"]
    status = await site.source.get_run(run_id)
    steps = await site.source.step_history(run_id)
    return {
        "run": _shown.record(status),
        "steps": [_shown.record(step) for step in steps],
        "attempts": await _attempts(site, status, steps),
        "is_repeatable": await _is_repeatable(site, status, steps),
    }


async def result(site: Site, asked: Asked) -> Mapping[str, object]:
    """Show what a run has produced."""
    site.check_shows_payloads()
    return {"payload": _wire.payload(await site.source.get_result(asked.query["run_id"]))}


async def memos(site: Site, asked: Asked) -> Mapping[str, object]:
    """List the memos of a run."""
    query = asked.query
    page = await site.source.list_memos(query["run_id"], query["cursor"], query["limit"])
    return {"memos": [_shown.record(one) for one in page.memos], "cursor": page.cursor}


async def submit(site: Site, asked: Asked) -> Mapping[str, object]:
    """Submit a run."""
    runtime = _runtime(site, asked.body["queue"])
    spec = _spec(site.queue(), asked.body)
    [handle] = await _submitted(runtime, [spec])
    return handle


async def submit_lines(site: Site, asked: Asked) -> Mapping[str, object]:
    """Submit a batch of runs, all or none."""
    runtime = _runtime(site, asked.query["queue"])
    make = functools.partial(_spec, site.queue())
    return {"runs": await _submitted(runtime, await each_line(asked.lines, make))}


async def cancel(site: Site, asked: Asked) -> Mapping[str, object]:
    """Stop a run for good."""
    run_id = asked.body["run_id"]
    status = await site.queue().get_run(run_id)
    return {"is_cancelled": await site.canceller(status.queue).cancel(run_id)}


async def wake(site: Site, asked: Asked) -> Mapping[str, object]:
    """Make the waiting step of a run due now."""
    queue = site.queue()
    await _wake(queue, await queue.get_run(asked.body["run_id"]))
    return {}


async def retry(site: Site, asked: Asked) -> Mapping[str, object]:
    """Let a run go on that waits for its retry, or submit a failed one again."""
    queue = site.queue()
    status = await queue.get_run(asked.body["run_id"])
    if not status.state.is_terminal:
        await _wake(queue, status)
        return {"run_id": status.run_id}
    if status.state is not RunState.FAILED:
        raise _wrong_state(status, "only a run that waits or has failed is retried")
    job = await _dead_first_step(queue, status, await queue.step_history(status.run_id))
    runtime = _runtime(site, status.queue)
    spec = RunSpec(
        job.payload,
        run_id=await next_retry(queue, status.run_id),
        headers={
            name: value
            for name, value in job.headers.items()
            if not name.startswith(RESERVED_HEADER_PREFIX)
        },
        priority=job.priority,
        max_attempts=job.max_attempts,
    )
    [handle] = await _submitted(runtime, [spec])
    return {"run_id": handle["run_id"]}


def _filter(header: str | None, error: str | None) -> Callable[[RunStatus], bool] | None:
    if header is None and not error:
        return None
    name, _, value = (header or "").partition(":")

    def fits(run: RunStatus) -> bool:
        if header is not None and redact_headers(run.headers).get(name) != value:
            return False
        if not error:
            return True
        text = run.error or run.last_error
        return text is not None and has_error(text, error)

    return fits


async def _attempts(
    site: Site, status: RunStatus, steps: Sequence[StepRecord]
) -> list[dict[str, object]]:
    job_id = status.job_id or (steps[-1].job_id if steps else None)
    if job_id is None:
        return []
    try:
        return [_shown.record(one) for one in await site.source.attempt_history(job_id)]
    except JobNotFoundError:
        # Settled meanwhile, and not kept.
        return []


async def _wake(queue: Queue, status: RunStatus) -> None:
    if status.job_id is None:
        raise _wrong_state(status, "it has ended")
    await queue.wake_scheduled(status.job_id)


async def _is_repeatable(site: Site, status: RunStatus, steps: Sequence[StepRecord]) -> bool:
    """Return whether the input of a run that has failed is kept."""
    if status.state is not RunState.FAILED:
        return False
    try:
        await _dead_first_step(site.source, status, steps)
    except Refusal:
        return False
    return True


async def _dead_first_step(
    source: Queue | QueueReader, status: RunStatus, steps: Sequence[StepRecord]
) -> JobInfo:
    """Return the dead job of step 0, which holds the input of the run."""
    if status.step_number != 0 or not steps:
        raise _wrong_state(status, "its input is not kept: it failed after its first step")
    try:
        job = await source.get_job(steps[-1].job_id)
    except JobNotFoundError:
        raise _wrong_state(status, "its input is not kept: its job is gone") from None
    if job.state is not JobState.DEAD or job.payload is None:
        raise _wrong_state(status, "its input is not kept: its job is gone")
    return job


def _wrong_state(status: RunStatus, why: str) -> Refusal:
    message = f"run `{status.run_id}` is {status.state}: {why}"
    return Refusal(409, "wrong-run-state", message, field="run_id")


def _runtime(site: Site, queue: str | None) -> WorkflowRuntime:
    site.queue()
    if queue is None and len(site.runtimes) == 1:
        return next(iter(site.runtimes.values()))
    if queue is None and site.runtimes:
        names = ", ".join(site.runtimes)
        raise Refusal(400, "invalid-field", f"`queue` must be one of: {names}", field="queue")
    runtime = None if queue is None else site.runtimes.get(queue)
    if runtime is None:
        message = "no runtime of this queue is here: give `create_app` its `WorkflowRuntime`"
        raise Refusal(409, "no-runtime", message, field="queue")
    return runtime


async def _submitted(runtime: WorkflowRuntime, specs: Sequence[RunSpec]) -> list[dict[str, object]]:
    try:
        handles = await runtime.submit_many(specs)
    except TaqubaError:
        raise
    except (ValueError, TypeError) as error:
        # What the hook says of a submission is for whoever submits.
        raise Refusal(400, "refused-by-hook", str(error)) from error
    return [
        {"run_id": handle.run_id, "newly_submitted": handle.newly_submitted} for handle in handles
    ]


def _spec(queue: Queue, given: Mapping[str, Any]) -> RunSpec:
    delay = given["delay_seconds"]
    return RunSpec(
        payload_of(given),
        run_id=given["run_id"],
        headers=given["headers"] or {},
        priority=given["priority"],
        max_attempts=given["max_attempts"],
        run_at=None if delay is None else wall_clock(queue) + timedelta(seconds=delay),
    )
