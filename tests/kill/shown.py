"""What the store shows of jobs and runs, as the fields of a history."""

import hashlib
from datetime import timedelta
from typing import Any

from taquba import Claim, JobInfo, RunState, RunStatus
from taquba.workflow import RunOutcome, Step

Fields = dict[str, Any]

# What a payload is made of: its name, and a filling that follows from the name.
_NAME_END = b"\n"


def filled(name: str, size_bytes: int) -> bytes:
    """A payload of this name and of about this size."""
    return name.encode() + _NAME_END + _filling(name, size_bytes)


def _filling(name: str, size_bytes: int) -> bytes:
    block = hashlib.sha256(name.encode()).digest()
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


def text_of(payload: bytes) -> str:
    """What a history says of a payload: its name, or a digest if the filling is not its own."""
    name, _, filling = payload.partition(_NAME_END)
    text = name.decode(errors="replace")
    if filling != _filling(text, len(filling)):
        return f"not {text}: {hashlib.sha256(payload).hexdigest()}"
    return f"{text}+{len(filling)}" if filling else text


def milliseconds(duration: timedelta | None) -> int | None:
    """A duration of a history."""
    return None if duration is None else duration // timedelta(milliseconds=1)


def claim_fields(claim: Claim) -> Fields:
    """A delivery of a plain job."""
    return {
        "job": claim.job_id,
        "queue": claim.queue,
        "attempts": claim.attempts,
        "max_attempts": claim.max_attempts,
        "priority": claim.priority,
        "lease_ms": milliseconds(claim.lease),
        "payload": text_of(claim.payload),
        "headers": dict(claim.headers),
        "work": "job",
    }


def step_fields(step: Step, payload: str) -> Fields:
    """A delivery of a step, whose payload is told as `payload`."""
    return {
        "job": step.job_id,
        "queue": step.queue,
        "attempts": step.attempts,
        "max_attempts": step.max_attempts,
        "priority": 0,
        "lease_ms": None,
        "payload": payload,
        "headers": dict(step.headers),
        "work": {"step": {"run": step.run_id, "step": step.step_number}},
    }


def end_fields(outcome: RunOutcome) -> Fields:
    """How a run ended."""
    return {
        "run": outcome.run_id,
        "status": str(outcome.status),
        "result": None if outcome.result is None else text_of(outcome.result),
        "error": outcome.error,
        "final_step": outcome.final_step,
        "headers": dict(outcome.headers),
    }


def job_fields(job: JobInfo) -> Fields:
    """A job that was looked at."""
    return {
        "job": job.job_id,
        "queue": job.queue,
        "state": job.state.value,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "payload": None if job.payload is None else text_of(job.payload),
        "last_error": job.last_error,
        "run": job.run_id,
    }


def run_fields(run: RunStatus, outcome: RunOutcome | None) -> Fields:
    """A run that was looked at, and how it ended."""
    return {
        "run": run.run_id,
        "state": run.state.value if isinstance(run.state, RunState) else str(run.state),
        "step": run.step_number,
        "end": None if outcome is None else end_fields(outcome),
    }
