"""`crash_test` at its edges: tasks, hooks, memory, errors, cleanup, bounds."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from taquba import (
    Effects,
    Queue,
    RunOutcome,
    RunState,
    Step,
    StepOutcome,
    TerminalStatus,
)
from taquba.exceptions import ArgumentTypeError, InvalidArgumentError
from taquba.testing import Moment, crash_test
from tests.testing.outside import Bank, deliveries_of, line_of, lines_of

pytestmark = pytest.mark.timeout(120)


async def test_tasks_of_a_step_are_watched_too(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        async with asyncio.TaskGroup() as group:
            group.create_task(bank.charge_once("left", "left"))
            group.create_task(bank.charge("right"))
        await asyncio.sleep(0)
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=bank.reset, observe=bank.seen)

    assert {finding.differences for finding in report.findings} != set()
    assert any("charge" in place.function for p in report.points for place in p.where)
    assert any(
        point.moment is Moment.WAIT and point.where[0].line == line_of(Bank.charge, "sleep")
        for point in report.points
    )


async def test_a_gather_of_charges_names_those_that_were_repeated(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        await asyncio.gather(bank.charge("a"), bank.charge("b"))
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=bank.reset, observe=lambda: bank.charges)

    repeated = {finding.repeated for finding in report.findings}
    assert ("a", "b") in repeated


async def test_a_hook_that_is_told_twice_is_found(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"")

    async def hook(outcome: RunOutcome) -> None:
        await asyncio.sleep(0)
        bank.charges.append(f"mail about {outcome.run_id}")

    report = await crash_test(
        runner, b"", hook=hook, setup=bank.reset, observe=lambda: bank.charges
    )

    [finding] = report.findings
    assert deliveries_of(report) == ["hook"]
    assert finding.repeated == ("mail about crash-test",)
    assert lines_of(finding) == (line_of(hook, "asyncio.sleep"), None)


async def test_a_hook_that_fails_first_is_told_again_and_stages_its_effects_once() -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"")

    class Mails:
        def __init__(self) -> None:
            self.told_count = 0

        def observes(self) -> list[TerminalStatus]:
            return [TerminalStatus.Succeeded]

        async def on_termination(self, outcome: RunOutcome) -> Effects:
            self.told_count += 1
            if self.told_count == 1:
                raise ConnectionError("no mail today")
            return Effects().enqueue("mails", outcome.run_id.encode())

    hook = Mails()
    report = await crash_test(runner, b"", hook=hook)

    report.raise_if_failed()
    assert hook.told_count > len(report.points)


async def test_a_job_that_a_step_enqueues_is_an_effect() -> None:
    queues: list[Queue] = []

    async def runner(step: Step) -> StepOutcome:
        await queues[-1].enqueue("mails", b"hello")
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", on_start=queues.append)

    assert report.findings[0].repeated == (("mails", b"hello"),)
    # Sent and not durable is nothing; durable and not settled is twice.
    assert [f.point.moment for f in report.findings] == [Moment.RESUME, Moment.RETURN]


async def test_memory_of_the_process_hides_a_repetition_unless_it_is_made_anew(bank: Bank) -> None:
    done: set[str] = set()

    async def runner(step: Step) -> StepOutcome:
        if step.run_id not in done:
            await bank.charge("order")
            done.add(step.run_id)
        await asyncio.sleep(0)
        return StepOutcome.Succeed(b"")

    def reset() -> None:
        bank.reset()
        done.clear()

    hidden = await crash_test(runner, b"", setup=reset, observe=lambda: bank.charges)
    shown = await crash_test(
        runner, b"", setup=reset, observe=lambda: bank.charges, on_start=lambda _: done.clear()
    )

    assert hidden.ok
    assert not shown.ok


async def test_the_dead_run_no_cleanup_until_all_was_looked_at(bank: Bank) -> None:
    tasks: list[asyncio.Task[object]] = []

    async def runner(step: Step) -> StepOutcome:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            bank.charges.append("what a kill does not raise")
            raise
        finally:
            bank.by_key[f"{step.run_id}/cleaned"] = "up"
        return StepOutcome.Succeed(b"")

    def reset() -> None:
        bank.reset()
        tasks.clear()

    def time_out(_: Queue) -> None:
        # As a timeout of the code itself would, while the next process works already.
        for task in tasks:
            task.cancel()

    report = await crash_test(runner, b"", setup=reset, observe=bank.seen, on_start=time_out)

    report.raise_if_failed()
    assert len(report.points) == 2 + 4


async def test_an_await_that_raises_is_a_point_too(bank: Bank) -> None:
    async def refuse() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, ConnectionError("refused"))
        await future

    async def runner(step: Step) -> StepOutcome:
        try:
            await refuse()
        except ConnectionError:
            bank.charges.append("fallback")
        await asyncio.sleep(0)
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=bank.reset, observe=lambda: bank.charges)

    resumed = line_of(runner, "refuse()")
    points = [p for p in report.points if p.moment is Moment.RESUME and p.where[0].line == resumed]
    assert len(points) == 1
    assert lines_of(report.findings[0]) == (resumed, line_of(runner, "asyncio.sleep"))


async def test_a_lock_that_dies_with_its_process_hangs_the_next_one_unless_made_anew() -> None:
    locks = [asyncio.Lock()]

    async def runner(step: Step) -> StepOutcome:
        async with locks[-1]:
            await asyncio.sleep(0)
        return StepOutcome.Succeed(b"")

    stuck = await crash_test(runner, b"", timeout=1.5)
    fresh = await crash_test(runner, b"", on_start=lambda _: locks.append(asyncio.Lock()))

    assert "has not ended after 1.5 s" in stuck.findings[0].differences[0]
    assert f"test_crash_edges.py:{line_of(runner, 'locks[-1]')}" in stuck.findings[0].differences[0]
    fresh.raise_if_failed()


async def test_asynchronous_iteration_passes_through() -> None:
    async def words() -> AsyncIterator[bytes]:
        for word in (b"a", b"b"):
            await asyncio.sleep(0)
            yield word

    async def runner(step: Step) -> StepOutcome:
        said = b"".join([word async for word in words()])
        return StepOutcome.Succeed(said)

    report = await crash_test(runner, b"")

    report.raise_if_failed()
    assert report.outcome.result == b"ab"
    assert len(report.points) == 2 + 2 + 2 * 2


async def test_a_step_timeout_ends_a_step_as_in_a_service() -> None:
    async def runner(step: Step) -> StepOutcome:
        if await step.memo.get("slow") is None:
            await step.memo.put("slow", b"")
            await asyncio.sleep(60)
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", step_timeout=0.5)

    report.raise_if_failed()
    assert report.outcome.status is TerminalStatus.Succeeded


async def test_setup_and_observe_may_be_asynchronous(bank: Bank) -> None:
    async def reset() -> None:
        await asyncio.sleep(0)
        bank.reset()

    async def seen() -> list[str]:
        await asyncio.sleep(0)
        return bank.charges

    async def runner(step: Step) -> StepOutcome:
        await bank.charge("order")
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=reset, observe=seen)

    assert report.effects == ["order"]
    assert report.findings[0].repeated == ("order",)


async def test_the_same_code_gives_the_same_report(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        await step.memo.get_or_compute("a", lambda: bank.charge("memo"))
        await asyncio.gather(bank.charge("left"), bank.charge("right"))
        return StepOutcome.Succeed(b"")

    reports = [
        await crash_test(runner, b"", setup=bank.reset, observe=lambda: bank.charges)
        for _ in range(2)
    ]

    assert reports[0] == reports[1]


async def test_code_that_varies_is_said_to() -> None:
    calls: list[int] = []

    async def runner(step: Step) -> StepOutcome:
        calls.append(1)
        for _ in range(5 if len(calls) == 1 else 1):
            await asyncio.sleep(0)
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"")

    assert report.unreached_count == 8
    assert "8 were not reached" in str(report)


async def test_fewer_points_than_there_are_can_be_tried() -> None:
    async def runner(step: Step) -> StepOutcome:
        for _ in range(20):
            await asyncio.sleep(0)
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", points_max=5)

    assert [point.index for point in report.points] == [0, 8, 17, 26, 35]
    assert report.left_out_count == 39
    assert "39 were left out" in str(report)


async def test_a_run_that_does_not_end_is_no_report() -> None:
    async def runner(step: Step) -> StepOutcome:
        await asyncio.Event().wait()
        return StepOutcome.Succeed(b"")

    with pytest.raises(TimeoutError, match=r"step 0 of run `crash-test` waits at .*test_crash"):
        await crash_test(runner, b"", timeout=1)


async def test_nothing_is_left_running_and_the_loop_is_as_before(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        asyncio.create_task(asyncio.sleep(3_600))  # noqa: RUF006 - left behind on purpose
        await bank.charge_once("a", "b")
        return StepOutcome.Succeed(b"")

    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks(), loop.get_task_factory()

    await crash_test(runner, b"", setup=bank.reset, observe=bank.seen)

    assert (asyncio.all_tasks(), loop.get_task_factory()) == before


async def test_what_the_runner_sees_is_a_real_queue() -> None:
    states: set[RunState] = set()
    queues: list[Queue] = []

    async def runner(step: Step) -> StepOutcome:
        states.add((await queues[-1].get_run(step.run_id)).state)
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", on_start=queues.append)

    report.raise_if_failed()
    assert states == {RunState.RUNNING}


async def test_wrong_arguments_are_refused() -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"")

    with pytest.raises(InvalidArgumentError, match="`setup`"):
        await crash_test(runner, b"", observe=list)
    with pytest.raises(ArgumentTypeError, match="`spec`"):
        await crash_test(runner, "text")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="`points_max`"):
        await crash_test(runner, b"", points_max=0)
    with pytest.raises(ArgumentTypeError, match="`runner`"):
        await crash_test(42, b"")  # type: ignore[arg-type]
