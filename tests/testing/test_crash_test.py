"""`crash_test`: what is not idempotent is found, at its line, and what is idempotent passes."""

import asyncio
from collections.abc import Callable

import pytest

from taquba import (
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    TerminalStatus,
)
from taquba.testing import CrashReport, Moment, crash_test
from tests.testing.outside import Bank, line_of, lines_of

pytestmark = pytest.mark.timeout(120)


async def test_a_charge_that_a_crash_repeats_is_found_at_its_line(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        await asyncio.sleep(0)
        await bank.charge("order")
        await asyncio.sleep(0)
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=bank.reset, observe=lambda: bank.charges)

    assert not report.ok
    first = report.findings[0]
    assert first.repeated == ("order",)
    charged = line_of(runner, "bank.charge")
    assert lines_of(first) == (charged, charged + 1)
    assert first.point.where[0].file == __file__
    assert [finding.point.moment for finding in report.findings] == [
        Moment.WAIT,
        Moment.RESUME,
        Moment.RETURN,
    ]
    with pytest.raises(AssertionError, match=rf"test_crash_test\.py:{charged}"):
        report.raise_if_failed()


async def test_a_charge_with_a_key_passes_wherever_the_process_dies(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        await bank.charge_once(f"{step.run_id}/{step.step_number}", "order")
        if step.step_number < 2:
            return StepOutcome.Continue(b"")
        return StepOutcome.Succeed(b"paid")

    report = await crash_test(runner, b"", setup=bank.reset, observe=bank.seen)

    report.raise_if_failed()
    assert report.outcome.result == b"paid"
    assert len(bank.by_key) == 3
    # Before the submission, after the end, and of each step: begin, await twice, return.
    assert len(report.points) == 2 + 3 * 4
    assert report.unreached_count == report.left_out_count == 0


async def test_what_is_done_behind_the_last_await_is_found(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        await asyncio.sleep(0)
        bank.charges.append("late")
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=bank.reset, observe=lambda: bank.charges)

    [finding] = report.findings
    assert finding.point.moment is Moment.RETURN
    assert lines_of(finding) == (line_of(runner, "asyncio.sleep"), None)


async def test_code_without_any_await_is_cut_short_before_its_commit(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        bank.charges.append("order")
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=bank.reset, observe=lambda: bank.charges)

    [finding] = report.findings
    assert finding.repeated == ("order",)
    assert str(runner.__code__.co_firstlineno) in str(report)


async def test_a_plain_function_is_cut_short_at_its_ends(bank: Bank) -> None:
    def runner(step: Step) -> StepOutcome:
        bank.charges.append(f"step {step.step_number}")
        return StepOutcome.Continue(b"") if step.step_number == 0 else StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=bank.reset, observe=lambda: bank.charges)

    assert [finding.repeated for finding in report.findings] == [("step 0",), ("step 1",)]
    assert {finding.point.moment for finding in report.findings} == {Moment.RETURN}


async def test_a_decorated_function_is_watched_like_its_coroutine(bank: Bank) -> None:
    async def charge(step: Step) -> StepOutcome:
        await bank.charge("order")
        await asyncio.sleep(0)
        return StepOutcome.Succeed(b"")

    report = await crash_test(
        lambda step: charge(step), b"", setup=bank.reset, observe=lambda: bank.charges
    )

    assert lines_of(report.findings[0])[0] == line_of(charge, "bank.charge")


async def test_a_runner_object_keeps_what_it_is(bank: Bank) -> None:
    class Shop:
        async def run_step(self, step: Step) -> StepOutcome:
            await bank.charge(step.headers["customer"])
            return StepOutcome.Succeed(step.payload)

    spec = RunSpec(b"in", headers={"customer": "Ada"}, run_id="mine")
    report = await crash_test(Shop(), spec, setup=bank.reset, observe=lambda: bank.charges)

    assert (report.outcome.run_id, report.outcome.result) == ("mine", b"in")
    assert report.findings[0].repeated == ("Ada",)


async def test_a_memo_leaves_only_the_moment_before_it_is_durable(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        receipt = await step.memo.get_or_compute("charge", lambda: bank.charge("order"))
        await asyncio.sleep(0)
        return StepOutcome.Succeed(receipt)

    async def check(*, inside_memos: bool) -> CrashReport:
        return await crash_test(
            runner,
            b"",
            setup=bank.reset,
            observe=lambda: bank.charges,
            inside_memos=inside_memos,
        )

    (await check(inside_memos=False)).raise_if_failed()
    report = await check(inside_memos=True)

    assert report.outcome.result == b"receipt"
    assert {finding.repeated for finding in report.findings} == {("order",)}
    here = line_of(runner, "get_or_compute")
    assert {finding.point.where[0].line for finding in report.findings} == {here}
    assert all(f.point.moment is not Moment.RETURN for f in report.findings)


async def test_a_memo_that_was_put_is_there_after_the_crash(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        if await step.memo.get("charged") is None:
            await step.memo.put("charged", b"about to")
            await bank.charge("order")
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=bank.reset, observe=lambda: bank.charges)

    # The other way round: at most once, so a crash loses the charge and never repeats it.
    assert {finding.missing for finding in report.findings} == {("order",)}
    assert {finding.repeated for finding in report.findings} == {()}
    put, charged = line_of(runner, "memo.put"), line_of(runner, "bank.charge")
    assert {finding.point.where[0].line for finding in report.findings} == {put, charged}


async def test_days_of_waiting_take_no_time(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        await bank.charge_once(str(step.step_number), "reminder")
        if step.step_number < 3:
            return StepOutcome.ContinueAfter(b"", 86_400)
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=bank.reset, observe=bank.seen)

    report.raise_if_failed()
    assert len(report.points) == 2 + 4 * 4


async def test_a_retry_is_a_delivery_of_its_own(bank: Bank) -> None:
    async def runner(step: Step) -> StepOutcome:
        await bank.charge_once(f"{step.step_number}", "order")
        if await step.memo.get("tried") is None:
            await step.memo.put("tried", b"yes")
            raise StepError.transient("the line is busy")
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=bank.reset, observe=bank.seen)

    report.raise_if_failed()
    names = {point.delivery.name for point in report.points if point.delivery is not None}
    assert names == {"step 0", "step 0, delivery 2"}


async def test_a_run_that_needs_its_last_attempt_has_none_to_lose() -> None:
    async def runner(step: Step) -> StepOutcome:
        # Whatever is committed beside a delivery makes the delivery count.
        await step.memo.put("begun", b"")
        if step.attempts < 3:
            raise StepError.transient("not yet")
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, RunSpec(b"", max_attempts=3))

    assert report.outcome.status is TerminalStatus.Succeeded
    assert report.findings
    assert all("TerminalStatus.Failed" in finding.differences[0] for finding in report.findings)


async def test_a_result_that_depends_on_the_attempt_is_found() -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.step_number == 0:
            return StepOutcome.Continue(b"")
        await step.memo.put("a", b"")
        return StepOutcome.Succeed(f"attempt {step.attempts}".encode())

    report = await crash_test(runner, b"")

    assert report.findings[0].differences == ("result: b'attempt 2' instead of b'attempt 1'",)


@pytest.mark.parametrize("make", [StepOutcome.Fail, StepOutcome.Cancel, StepError.permanent])
async def test_a_run_that_ends_badly_ends_so_after_every_crash(
    make: Callable[[str], StepOutcome | StepError],
) -> None:
    async def runner(step: Step) -> StepOutcome:
        await asyncio.sleep(0)
        verdict = make("sold out")
        if isinstance(verdict, StepError):
            raise verdict
        return verdict

    report = await crash_test(runner, b"")

    report.raise_if_failed()
    assert report.outcome.error is not None
    assert report.outcome.error.startswith("sold out")


async def test_an_error_of_the_code_is_compared_without_its_frames() -> None:
    async def runner(step: Step) -> StepOutcome:
        await asyncio.sleep(0)
        raise RuntimeError(f"at {object()!r}")

    report = await crash_test(runner, RunSpec(b"", max_attempts=1))

    # The process used up the only attempt: the run fails all the same, for another reason.
    assert report.outcome.status is TerminalStatus.Failed
    assert all(f.differences[0].startswith("error:") for f in report.findings)
