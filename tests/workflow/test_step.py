"""What a step offers its runner: time, tasks of its own, a context that logs can show."""

import asyncio
import contextvars
import gc
import logging
import threading
import weakref
from datetime import timedelta

import pytest

from taquba import EnqueueOptions, Queue
from taquba.exceptions import ClaimLostError, InvalidArgumentError
from taquba.workflow import (
    RunOutcome,
    RunSpec,
    Step,
    StepLogFilter,
    StepOutcome,
    TerminalStatus,
    WorkflowRuntime,
    current_step,
)
from tests.waiting import WAIT_SECONDS_MAX, eventually
from tests.workflow.conftest import StartRuntime

FAR = timedelta(days=30)


class Part:
    """Something whose end can be seen."""


async def test_a_step_names_its_queue_and_its_job(queue: Queue, start: StartRuntime) -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def runner(step: Step) -> StepOutcome:
        status = await queue.get_run(step.run_id)
        seen.append((step.queue, step.job_id, status.job_id))
        return StepOutcome.Continue(b"") if step.step_number == 0 else StepOutcome.Succeed(b"")

    runtime = await start(runner, queue_name="mine")
    await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)

    assert [queue_name for queue_name, _, _ in seen] == ["mine", "mine"]
    assert all(job_id == known for _, job_id, known in seen)
    assert seen[1][1] == f"{seen[0][1]}-1"


async def test_the_job_of_a_step_holds_the_dedup_key_of_its_run_and_number(
    queue: Queue, start: StartRuntime
) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.ContinueAfter(b"", FAR)

    handle = await WorkflowRuntime(queue, runner).submit(RunSpec(b"", run_id="run"))
    for number in range(2):
        if number == 1:
            await start(runner)

        async def waits(number: int = number) -> bool:
            status = await handle.status()
            return (status.step_number, status.attempts) == (number, 0)

        await eventually(waits, f"step {number}")
        options = EnqueueOptions(dedup_key=f"run:run:{number}")
        job_id = await queue.enqueue("workflow", b"a job that is the step", options)
        assert job_id == (await handle.status()).job_id


async def test_a_step_gets_more_time_when_it_asks_for_it(start: StartRuntime) -> None:
    seen: list[timedelta | None] = []

    async def runner(step: Step) -> StepOutcome:
        seen.append(step.lease.duration)
        assert step.lease is step.lease
        for _ in range(4):
            await step.lease.ensure_at_least(20)
            await asyncio.sleep(0.1)
        return StepOutcome.Succeed(b"%d" % step.attempts)

    runtime = await start(runner, step_timeout=0.2)
    outcome = await (await runtime.submit(RunSpec(b"", max_attempts=1))).outcome(timeout=20)

    assert outcome.result == b"1"
    assert seen == [timedelta(seconds=0.2)]


async def test_asking_for_less_time_than_there_is_shortens_nothing(start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        await step.lease.ensure_at_least(0)
        await step.lease.ensure_at_least(timedelta(milliseconds=1))
        await asyncio.sleep(0.05)
        return StepOutcome.Succeed(b"")

    runtime = await start(runner, step_timeout=20)
    outcome = await (await runtime.submit(RunSpec(b"", max_attempts=1))).outcome(timeout=20)

    assert outcome.status is TerminalStatus.Succeeded


async def test_a_lease_of_a_delivery_that_is_over_cannot_be_prolonged(start: StartRuntime) -> None:
    refused: asyncio.Queue[ClaimLostError] = asyncio.Queue()

    async def runner(step: Step) -> StepOutcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                await step.lease.ensure_at_least(20)
            except ClaimLostError as error:
                refused.put_nowait(error)
            raise
        return StepOutcome.Fail("never")

    runtime = await start(runner, step_timeout=0.05)
    handle = await runtime.submit(RunSpec(b"", max_attempts=1))
    outcome = await handle.outcome(timeout=20)
    error = refused.get_nowait()

    assert "step_timeout" in str(outcome.error)
    assert handle.run_id in str(error)
    assert error.job_id


async def test_a_lease_of_a_settled_step_is_refused_by_the_engine(start: StartRuntime) -> None:
    steps: list[Step] = []

    async def runner(step: Step) -> StepOutcome:
        steps.append(step)
        return StepOutcome.Succeed(b"")

    runtime = await start(runner, step_timeout=20)
    await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)

    with pytest.raises(ClaimLostError):
        await steps[0].lease.ensure_at_least(20)


async def test_without_a_step_timeout_there_is_nothing_to_prolong(start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        assert step.lease.duration is None
        await step.lease.ensure_at_least(FAR)
        with pytest.raises(InvalidArgumentError, match="duration"):
            await step.lease.ensure_at_least(-1)
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    outcome = await (await runtime.submit(RunSpec(b"", max_attempts=1))).outcome(timeout=20)

    assert outcome.error is None


async def test_a_plain_runner_gets_more_time_from_a_loop_of_its_own(start: StartRuntime) -> None:
    def runner(step: Step) -> StepOutcome:
        asyncio.run(step.lease.ensure_at_least(20))
        threading.Event().wait(0.4)
        return StepOutcome.Succeed(b"")

    runtime = await start(runner, step_timeout=0.2)
    outcome = await (await runtime.submit(RunSpec(b"", max_attempts=1))).outcome(timeout=20)

    assert outcome.error is None


async def test_a_step_is_freed_when_it_has_ended_whatever_was_read_of_it(
    start: StartRuntime,
) -> None:
    parts: list[weakref.ref[Part]] = []

    async def runner(step: Step) -> StepOutcome:
        part = Part()
        # A part of the step that only the step keeps.
        step.headers["part"] = part  # type: ignore[assignment]
        parts.append(weakref.ref(part))
        await step.lease.ensure_at_least(20)
        assert await step.memo.get("nothing") is None
        assert not step.cancel_token.is_cancelled
        return StepOutcome.Succeed(b"")

    runtime = await start(runner, step_timeout=20)
    await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)
    # The task of the step ends after its outcome is on its way.
    await asyncio.sleep(0)
    gc.collect()

    assert [part() for part in parts] == [None]


async def test_task_groups_and_timeouts_work_inside_a_runner(start: StartRuntime) -> None:
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    async def runner(step: Step) -> StepOutcome:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(double(n)) for n in range(5)]
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return StepOutcome.Succeed(b"%d" % sum(task.result() for task in tasks))
        return StepOutcome.Fail("never")

    for step_timeout in (None, 20):
        runtime = await start(runner, step_timeout=step_timeout, queue_name=f"q{step_timeout}")
        outcome = await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)
        assert outcome.result == b"20"


async def test_a_group_whose_task_fails_fails_the_step_with_all_its_errors(
    start: StartRuntime,
) -> None:
    async def fails() -> None:
        raise ValueError("inside the group")

    async def runner(step: Step) -> StepOutcome:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    outcome = await (await runtime.submit(RunSpec(b"", max_attempts=1))).outcome(timeout=20)

    assert "ExceptionGroup" in str(outcome.error)


async def test_a_timeout_of_the_runner_s_own_is_not_the_step_s(start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
        return StepOutcome.Fail("never")

    runtime = await start(runner, step_timeout=20)
    outcome = await (await runtime.submit(RunSpec(b"", max_attempts=1))).outcome(timeout=20)

    assert "TimeoutError" in str(outcome.error)
    assert "step_timeout" not in str(outcome.error)


async def test_context_variables_of_one_step_are_not_seen_by_another(start: StartRuntime) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    async def runner(step: Step) -> StepOutcome:
        seen.append(variable.get())
        variable.set(step.run_id)
        await asyncio.sleep(0)
        assert variable.get() == step.run_id
        return StepOutcome.Continue(b"") if step.step_number == 0 else StepOutcome.Succeed(b"")

    runtime = await start(runner)
    handles = await runtime.submit_many([RunSpec(b"") for _ in range(10)])
    for handle in handles:
        await handle.outcome(timeout=20)

    assert seen == ["unset"] * 20
    assert variable.get() == "unset"


def seen_step() -> tuple[str, int] | None:
    step = current_step()
    return None if step is None else (step.run_id, step.step_number)


async def in_a_child_task() -> tuple[str, int] | None:
    await asyncio.sleep(0)
    return seen_step()


async def test_a_runner_its_tasks_and_its_threads_know_their_step(start: StartRuntime) -> None:
    seen: list[tuple[str, int] | None] = []

    async def runner(step: Step) -> StepOutcome:
        assert current_step() is step
        await asyncio.sleep(0)
        seen.append(seen_step())
        seen.append(await asyncio.create_task(in_a_child_task()))
        seen.append(await asyncio.to_thread(seen_step))
        return StepOutcome.Succeed(b"")

    told: list[tuple[str, int] | None] = []

    async def hook(outcome: RunOutcome) -> None:
        told.append(seen_step())

    runtime = await start(runner, hook=hook, shutdown_timeout=20)
    await (await runtime.submit(RunSpec(b"", run_id="run"))).outcome(timeout=20)

    assert seen == [("run", 0)] * 3
    assert current_step() is None
    assert told in ([], [None])


async def test_a_plain_runner_knows_its_step(start: StartRuntime) -> None:
    seen: list[tuple[str, int] | None] = []

    def runner(step: Step) -> StepOutcome:
        seen.append(seen_step())
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    await (await runtime.submit(RunSpec(b"", run_id="run"))).outcome(timeout=20)

    assert seen == [("run", 0)]


class Records(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(StepLogFilter())
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def context_of(record: logging.LogRecord) -> tuple[object, ...]:
    known = record.__dict__
    return tuple(known[name] for name in ("run_id", "step_number", "attempts", "queue"))


async def test_records_logged_inside_a_runner_name_its_step(start: StartRuntime) -> None:
    logger = logging.getLogger("tests.workflow.step")
    logger.setLevel(logging.INFO)
    handler = Records()
    logger.addHandler(handler)

    async def log_later(text: str) -> None:
        await asyncio.sleep(0)
        logger.info(text)

    def plain(step: Step) -> StepOutcome:
        logger.info("thread of a plain runner")
        return StepOutcome.Succeed(b"")

    async def runner(step: Step) -> StepOutcome:
        logger.info("runner")
        await asyncio.create_task(log_later("child task"))
        await asyncio.to_thread(logger.info, "thread")
        logger.info("its own", extra={"run_id": "from extra"})
        return StepOutcome.Succeed(b"")

    try:
        logger.info("outside")
        one = await start(runner, queue_name="one")
        await (await one.submit(RunSpec(b"", run_id="a"))).outcome(timeout=WAIT_SECONDS_MAX)
        two = await start(plain, queue_name="two")
        await (await two.submit(RunSpec(b"", run_id="b"))).outcome(timeout=WAIT_SECONDS_MAX)
    finally:
        logger.removeHandler(handler)

    assert {record.getMessage(): context_of(record) for record in handler.records} == {
        "outside": (None, None, None, None),
        "runner": ("a", 0, 1, "one"),
        "child task": ("a", 0, 1, "one"),
        "thread": ("a", 0, 1, "one"),
        "its own": ("from extra", 0, 1, "one"),
        "thread of a plain runner": ("b", 0, 1, "two"),
    }
