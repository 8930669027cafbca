"""Retries that come when the runner says, and not with backoff."""

import asyncio
import copy
import pickle
from datetime import timedelta
from typing import Any

import pytest

from taquba import MockClock, QueueConfig, RetryJitter, RunState
from taquba.exceptions import InvalidArgumentError
from taquba.workflow import RunSpec, Step, StepError, StepOutcome, TerminalStatus, WorkflowRuntime
from tests.conftest import OpenQueue
from tests.waiting import eventually

BACKOFF = QueueConfig(
    max_attempts=3, retry_backoff_base=1000, retry_backoff_max=1000, retry_jitter=RetryJitter.NONE
)


@pytest.mark.parametrize(
    ("retry_after", "waits"),
    [(30, 30), (timedelta(minutes=2), 120), (5000.5, 5000.5), (None, 1000)],
)
async def test_a_transient_failure_is_retried_after_the_time_it_names(
    open_queue: OpenQueue, clock: MockClock, retry_after: Any, waits: float
) -> None:
    queue = await open_queue(clock=clock, default_queue_config=BACKOFF)
    attempts: asyncio.Queue[int] = asyncio.Queue()

    async def runner(step: Step) -> StepOutcome:
        attempts.put_nowait(step.attempts)
        if step.attempts == 1:
            raise StepError.transient("busy", retry_after=retry_after)
        return StepOutcome.Succeed(b"")

    async with WorkflowRuntime(queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b""))
        assert await attempts.get() == 1

        async def waits_for_its_retry() -> bool:
            return (await handle.status()).state is RunState.SCHEDULED

        await eventually(waits_for_its_retry, "the retry")
        status = await handle.status()
        clock.advance(waits)
        outcome = await handle.outcome(timeout=20)

    assert status.run_at == clock.now()
    assert status.last_error == "busy"
    assert outcome.status is TerminalStatus.Succeeded
    assert attempts.get_nowait() == 2


async def test_a_retry_at_once_still_counts_its_attempts(
    open_queue: OpenQueue, clock: MockClock
) -> None:
    queue = await open_queue(clock=clock, default_queue_config=BACKOFF)
    attempts: list[int] = []

    async def runner(step: Step) -> StepOutcome:
        attempts.append(step.attempts)
        raise StepError.transient("busy", retry_after=0)

    async with WorkflowRuntime(queue, runner) as runtime:
        outcome = await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)

    assert (outcome.status, outcome.error) == (TerminalStatus.Failed, "busy")
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize("retry_after", [-1, float("nan"), float("inf"), "soon"])
def test_a_time_that_cannot_be_is_refused_where_it_is_named(retry_after: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="retry_after"):
        StepError.transient("busy", retry_after=retry_after)


def test_an_error_keeps_its_time_when_it_is_copied() -> None:
    error = StepError.transient("busy", retry_after=30)

    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own
        assert str(other) == "busy"
        assert (other.retry_after, other.is_permanent) == (timedelta(seconds=30), False)
    assert StepError.permanent("gone").retry_after is None
