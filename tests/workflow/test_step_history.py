"""What is behind a run: its steps, its result, its memos."""

import asyncio
import hashlib
import itertools

import pytest

from taquba import MockClock, Queue, QueueReader, RunState, StepRecord
from taquba.exceptions import InvalidArgumentError, InvalidRunIdError, RunNotFoundError
from taquba.workflow import RunSpec, Step, StepError, StepOutcome, WorkflowRuntime
from tests.conftest import Store
from tests.waiting import eventually
from tests.workflow.conftest import StartRuntime

KEPT_MAX = 32


async def walk(step: Step) -> StepOutcome:
    """Three steps, the second of which fails once."""
    await step.memo.put(f"key-{step.step_number}", bytes(step.step_number))
    if step.step_number == 1 and step.attempts == 1:
        raise ConnectionError("x" * 300)
    if step.step_number < 2:
        return StepOutcome.Continue(b"")
    return StepOutcome.Succeed(b"there")


async def test_the_steps_of_a_run_are_told_in_order(queue: Queue, start: StartRuntime) -> None:
    runtime = await start(walk)
    handle = await runtime.submit(RunSpec(b"", run_id="run"))
    await handle.outcome(timeout=20)

    steps = await queue.step_history("run")

    assert [(step.step_number, step.attempts) for step in steps] == [(0, 1), (1, 2), (2, 1)]
    for step, following in itertools.pairwise(steps):
        assert step.started_at is not None
        assert step.ended_at is not None
        assert step.ready_at <= step.started_at <= step.ended_at <= following.ready_at
    assert [step.error is None for step in steps] == [True, False, True]
    error = steps[1].error
    assert error is not None
    assert error.startswith("ConnectionError: xxx")
    assert len(error) == 128
    assert len({step.job_id for step in steps}) == 3


async def test_a_reader_sees_the_same_as_the_owner(
    queue: Queue, start: StartRuntime, store: Store
) -> None:
    runtime = await start(walk)
    await (await runtime.submit(RunSpec(b"", run_id="run"))).outcome(timeout=20)

    async with QueueReader.open(store) as reader:
        assert await reader.step_history("run") == await queue.step_history("run")
        assert await reader.get_result("run") == await queue.get_result("run") == b"there"
        assert await reader.list_memos("run") == await queue.list_memos("run")


async def test_the_present_step_is_the_last_one(queue: Queue, start: StartRuntime) -> None:
    is_there, may_go = asyncio.Event(), asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        if step.step_number == 0:
            return StepOutcome.Continue(b"")
        is_there.set()
        await may_go.wait()
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b"", run_id="run"))
    await is_there.wait()
    try:
        first, present = await queue.step_history("run")
        status = await handle.status()
    finally:
        may_go.set()

    assert first.ended_at is not None
    assert (present.step_number, present.attempts, present.ended_at) == (1, 1, None)
    assert present.started_at == status.started_at
    assert present.job_id == status.job_id


async def test_a_step_that_waits_has_not_begun(timed_queue: Queue, clock: MockClock) -> None:
    async def never(step: Step) -> StepOutcome:
        raise AssertionError(step)

    runtime = WorkflowRuntime(timed_queue, never)
    await runtime.submit(RunSpec(b"", run_id="run"))

    assert await timed_queue.step_history("run") == [
        StepRecord(
            job_id=(await timed_queue.get_run("run")).job_id or "",
            step_number=0,
            ready_at=clock.now(),
            started_at=None,
            ended_at=None,
            attempts=0,
            error=None,
        )
    ]


async def test_the_step_that_failed_for_good_ends_the_history(
    queue: Queue, start: StartRuntime
) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.step_number == 0:
            return StepOutcome.Continue(b"")
        raise StepError.permanent("no such account")

    runtime = await start(runner)
    await (await runtime.submit(RunSpec(b"", run_id="run"))).outcome(timeout=20)

    first, last = await queue.step_history("run")

    assert first.error is None
    assert last.error == "no such account"
    assert last.ended_at == (await queue.get_run("run")).ended_at
    (attempt,) = await queue.attempt_history(last.job_id)
    assert attempt.error == "no such account"
    assert await queue.get_result("run") is None


async def test_a_step_that_gave_up_says_why(queue: Queue, start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Fail("no such account")

    runtime = await start(runner)
    await (await runtime.submit(RunSpec(b"", run_id="run"))).outcome(timeout=20)

    (step,) = await queue.step_history("run")

    assert step.error == "no such account"


async def test_a_step_whose_first_deliveries_are_forgotten_does_not_say_when_it_began(
    queue: Queue, start: StartRuntime
) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.attempts < 25:
            raise ConnectionError
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    spec = RunSpec(b"", run_id="run", max_attempts=30)
    await (await runtime.submit(spec)).outcome(timeout=20)

    (step,) = await queue.step_history("run")

    assert (step.attempts, step.started_at) == (25, None)


async def test_a_cancelled_run_keeps_its_history(queue: Queue, start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.ContinueAfter(b"", delay=3600)

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b"", run_id="run"))

    async def waits() -> bool:
        return (await handle.status()).state is RunState.SCHEDULED

    await eventually(waits, "the second step")
    await runtime.cancel("run")

    first, last = await queue.step_history("run")

    assert (first.step_number, first.attempts) == (0, 1)
    assert (last.step_number, last.attempts, last.started_at) == (1, 0, None)
    assert last.ended_at is not None


async def test_a_step_that_ran_when_its_run_was_cancelled_has_begun(
    queue: Queue, start: StartRuntime
) -> None:
    is_there = asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        is_there.set()
        await step.cancel_token.wait()
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b"", run_id="run"))
    await is_there.wait()
    await runtime.cancel("run")
    await handle.outcome(timeout=20)

    (step,) = await queue.step_history("run")

    assert step.attempts == 1
    assert step.started_at is not None
    assert step.ended_at is not None
    assert step.ready_at <= step.started_at <= step.ended_at


async def test_a_long_run_keeps_its_latest_steps(queue: Queue, start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.step_number < 2 * KEPT_MAX:
            return StepOutcome.Continue(b"")
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    await (await runtime.submit(RunSpec(b"", run_id="run"))).outcome(timeout=20)

    steps = await queue.step_history("run")

    assert [step.step_number for step in steps] == list(range(KEPT_MAX + 1, 2 * KEPT_MAX + 1))


async def test_memos_are_listed_by_step_and_by_page(queue: Queue, start: StartRuntime) -> None:
    runtime = await start(walk)
    await (await runtime.submit(RunSpec(b"", run_id="run"))).outcome(timeout=20)

    first = await queue.list_memos("run", limit=2)
    rest = await queue.list_memos("run", cursor=first.cursor, limit=2)

    found = [(memo.step_number, memo.key_sha256, memo.value_bytes) for memo in first.memos]
    found += [(memo.step_number, memo.key_sha256, memo.value_bytes) for memo in rest.memos]
    digests = [hashlib.sha256(f"key-{number}".encode()).hexdigest() for number in range(3)]
    assert found == [(number, digests[number], number) for number in range(3)]
    assert rest.cursor is None
    assert not any(memo.is_object for memo in first.memos)


async def test_a_memo_is_read_by_its_step_and_its_key(
    queue: Queue, start: StartRuntime, store: Store
) -> None:
    async def runner(step: Step) -> StepOutcome:
        await step.memo.put("small", b"value")
        await step.memo.put("large", b"x" * 300_000)
        await step.memo.put("\ud800", b"")
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    await (await runtime.submit(RunSpec(b"", run_id="run"))).outcome(timeout=20)

    async with QueueReader.open(store) as reader:
        for looker in (queue, reader):
            assert await looker.get_memo("run", 0, "small") == b"value"
            assert await looker.get_memo("run", 0, "large") == b"x" * 300_000
            assert await looker.get_memo("run", 0, "\ud800") == b""
            assert await looker.get_memo("run", 0, "other") is None
            assert await looker.get_memo("run", 1, "small") is None
            objects = [memo.is_object for memo in (await looker.list_memos("run")).memos]
            assert sorted(objects) == [False, False, True]
            with pytest.raises(RunNotFoundError):
                await looker.get_memo("nobody", 0, "small")
            for number in (-1, 2**32):
                with pytest.raises(InvalidArgumentError, match="step_number"):
                    await looker.get_memo("run", number, "small")


@pytest.mark.parametrize(
    "cursor", ["", "1", "1:", "1:zz", "-1:" + "0" * 64, "01:" + "0" * 64, "1:" + "A" * 64, "é:"]
)
async def test_a_cursor_that_no_page_gave_is_refused(
    queue: Queue, start: StartRuntime, cursor: str
) -> None:
    runtime = await start(walk)
    await runtime.submit(RunSpec(b"", run_id="run"))

    with pytest.raises(InvalidArgumentError, match="cursor"):
        await queue.list_memos("run", cursor=cursor)
    with pytest.raises(InvalidArgumentError, match="limit"):
        await queue.list_memos("run", limit=0)


async def test_a_run_that_nobody_knows_has_no_history(queue: Queue, store: Store) -> None:
    async with QueueReader.open(store) as reader:
        for looker in (queue, reader):
            for call in (looker.step_history, looker.get_result, looker.list_memos):
                with pytest.raises(RunNotFoundError):
                    await call("nobody")
                with pytest.raises(InvalidRunIdError):
                    await call("")
