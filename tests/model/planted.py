"""Models that are wrong in one rule: the comparison has to notice each of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from taquba import RunState
from tests.model import opened
from tests.model.lane import live
from tests.model.plain import FLOW, Job, Model, Run

LIVES_COUNT_MAX: Final = 400


def without(method: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A model that leaves something out."""
    return lambda patch: patch.setattr(Model, method, lambda *_, **__: None)


def revives_at_the_old_place(patch: pytest.MonkeyPatch) -> None:
    revive = Model.revive

    def wrong(self: Model, job_id: str) -> None:
        place = self.jobs[job_id].place
        revive(self, job_id)
        self.jobs[job_id].place = place

    patch.setattr(Model, "revive", wrong)


def forgets_memos_at_a_retry(patch: pytest.MonkeyPatch) -> None:
    deliver = Model.deliver

    def wrong(self: Model, run_id: str) -> None:
        self.runs[run_id].memos.clear()
        deliver(self, run_id)

    patch.setattr(Model, "deliver", wrong)


def lets_a_cancelled_run_succeed(patch: pytest.MonkeyPatch) -> None:
    finish = Model.finish

    def wrong(self: Model, state: RunState, result: bytes | None, error: str | None) -> None:
        self.runs[str(self.held)].state = RunState.RUNNING
        finish(self, state, result, error)

    patch.setattr(Model, "finish", wrong)


def doubles_no_backoff(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Model, job_id: str, error: str, after: timedelta) -> None:
        job: Job = self.jobs[job_id]
        again(self, job_id, error, min(after, timedelta(seconds=10)) if job.attempts > 1 else after)

    again: Any = Model._again  # noqa: SLF001 - one rule of the model, broken
    patch.setattr(Model, "_again", wrong)


def keeps_a_failed_step_alive(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Model, run: Run, error: str | None, job_id: str) -> None:
        run.state = RunState.PENDING
        self.totals[FLOW]["retried"] += 1

    patch.setattr(Model, "fail_run", wrong)


PLANTED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "dedup keys are never free": without("_free"),
    "nothing is forgotten in time": without("_forget"),
    "a cancel does nothing": without("cancel"),
    "a revived job keeps its place": revives_at_the_old_place,
    "memos end with their delivery": forgets_memos_at_a_retry,
    "a cancelled run succeeds": lets_a_cancelled_run_succeed,
    "the backoff does not double": doubles_no_backoff,
    "a step outlives its attempts": keeps_a_failed_step_alive,
}


def difference(bug: str) -> str | None:
    """What a life with a wrong model was told to have done; `None` if nothing was noticed."""
    with pytest.MonkeyPatch.context() as patch:
        PLANTED[bug](patch)
        patch.setattr(opened, "WAIT_SECONDS_MAX", 0.2)
        try:
            live("memory", size=LIVES_COUNT_MAX, step_count=40, seed=None, shrinks=False)
        except Exception as error:  # noqa: BLE001 - an assertion, or what follows from it
            return "\n".join(getattr(error, "__notes__", []))
    return None
