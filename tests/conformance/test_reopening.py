"""What is there when a store is opened again: after a close, and after a crash."""

import signal

import pytest

from taquba import EnqueueOptions
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.conformance.backends import Place
from tests.conformance.children import run_child
from tests.waiting import claim_one, drain


async def test_order_and_priority_hold_over_reopening(place: Place) -> None:
    expected: dict[int, list[bytes]] = {10: [], 1000: []}
    for opening in range(3):
        queue = await place.open()
        for number, priority in enumerate([1000, 10, 1000]):
            payload = b"%d/%d" % (opening, number)
            await queue.enqueue("emails", payload, EnqueueOptions(priority=priority))
            expected[priority].append(payload)
        await queue.close()

    queue = await place.open()

    delivered = [claim.payload for claim in await drain(queue, "emails")]
    assert delivered == expected[10] + expected[1000]


async def test_what_was_claimed_at_close_comes_back_as_the_next_attempt(place: Place) -> None:
    queue = await place.open()
    job_id = await queue.enqueue("emails", b"x")
    await claim_one(queue, "emails")
    await queue.close()

    claim = await claim_one(await place.open(), "emails")

    assert (claim.job_id, claim.attempts) == (job_id, 2)


def crash(place: Place) -> None:
    """Runs a process that leaves work behind and is killed."""
    child = run_child("leave_behind", place)
    assert child.returncode == -signal.SIGKILL, child.stderr


async def test_a_killed_process_loses_nothing_that_it_was_told_is_safe(shared_place: Place) -> None:
    crash(shared_place)

    queue = await shared_place.open()

    stats = (await queue.stats()).queues["emails"]
    assert (stats.pending_count, stats.scheduled_count, stats.claimed_count) == (2, 1, 0)
    claims = await drain(queue, "emails")
    assert [claim.payload for claim in claims] == [b"claimed", b"waiting"]


async def test_a_killed_run_goes_on_at_the_step_that_was_not_settled(shared_place: Place) -> None:
    crash(shared_place)
    ran: list[int] = []

    async def runner(step: Step) -> StepOutcome:
        ran.append(step.step_number)
        return StepOutcome.Succeed(step.payload)

    queue = await shared_place.open()
    async with WorkflowRuntime(queue, runner, queue_name="runs") as runtime:
        handle = await runtime.submit(RunSpec(b"", run_id="run"))
        outcome = await handle.outcome(timeout=30)

    assert handle.newly_submitted is False
    assert ran == [1]
    assert outcome.result == b"after step 0"


@pytest.mark.parametrize("count", [1, 3])
async def test_runs_of_several_steps_end_and_are_remembered(place: Place, count: int) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.step_number < 3:
            return StepOutcome.Continue(step.payload + b"+")
        return StepOutcome.Succeed(step.payload)

    queue = await place.open()
    async with WorkflowRuntime(queue, runner, run_retention=3600.0) as runtime:
        handles = await runtime.submit_many([RunSpec(b"%d" % n) for n in range(count)])
        results = [(await handle.outcome(timeout=30)).result for handle in handles]
    await queue.close()

    again = await place.open()
    async with WorkflowRuntime(again, runner) as runtime:
        kept = [(await runtime.handle(one.run_id).outcome(timeout=30)).result for one in handles]
    assert results == kept == [b"%d+++" % n for n in range(count)]
