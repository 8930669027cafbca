"""Runners are ordinary coroutines: everything that asyncio promises inside a task holds in a step.

A dispatcher that starts coroutines in a clever way breaks most of these cases; each of them is
something that libraries under a runner rely on.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest
import sniffio

from taquba import Queue
from taquba.workflow import RunSpec, Step, StepOutcome, TerminalStatus, WorkflowRuntime

pytestmark = pytest.mark.timeout(60)

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

Body = Callable[[Step], Awaitable[object]]


async def run_in_step(body: Body, count: int = 1) -> list[str]:
    """Runs the body as a step, ``count`` times at once; returns what each gave, as text."""

    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(str(await body(step)).encode())

    async with Queue.open("memory://") as queue, WorkflowRuntime(queue, runner) as runtime:
        handles = await runtime.submit_many(
            [RunSpec(b"%d" % n, max_attempts=1) for n in range(count)]
        )
        outcomes = [await handle.outcome(timeout=20) for handle in handles]
    for outcome in outcomes:
        assert outcome.status is TerminalStatus.Succeeded, outcome.error
    return [(outcome.result or b"").decode() for outcome in outcomes]


async def test_a_step_has_a_current_task_before_and_after_its_first_await() -> None:
    tasks = []

    async def body(step: Step) -> str:
        before = asyncio.current_task()
        await asyncio.sleep(0)
        after = asyncio.current_task()
        tasks.append(before)
        assert before is not None
        assert before is after
        assert before is not outer
        return "ok"

    outer = asyncio.current_task()
    assert await run_in_step(body, count=3) == ["ok"] * 3
    assert len(set(map(id, tasks))) == 3


async def test_a_timeout_that_does_not_fire_changes_nothing() -> None:
    async def body(step: Step) -> str:
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
        return "in time"

    assert await run_in_step(body) == ["in time"]


async def test_a_timeout_that_fires_is_a_timeout_error_inside_the_step() -> None:
    async def body(step: Step) -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(3600)
        except TimeoutError:
            return "fired"
        return "did not fire"

    assert await run_in_step(body) == ["fired"]


async def test_a_timeout_before_the_first_await_works() -> None:
    async def body(step: Step) -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(3600)
        except TimeoutError:
            return "fired"
        return "did not fire"

    assert await run_in_step(body) == ["fired"]


async def test_a_task_group_joins_its_tasks() -> None:
    async def body(step: Step) -> list[int]:
        async def child(number: int) -> int:
            await asyncio.sleep(0.001 * number)
            return number

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child(number)) for number in range(3)]
        return [task.result() for task in tasks]

    assert await run_in_step(body) == ["[0, 1, 2]"]


async def test_a_task_group_cancels_its_step_when_a_child_fails() -> None:
    async def body(step: Step) -> str:
        async def fail() -> None:
            raise LookupError("child")

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.sleep(3600)
        except ExceptionGroup as caught:
            return f"group of {len(caught.exceptions)}"
        return "no error"

    assert await run_in_step(body) == ["group of 1"]


async def test_wait_for_and_shield_work() -> None:
    async def body(step: Step) -> str:
        finished = asyncio.Event()

        async def slow() -> str:
            await asyncio.sleep(0.02)
            finished.set()
            return "slow"

        inner = asyncio.ensure_future(slow())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(inner), 0.001)
        assert not inner.cancelled()
        await finished.wait()
        return await inner + await asyncio.wait_for(slow(), 20)

    assert await run_in_step(body) == ["slowslow"]


async def test_to_thread_runs_with_the_context_of_the_step() -> None:
    async def body(step: Step) -> str:
        variable.set("seen in the thread")
        return await asyncio.to_thread(variable.get)

    assert await run_in_step(body) == ["seen in the thread"]


async def test_context_variables_of_one_step_are_not_seen_by_another() -> None:
    async def body(step: Step) -> str:
        found = variable.get()
        variable.set(step.run_id)
        await asyncio.sleep(0.001)
        assert variable.get() == step.run_id
        return found

    assert await run_in_step(body, count=20) == ["unset"] * 20
    assert variable.get() == "unset"


async def test_a_context_variable_set_before_the_first_await_is_kept_and_can_be_reset() -> None:
    async def body(step: Step) -> list[str]:
        token = variable.set("set early")
        await asyncio.sleep(0)
        seen = [variable.get()]
        await asyncio.sleep(0.001)
        variable.reset(token)
        return [*seen, variable.get()]

    assert await run_in_step(body) == ["['set early', 'unset']"]


async def test_sniffio_and_anyio_know_where_they_are() -> None:
    async def body(step: Step) -> list[object]:
        library = sniffio.current_async_library()
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep(3600)
        return [library, scope.cancelled_caught]

    assert await run_in_step(body) == ["['asyncio', True]"]


async def test_an_anyio_task_group_works_before_the_first_await() -> None:
    async def body(step: Step) -> list[int]:
        found: list[int] = []

        async def child(number: int) -> None:
            await anyio.lowlevel.checkpoint()
            found.append(number)

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(child, number)
        return sorted(found)

    assert await run_in_step(body) == ["[0, 1, 2]"]


async def test_a_step_can_cancel_and_uncancel_itself() -> None:
    async def body(step: Step) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            task.uncancel()
            await asyncio.sleep(0)
            return "still here"
        return "was not cancelled"

    assert await run_in_step(body) == ["still here"]


@pytest.mark.parametrize("awaits_first", [False, True])
async def test_an_exception_becomes_the_failure_of_its_step_alone(awaits_first: bool) -> None:
    async def runner(step: Step) -> StepOutcome:
        if awaits_first:
            await asyncio.sleep(0)
        if step.run_id == "bad":
            raise LookupError("only here")
        return StepOutcome.Succeed(b"fine")

    async with Queue.open("memory://") as queue, WorkflowRuntime(queue, runner) as runtime:
        specs = [RunSpec(b"", run_id=run_id, max_attempts=1) for run_id in ("a", "bad", "b")]
        handles = await runtime.submit_many(specs)
        outcomes = [await handle.outcome(timeout=20) for handle in handles]

    assert [str(outcome.status) for outcome in outcomes] == ["succeeded", "failed", "succeeded"]
    assert "LookupError: only here" in (outcomes[1].error or "")


async def test_a_step_that_is_cancelled_from_outside_is_delivered_again() -> None:
    tasks: list[asyncio.Task[object]] = []
    attempts: list[int] = []

    async def runner(step: Step) -> StepOutcome:
        attempts.append(step.attempts)
        if step.attempts == 1:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(task)
            asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.sleep(3600)
        return StepOutcome.Succeed(b"again")

    async with Queue.open("memory://") as queue, WorkflowRuntime(queue, runner) as runtime:
        outcome = await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)

    assert outcome.result == b"again"
    assert attempts == [1, 2]
    assert tasks[0].cancelled()


async def test_a_task_factory_of_the_user_makes_the_tasks_of_the_steps() -> None:
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: object, **options: object) -> object:
        made.append(getattr(coro, "__qualname__", "?"))
        return asyncio.Task(coro, loop=loop, **options)  # type: ignore[arg-type]

    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)  # type: ignore[arg-type]
    try:

        async def body(step: Step) -> str:
            await asyncio.sleep(0)
            return "ok"

        async with asyncio.timeout(20):
            assert await run_in_step(body, count=2) == ["ok"] * 2
    finally:
        loop.set_task_factory(None)

    assert len(made) >= 2
