"""Cancelling runs: what ends at once, what is asked to stop, and who hears of it."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taquba import Claim, MockClock, Queue, RunState, TransientFailure
from taquba.exceptions import ClosedError, InvalidRunIdError
from taquba.workflow import (
    RunHandle,
    RunOutcome,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    TerminalStatus,
    WorkflowRuntime,
)
from tests.conftest import OpenQueue
from tests.waiting import WAIT_SECONDS_MAX, claim_one, eventually
from tests.workflow.conftest import QUICK_RETRIES, StartRuntime
from tests.workflow.hooks import RecordingHook

FAR = timedelta(days=30)


def succeed() -> StepOutcome:
    return StepOutcome.Succeed(b"")


class Held:
    """A runner that says when it is in its step, and ends it as told.

    A step whose payload is `fails` or `continues` waits for its next one at once.
    """

    def __init__(self, verdict: Callable[[], StepOutcome] = succeed) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.deliveries: list[tuple[str, int]] = []
        self._verdict = verdict

    async def run_step(self, step: Step) -> StepOutcome:
        self.deliveries.append((step.run_id, step.attempts))
        if step.payload == b"fails":
            raise StepError.transient("later", retry_after=FAR)
        if step.payload == b"continues":
            return StepOutcome.ContinueAfter(b"", FAR)
        self.begun.set()
        await self.go.wait()
        return self._verdict()


WAITS = {
    "pending": (b"", RunState.PENDING, 0),
    "scheduled": (b"", RunState.SCHEDULED, 0),
    "retry": (b"fails", RunState.SCHEDULED, 0),
    "later step": (b"continues", RunState.SCHEDULED, 1),
}


async def submit_waiting(runtime: WorkflowRuntime, way: str) -> RunHandle:
    """Submits a run and returns when it waits in that way."""
    payload, state, step_number = WAITS[way]
    run_at = datetime.now(UTC) + FAR if way == "scheduled" else None
    handle = await runtime.submit(RunSpec(payload, headers={"k": "v"}, run_at=run_at))

    async def waits() -> bool:
        status = await handle.status()
        return (status.state, status.step_number) == (state, step_number)

    await eventually(waits, f"a run that waits: {way}")
    return handle


@pytest.mark.parametrize("is_plain", [False, True], ids=["coroutine", "plain"])
@pytest.mark.parametrize("way", WAITS)
async def test_a_run_that_waits_ends_at_once_and_the_hook_has_heard_when_cancel_returns(
    queue: Queue, start: StartRuntime, way: str, *, is_plain: bool
) -> None:
    told: list[tuple[RunOutcome, threading.Thread]] = []

    def plain(outcome: RunOutcome) -> None:
        told.append((outcome, threading.current_thread()))

    async def coroutine(outcome: RunOutcome) -> None:
        plain(outcome)

    runner = Held()
    runtime = await start(runner, hook=plain if is_plain else coroutine, concurrency=1)
    if way == "pending":
        await runtime.submit(RunSpec(b"", run_id="first"))
        await runner.begun.wait()
    handle = await submit_waiting(runtime, way)

    assert await handle.cancel() is True

    [(outcome, thread)] = told
    assert (outcome.run_id, outcome.status) == (handle.run_id, TerminalStatus.Cancelled)
    assert (outcome.result, outcome.error, outcome.headers) == (None, None, {"k": "v"})
    assert outcome.final_step == WAITS[way][2]
    assert (thread is not threading.main_thread()) == is_plain
    assert (await handle.status()).state is RunState.CANCELLED
    assert await handle.outcome(timeout=20) == outcome
    runner.go.set()


@pytest.mark.parametrize("is_plain", [False, True], ids=["coroutine", "plain"])
@pytest.mark.parametrize("way", ["pending", "scheduled"])
async def test_a_runtime_that_does_not_work_cancels_and_tells_its_hook(
    queue: Queue, way: str, *, is_plain: bool
) -> None:
    told: list[str] = []

    def plain(outcome: RunOutcome) -> None:
        told.append(f"{outcome.run_id} {outcome.status}")

    async def coroutine(outcome: RunOutcome) -> None:
        plain(outcome)

    hook = plain if is_plain else coroutine
    runtime = WorkflowRuntime(queue, Held(), hook, queue_name="cancels")
    handle = await submit_waiting(runtime, way)

    assert await runtime.cancel(handle.run_id) is True

    assert told == [f"{handle.run_id} cancelled"]
    stats = (await queue.stats()).queues["cancels"]
    assert (stats.live_run_count, stats.pending_count, stats.scheduled_count) == (0, 0, 0)

    async def no_thread_is_left() -> bool:
        return not any(t.name.startswith("taquba-cancels-") for t in threading.enumerate())

    await eventually(no_thread_is_left, "the end of the hook's thread")


async def test_a_cancelled_run_is_not_delivered_any_more(queue: Queue, start: StartRuntime) -> None:
    runner = Held()
    submitter = WorkflowRuntime(queue, runner)
    stopped = await submitter.submit(RunSpec(b"", run_id="stopped"))
    other = await submitter.submit(RunSpec(b"", run_id="other"))
    await stopped.cancel()
    runner.go.set()

    await start(runner)
    await other.outcome(timeout=20)

    assert runner.deliveries == [("other", 1)]


def fail() -> StepOutcome:
    raise StepError.permanent("hopeless")


def fail_for_now() -> StepOutcome:
    raise StepError.transient("not now")


def fail_by_surprise() -> StepOutcome:
    raise ZeroDivisionError


OTHER_VERDICTS: dict[str, Callable[[], Any]] = {
    "succeed": lambda: StepOutcome.Succeed(b"result"),
    "fail": lambda: StepOutcome.Fail("reason"),
    "continue": lambda: StepOutcome.Continue(b"next"),
    "continue later": lambda: StepOutcome.ContinueAfter(b"next", 3600),
    "permanent": fail,
    "transient": fail_for_now,
    "surprise": fail_by_surprise,
    "malformed": lambda: "no outcome",
}


@pytest.mark.parametrize("verdict", OTHER_VERDICTS)
async def test_a_cancel_from_outside_wins_over_whatever_the_step_returns(
    queue: Queue, start: StartRuntime, verdict: str
) -> None:
    hook = RecordingHook()
    runner = Held(OTHER_VERDICTS[verdict])
    runtime = await start(runner, hook=hook)
    handle = await runtime.submit(RunSpec(b"", headers={"k": "v"}))
    await runner.begun.wait()

    assert await handle.cancel() is True
    assert (await handle.status()).state is RunState.CANCELLING
    assert hook.call_count == 0
    runner.go.set()
    outcome = await handle.outcome(timeout=20)

    assert (outcome.status, outcome.result, outcome.error) == (TerminalStatus.Cancelled, None, None)
    assert await hook.told() == outcome
    assert len(runner.deliveries) == 1
    stats = (await queue.stats()).queues["workflow"]
    assert (stats.dead_count, stats.live_run_count) == (0, 0)


async def test_a_runner_s_own_reason_wins_over_a_cancel_from_outside(start: StartRuntime) -> None:
    hook = RecordingHook()
    runner = Held(lambda: StepOutcome.Cancel("my own reason"))
    runtime = await start(runner, hook=hook)
    handle = await runtime.submit(RunSpec(b""))
    await runner.begun.wait()

    assert await handle.cancel() is True
    runner.go.set()
    outcome = await handle.outcome(timeout=20)

    assert (outcome.status, outcome.error) == (TerminalStatus.Cancelled, "my own reason")
    assert await hook.told() == outcome


async def test_a_cancel_wins_over_a_timeout_of_the_step(start: StartRuntime) -> None:
    runner = Held()
    runtime = await start(runner, step_timeout=0.3)
    handle = await runtime.submit(RunSpec(b""))
    await runner.begun.wait()

    assert await handle.cancel() is True
    outcome = await handle.outcome(timeout=20)

    assert (outcome.status, outcome.error) == (TerminalStatus.Cancelled, None)
    assert len(runner.deliveries) == 1


async def test_the_token_of_a_running_step_fires(start: StartRuntime) -> None:
    begun = asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        assert not step.cancel_token.is_cancelled
        begun.set()
        await step.cancel_token.wait()
        assert step.cancel_token.is_cancelled
        return StepOutcome.Cancel("cleaned up")

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b""))
    await begun.wait()
    await handle.cancel()

    assert (await handle.outcome(timeout=20)).error == "cleaned up"


async def test_a_token_that_is_read_after_the_cancel_has_fired(start: StartRuntime) -> None:
    held: list[Step] = []
    runner = Held()

    async def keeps_its_step(step: Step) -> StepOutcome:
        held.append(step)
        return await runner.run_step(step)

    runtime = await start(keeps_its_step)
    handle = await runtime.submit(RunSpec(b""))
    await runner.begun.wait()
    await handle.cancel()

    assert held[0].cancel_token.is_cancelled
    assert held[0].cancel_token is held[0].cancel_token
    runner.go.set()


async def test_only_the_token_of_the_cancelled_run_fires(start: StartRuntime) -> None:
    begun = asyncio.Queue[Step]()

    async def runner(step: Step) -> StepOutcome:
        begun.put_nowait(step)
        await step.cancel_token.wait()
        return StepOutcome.Cancel(step.run_id)

    runtime = await start(runner)
    first, second = await runtime.submit_many([RunSpec(b"", run_id="a"), RunSpec(b"", run_id="b")])
    steps = {step.run_id: step for step in (await begun.get(), await begun.get())}
    await first.cancel()

    assert (await first.outcome(timeout=20)).error == "a"
    assert not steps["b"].cancel_token.is_cancelled
    await second.cancel()
    assert (await second.outcome(timeout=20)).error == "b"


async def test_a_plain_runner_sees_its_token_in_its_thread(start: StartRuntime) -> None:
    begun = threading.Event()

    def runner(step: Step) -> StepOutcome:
        token = step.cancel_token
        begun.set()
        for _ in range(int(WAIT_SECONDS_MAX / 0.01)):
            if token.is_cancelled:
                return StepOutcome.Cancel("seen in a thread")
            threading.Event().wait(0.01)
        return StepOutcome.Fail("never cancelled")

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b""))
    await asyncio.to_thread(begun.wait, WAIT_SECONDS_MAX)
    await handle.cancel()

    assert (await handle.outcome(timeout=20)).error == "seen in a thread"


async def test_a_hook_that_raises_is_told_again_and_cancel_returns_true_all_the_same(
    queue: Queue, start: StartRuntime
) -> None:
    hook = RecordingHook(failure_count=1)
    runtime = WorkflowRuntime(queue, Held(), hook)
    handle = await runtime.submit(RunSpec(b""))

    assert await handle.cancel() is True

    assert (hook.call_count, hook.outcomes) == (1, [])
    await start(Held(), hook=hook)
    assert (await hook.told()).status is TerminalStatus.Cancelled
    assert hook.call_count == 2


@pytest.mark.parametrize(
    "error", [SystemExit(3), asyncio.CancelledError(), TransientFailure("x")], ids=repr
)
async def test_whatever_a_plain_hook_raises_is_a_failure_of_the_hook(
    queue: Queue, error: BaseException
) -> None:
    def hook(outcome: RunOutcome) -> None:
        raise error

    runtime = WorkflowRuntime(queue, Held(), hook)
    handle = await runtime.submit(RunSpec(b""))

    assert await handle.cancel() is True
    assert (await handle.status()).state is RunState.CANCELLED


async def test_the_hook_of_the_runtime_that_cancels_is_told(queue: Queue) -> None:
    submitting, cancelling = RecordingHook(), RecordingHook()
    submitter = WorkflowRuntime(queue, Held(), submitting)
    canceller = WorkflowRuntime(queue, Held(), cancelling)
    await submitter.submit(RunSpec(b"", run_id="run"))

    assert await canceller.cancel("run") is True

    assert [outcome.run_id for outcome in cancelling.outcomes] == ["run"]
    assert submitting.call_count == 0


async def test_a_run_is_cancelled_after_the_store_is_opened_again(
    open_queue: OpenQueue, queue: Queue
) -> None:
    await WorkflowRuntime(queue, Held()).submit(RunSpec(b"", run_id="run", headers={"k": "v"}))
    await queue.close()
    hook = RecordingHook()
    again = await open_queue()

    assert await WorkflowRuntime(again, Held(), hook).cancel("run") is True

    assert [(o.run_id, o.headers) for o in hook.outcomes] == [("run", {"k": "v"})]


async def test_a_cancel_of_a_running_step_holds_after_a_crash(
    open_queue: OpenQueue, queue: Queue, start: StartRuntime
) -> None:
    submitter = WorkflowRuntime(queue, Held())
    await submitter.submit(RunSpec(b"", run_id="run"))
    await claim_one(queue, "workflow")

    assert await submitter.cancel("run") is True
    # Takes the store away from the process that holds the step, as after a crash.
    again = await open_queue(default_queue_config=QUICK_RETRIES)
    runner = Held()
    async with WorkflowRuntime(again, runner, RecordingHook()) as runtime:
        outcome = await runtime.handle("run").outcome(timeout=20)

    assert (outcome.status, outcome.error) == (TerminalStatus.Cancelled, None)
    assert runner.deliveries == []


async def test_a_step_that_is_handed_back_after_a_cancel_ends_its_run(queue: Queue) -> None:
    runner = Held()
    async with WorkflowRuntime(queue, runner, shutdown_timeout=0) as runtime:
        handle = await runtime.submit(RunSpec(b""))
        await runner.begun.wait()
        assert await handle.cancel() is True

    assert (await handle.status()).state is RunState.CANCELLED
    assert (await handle.outcome(timeout=20)).error is None


async def test_a_lease_that_runs_out_after_a_cancel_ends_the_run(
    timed_queue: Queue, clock: MockClock
) -> None:
    runtime = WorkflowRuntime(timed_queue, Held())
    handle = await runtime.submit(RunSpec(b""))
    await claim_one(timed_queue, "workflow", lease=10)
    assert await handle.cancel() is True

    clock.advance(11)

    assert (await handle.outcome(timeout=20)).status is TerminalStatus.Cancelled


@pytest.mark.parametrize("observes", [True, False])
async def test_cancelling_twice_ends_the_run_and_tells_the_hook_once(
    start: StartRuntime, *, observes: bool
) -> None:
    class Choosy(RecordingHook):
        def observes(self) -> bool:
            return observes

    hook = Choosy()
    runner = Held()
    runtime = await start(runner, hook=hook)
    handle = await runtime.submit(RunSpec(b""))
    await runner.begun.wait()

    answers = await asyncio.gather(*(handle.cancel() for _ in range(5)))
    runner.go.set()
    await handle.outcome(timeout=20)
    late = await handle.cancel()

    assert answers == [True] * 5
    assert late is False
    if observes:
        await hook.told()
    assert hook.call_count == int(observes)


async def test_of_concurrent_cancels_of_a_waiting_run_one_tells_the_hook(queue: Queue) -> None:
    hook = RecordingHook()
    runtime = WorkflowRuntime(queue, Held(), hook)
    handle = await runtime.submit(RunSpec(b""))

    answers = await asyncio.gather(*(handle.cancel() for _ in range(5)))

    assert sorted(answers) == [False] * 4 + [True], "the others found it ended"
    assert hook.call_count == 1


async def test_a_slow_hook_of_a_cancel_is_not_told_a_second_time_by_the_runtime_that_works(
    queue: Queue, start: StartRuntime
) -> None:
    called, go = asyncio.Event(), asyncio.Event()
    call_count = 0

    async def hook(outcome: RunOutcome) -> None:
        nonlocal call_count
        call_count += 1
        called.set()
        await go.wait()

    runtime = await start(Held(), hook=hook)
    handle = await submit_waiting(runtime, "scheduled")
    cancelling = asyncio.create_task(handle.cancel())
    await called.wait()
    # Other work goes on, and the run has ended.
    other = await runtime.submit(RunSpec(b"fails", max_attempts=1))

    assert (await other.outcome(timeout=20)).status is TerminalStatus.Failed
    assert (await handle.outcome(timeout=20)).status is TerminalStatus.Cancelled
    assert not cancelling.done()
    go.set()
    assert await cancelling is True
    assert call_count == 2


async def test_a_canceller_that_is_interrupted_leaves_the_hook_to_a_runtime(
    queue: Queue, start: StartRuntime
) -> None:
    called = asyncio.Event()

    async def hangs(outcome: RunOutcome) -> None:
        called.set()
        await asyncio.Event().wait()

    handle = await WorkflowRuntime(queue, Held(), hangs).submit(RunSpec(b"", run_id="run"))
    cancelling = asyncio.create_task(handle.cancel())
    await called.wait()
    cancelling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelling

    hook = RecordingHook()
    await start(Held(), hook=hook)
    assert (await hook.told()).status is TerminalStatus.Cancelled


@pytest.mark.parametrize("tick_count", range(12))
async def test_a_canceller_interrupted_at_any_tick_loses_no_notification(
    queue: Queue, start: StartRuntime, tick_count: int
) -> None:
    hook = RecordingHook()
    runtime = await start(Held(), hook=hook)
    handle = await submit_waiting(runtime, "scheduled")
    cancelling = asyncio.create_task(handle.cancel())
    for _ in range(tick_count):
        await asyncio.sleep(0)
    cancelling.cancel()
    await asyncio.wait((cancelling,))

    if tick_count > 0:
        assert (await hook.told()).status is TerminalStatus.Cancelled
    assert hook.call_count <= 1


async def test_a_hook_that_does_not_observe_cancelled_runs_is_not_told(queue: Queue) -> None:
    class Choosy(RecordingHook):
        def observes(self) -> set[TerminalStatus]:
            return {TerminalStatus.Succeeded, TerminalStatus.Failed}

    hook = Choosy()
    runtime = WorkflowRuntime(queue, Held(), hook)
    handle = await runtime.submit(RunSpec(b""))

    assert await handle.cancel() is True

    assert hook.call_count == 0
    assert (await handle.outcome(timeout=20)).status is TerminalStatus.Cancelled
    # One step, and no notification.
    assert (await queue.stats()).queues["workflow"].enqueued_total == 1


async def test_a_run_that_is_not_there_or_has_ended_is_not_cancelled(start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"result")

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b""))
    await handle.outcome(timeout=20)

    assert await runtime.cancel("nobody") is False
    assert await handle.cancel() is False
    assert (await handle.outcome(timeout=20)).result == b"result"


async def test_a_cancel_that_cannot_be_is_refused_with_a_type(queue: Queue) -> None:
    runtime = WorkflowRuntime(queue, Held())

    with pytest.raises(InvalidRunIdError):
        await runtime.cancel("a/b")
    with pytest.raises(InvalidRunIdError):
        await runtime.status("..")
    await queue.close()
    with pytest.raises(ClosedError):
        await runtime.cancel("run")


async def test_a_cancelled_run_s_id_is_taken_while_its_end_is_known(queue: Queue) -> None:
    runtime = WorkflowRuntime(queue, Held())
    await (await runtime.submit(RunSpec(b"in", run_id="run"))).cancel()

    again = await runtime.submit(RunSpec(b"in", run_id="run"))

    assert again.newly_submitted is False
    assert (await again.status()).state is RunState.CANCELLED


async def test_a_step_claimed_as_a_job_hears_of_the_cancel_of_its_run(queue: Queue) -> None:
    runtime = WorkflowRuntime(queue, Held())
    handle = await runtime.submit(RunSpec(b""))
    claim: Claim = await claim_one(queue, "workflow")

    assert await handle.cancel() is True

    assert claim.cancel_token.is_cancelled
    await queue.nack(claim, "gave up")
    assert (await handle.outcome(timeout=20)).status is TerminalStatus.Cancelled


async def test_another_event_loop_cancels_and_its_hook_call_is_made_there(
    queue: Queue, start: StartRuntime
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def hook(outcome: RunOutcome) -> None:
        loops.append(asyncio.get_running_loop())

    runtime = await start(Held(), hook=hook)
    handle = await submit_waiting(runtime, "scheduled")

    assert await asyncio.to_thread(asyncio.run, handle.cancel()) is True

    [loop] = loops
    assert loop is not asyncio.get_running_loop()
    assert (await handle.status()).state is RunState.CANCELLED


async def test_a_notification_that_is_claimed_as_a_job_is_a_claim_like_any_other(
    queue: Queue,
) -> None:
    runtime = WorkflowRuntime(queue, Held(), RecordingHook(failure_count=1))
    handle = await runtime.submit(RunSpec(b"", headers={"k": "v"}))
    assert await handle.cancel() is True

    claim = await claim_one(queue, "workflow")

    assert type(claim) is Claim
    assert (await queue.get_job(claim.job_id)).kind == "notification"
    assert claim.headers == {"k": "v"}
    await queue.ack(claim)
