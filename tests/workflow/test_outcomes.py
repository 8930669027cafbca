"""What a step returns, and what becomes of its run."""

import asyncio
from typing import Any

import pytest

from taquba import Queue
from taquba.workflow import (
    Cancel,
    Continue,
    ContinueAfter,
    Fail,
    RunSpec,
    Step,
    StepOutcome,
    Succeed,
    TerminalStatus,
)
from tests.workflow.conftest import StartRuntime


async def test_a_run_hands_each_step_what_the_one_before_continued_with(
    start: StartRuntime,
) -> None:
    seen: list[tuple[int, bytes, int]] = []

    async def runner(step: Step) -> StepOutcome:
        seen.append((step.step_number, step.payload, step.attempts))
        if step.step_number == 4:
            return StepOutcome.Succeed(b"done:" + step.payload)
        return StepOutcome.Continue(step.payload + b"%d" % step.step_number)

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b"in:", run_id="chain"))
    outcome = await handle.outcome(timeout=20)

    assert seen == [
        (0, b"in:", 1),
        (1, b"in:0", 1),
        (2, b"in:01", 1),
        (3, b"in:012", 1),
        (4, b"in:0123", 1),
    ]
    assert outcome.run_id == handle.run_id == "chain"
    assert outcome.status is TerminalStatus.Succeeded
    assert (outcome.result, outcome.error, outcome.final_step) == (b"done:in:0123", None, 4)


@pytest.mark.parametrize(
    ("verdict", "status", "result", "error"),
    [
        (Succeed(b"\x00result"), TerminalStatus.Succeeded, b"\x00result", None),
        (Succeed(b""), TerminalStatus.Succeeded, b"", None),
        (Fail("no such page"), TerminalStatus.Failed, None, "no such page"),
        (Cancel("changed my mind"), TerminalStatus.Cancelled, None, "changed my mind"),
    ],
)
async def test_a_verdict_ends_the_run_and_leaves_no_dead_letter(
    queue: Queue,
    start: StartRuntime,
    verdict: StepOutcome,
    status: TerminalStatus,
    result: bytes | None,
    error: str | None,
) -> None:
    async def runner(step: Step) -> StepOutcome:
        return verdict

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b""))
    outcome = await handle.outcome(timeout=20)

    assert (outcome.status, outcome.result, outcome.error) == (status, result, error)
    assert outcome.final_step == 0
    stats = (await queue.stats()).queues["workflow"]
    assert (stats.dead_count, stats.pending_count, stats.live_run_count) == (0, 0, 0)


def test_terminal_statuses_have_stable_names() -> None:
    assert [str(status) for status in TerminalStatus] == ["succeeded", "failed", "cancelled"]


def test_outcomes_are_reachable_by_both_names() -> None:
    assert StepOutcome.Continue is Continue
    assert StepOutcome.ContinueAfter is ContinueAfter
    assert StepOutcome.Succeed is Succeed
    assert StepOutcome.Fail is Fail
    assert StepOutcome.Cancel is Cancel


async def test_continue_after_starts_the_next_step_later(queue: Queue, start: StartRuntime) -> None:
    loop = asyncio.get_running_loop()
    started: list[float] = []

    async def runner(step: Step) -> StepOutcome:
        started.append(loop.time())
        if step.step_number == 0:
            return StepOutcome.ContinueAfter(b"next", 0.1)
        return StepOutcome.Succeed(step.payload)

    runtime = await start(runner)
    outcome = await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)

    assert outcome.result == b"next"
    # Not a measure of speed: the delay is a promise not to start before.
    assert started[1] - started[0] >= 0.099


async def test_a_run_that_continues_far_in_the_future_is_scheduled(
    queue: Queue, start: StartRuntime
) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.ContinueAfter(b"", 3600)

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b""))

    with pytest.raises(TimeoutError):
        await handle.outcome(timeout=0.1)
    stats = (await queue.stats()).queues["workflow"]
    assert (stats.scheduled_count, stats.live_run_count) == (1, 1)


async def test_a_runner_object_a_coroutine_function_and_a_plain_function_all_work(
    start: StartRuntime,
) -> None:
    class Runner:
        async def run_step(self, step: Step) -> StepOutcome:
            return StepOutcome.Succeed(b"object")

    async def coroutine_function(step: Step) -> StepOutcome:
        await asyncio.sleep(0)
        return StepOutcome.Succeed(b"coroutine function")

    def plain_function(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"plain function")

    runners: dict[str, Any] = {"a": Runner(), "b": coroutine_function, "c": plain_function}
    results = []
    for name, runner in runners.items():
        runtime = await start(runner, queue_name=name)
        outcome = await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)
        results.append(outcome.result)

    assert results == [b"object", b"coroutine function", b"plain function"]


async def test_steps_run_at_the_same_time_up_to_the_concurrency(start: StartRuntime) -> None:
    running = 0
    most = 0
    gate = asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            gate.set()
        await gate.wait()
        # A fourth step, if one were started, would be seen by now.
        await asyncio.sleep(0.01)
        running -= 1
        return StepOutcome.Succeed(b"")

    runtime = await start(runner, concurrency=3)
    handles = await runtime.submit_many([RunSpec(b"") for _ in range(12)])
    for handle in handles:
        await handle.outcome(timeout=20)

    assert most == 3


async def test_many_runs_end_with_their_own_results(start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.step_number < 3:
            return StepOutcome.Continue(step.payload + b".")
        return StepOutcome.Succeed(step.run_id.encode() + step.payload)

    runtime = await start(runner)
    specs = [RunSpec(b"%d" % n, run_id=f"run-{n}") for n in range(300)]
    handles = await runtime.submit_many(specs)
    outcomes = [await handle.outcome(timeout=20) for handle in handles]

    assert [outcome.result for outcome in outcomes] == [b"run-%d%d..." % (n, n) for n in range(300)]


async def test_waiting_for_an_outcome_twice_and_from_many_tasks_gives_the_same(
    start: StartRuntime,
) -> None:
    gate = asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        await gate.wait()
        return StepOutcome.Succeed(b"one")

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b""))
    waiting = [asyncio.create_task(handle.outcome(timeout=20)) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    results = [(await task).result for task in waiting]
    again = await handle.outcome(timeout=20)

    assert results == [b"one"] * 5
    assert again.result == b"one"


@pytest.mark.parametrize("returned", [None, b"bytes", "text", 1, object(), StepOutcome])
async def test_a_malformed_outcome_fails_its_run_and_no_other(
    queue: Queue, start: StartRuntime, returned: object
) -> None:
    async def runner(step: Step) -> Any:
        return returned if step.run_id == "bad" else StepOutcome.Succeed(b"fine")

    runtime = await start(runner)
    bad, good = await runtime.submit_many([RunSpec(b"", run_id="bad"), RunSpec(b"", run_id="good")])
    bad_outcome = await bad.outcome(timeout=20)
    good_outcome = await good.outcome(timeout=20)

    assert bad_outcome.status is TerminalStatus.Failed
    assert bad_outcome.error is not None
    assert type(returned).__name__ in bad_outcome.error
    assert good_outcome.result == b"fine"
    assert (await queue.stats()).queues["workflow"].dead_count == 1


BAD_ARGUMENTS = [
    lambda: Continue(object()),
    lambda: Continue({"k": {1, object()}}),
    lambda: Succeed("lone surrogate \ud800"),
    lambda: ContinueAfter(Exception("no JSON"), 1),
    lambda: Fail(b"bytes"),  # type: ignore[arg-type]
    lambda: ContinueAfter(b"", -1),
    lambda: ContinueAfter(b"", float("nan")),
]


@pytest.mark.parametrize("make", BAD_ARGUMENTS)
def test_an_outcome_with_a_wrong_argument_is_refused_where_it_is_made(make: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        make()
