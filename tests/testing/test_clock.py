"""Virtual time: work is done at its own instant, and is done when the call returns."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from taquba import (
    Claim,
    EnqueueOptions,
    NewJob,
    OpenOptions,
    Queue,
    QueueConfig,
    RetryJitter,
    RunOutcome,
    RunSpec,
    RunState,
    Step,
    StepError,
    StepOutcome,
    TransientFailure,
    Worker,
    WorkflowRuntime,
    run_worker,
)
from taquba.exceptions import ArgumentTypeError, InvalidArgumentError
from taquba.store import MemoryStore
from taquba.testing import VirtualClock, open_queue
from taquba.testing._settling import _is_all_counted

DAY = 86_400.0
START = datetime(2030, 1, 1, tzinfo=UTC)
STEADY = OpenOptions(default_queue_config=QueueConfig(retry_jitter=RetryJitter.NONE))


class Diary:
    """A runner that waits a day before each of its steps, and writes down when they happen."""

    def __init__(self, clock: VirtualClock, step_count: int) -> None:
        self.clock = clock
        self.step_count = step_count
        self.days: list[float] = []

    async def run_step(self, step: Step) -> StepOutcome:
        self.days.append((self.clock.now() - START) / timedelta(days=1))
        if step.step_number + 1 == self.step_count:
            return StepOutcome.Succeed(b"")
        return StepOutcome.ContinueAfter(b"", DAY)


async def test_steps_that_wait_a_day_each_are_done_at_their_days() -> None:
    clock = VirtualClock()
    diary = Diary(clock, 4)
    async with open_queue(clock=clock) as queue, WorkflowRuntime(queue, diary) as runtime:
        handle = await runtime.submit(RunSpec(b""))

        await clock.advance(3 * DAY)

        assert diary.days == [0, 1, 2, 3]
        assert (await handle.status()).state is RunState.SUCCEEDED
        assert clock.now() == START + timedelta(days=3)


async def test_what_is_not_due_yet_is_not_done() -> None:
    clock = VirtualClock()
    diary = Diary(clock, 4)
    async with open_queue(clock=clock) as queue, WorkflowRuntime(queue, diary) as runtime:
        handle = await runtime.submit(RunSpec(b""))

        await clock.advance(timedelta(days=2) - timedelta(seconds=1))

        assert diary.days == [0, 1]
        status = await handle.status()
        assert (status.state, status.step_number) == (RunState.SCHEDULED, 2)


async def test_a_hook_has_been_told_when_the_time_has_passed() -> None:
    told: list[RunOutcome] = []

    async def hook(outcome: RunOutcome) -> None:
        await asyncio.sleep(0.02)
        told.append(outcome)

    clock = VirtualClock()
    runner = Diary(clock, 2)
    async with open_queue(clock=clock) as queue, WorkflowRuntime(queue, runner, hook) as runtime:
        await runtime.submit(RunSpec(b""))

        await clock.advance(DAY)

        assert len(told) == 1


async def test_retries_come_at_their_backoff() -> None:
    seconds: list[float] = []
    clock = VirtualClock()

    async def runner(step: Step) -> StepOutcome:
        seconds.append((clock.now() - START).total_seconds())
        if step.attempts < 3:
            raise StepError.transient("not yet")
        return StepOutcome.Succeed(b"")

    async with (
        open_queue(clock=clock, options=STEADY) as queue,
        WorkflowRuntime(queue, runner) as runtime,
    ):
        await runtime.submit(RunSpec(b""))

        await clock.advance(60)

    assert seconds == [0, 1, 3]


async def test_a_worker_works_off_what_falls_due() -> None:
    done: list[bytes] = []

    class Slow(Worker):
        async def process(self, job: Claim) -> None:
            await asyncio.sleep(0.01)
            if job.attempts == 1 and job.payload == b"flaky":
                raise TransientFailure("once more")
            done.append(job.payload)

    clock = VirtualClock()
    shutdown = asyncio.Event()
    async with open_queue(clock=clock) as queue, asyncio.TaskGroup() as group:
        group.create_task(run_worker(queue, "jobs", Slow(), shutdown=shutdown))
        for number, payload in enumerate((b"one", b"flaky", b"two")):
            delay = EnqueueOptions(delay=100.0 * (number + 1))
            await queue.enqueue("jobs", payload, delay)

        await clock.advance(1_000)

        assert sorted(done) == [b"flaky", b"one", b"two"]
        shutdown.set()


async def test_a_lease_of_the_test_itself_runs_out() -> None:
    clock = VirtualClock()
    async with open_queue(clock=clock) as queue:
        await queue.enqueue("jobs", b"mine")
        first = await queue.claim("jobs", lease=30)
        assert first is not None

        await clock.advance(31)

        again = await queue.claim("jobs")
        assert again is not None
        assert (again.payload, again.attempts) == (b"mine", 2)


async def test_jobs_that_nobody_works_on_hold_nothing_up() -> None:
    clock = VirtualClock()
    async with open_queue(clock=clock) as queue:
        await queue.enqueue("jobs", b"now")
        await queue.enqueue("jobs", b"later", EnqueueOptions(delay=50))

        await clock.advance(100)

        assert (await queue.stats()).queues["jobs"].pending_count == 2


async def test_settling_waits_for_a_slow_step_and_moves_nothing() -> None:
    clock = VirtualClock()

    async def runner(step: Step) -> StepOutcome:
        await asyncio.sleep(0.05)
        return StepOutcome.Succeed(b"")

    async with open_queue(clock=clock) as queue, WorkflowRuntime(queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b""))

        await clock.settle()

        assert (await handle.status()).state is RunState.SUCCEEDED
        assert clock.now() == START


async def test_a_step_that_waits_for_the_test_is_named_with_its_line() -> None:
    clock = VirtualClock()
    never = asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        await never.wait()
        return StepOutcome.Succeed(b"")

    async with open_queue(clock=clock) as queue, WorkflowRuntime(queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b"", run_id="stuck"))
        line = runner.__code__.co_firstlineno + 1

        with pytest.raises(TimeoutError, match=rf"step 0 of run `stuck` .*test_clock\.py:{line}"):
            await clock.advance(1, timeout=1)

        never.set()
        await handle.outcome(timeout=20)


async def test_moving_waits_for_nothing() -> None:
    clock = VirtualClock(START + timedelta(days=1))

    clock.move(timedelta(hours=2))

    assert clock.now() == clock.mock.now() == START + timedelta(hours=26)
    assert repr(clock) == "VirtualClock(2030-01-02T02:00:00+00:00)"


async def test_a_runner_may_advance_the_time_itself() -> None:
    clock = VirtualClock()

    async def runner(step: Step) -> StepOutcome:
        await clock.advance(10)
        return StepOutcome.Succeed(b"")

    async with open_queue(clock=clock) as queue, WorkflowRuntime(queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b""))
        await handle.outcome(timeout=20)

    assert clock.now() == START + timedelta(seconds=10)


async def test_one_clock_serves_several_queues() -> None:
    clock = VirtualClock()
    left, right = Diary(clock, 3), Diary(clock, 2)
    async with (
        open_queue(clock=clock) as first,
        open_queue(clock=clock) as second,
        WorkflowRuntime(first, left) as one,
        WorkflowRuntime(second, right) as other,
    ):
        await one.submit(RunSpec(b""))
        await other.submit(RunSpec(b""))

        await clock.advance(2 * DAY)

        assert (left.days, right.days) == ([0, 1, 2], [0, 1])


async def test_a_closed_queue_and_a_fenced_one_are_forgotten() -> None:
    clock = VirtualClock()
    store = MemoryStore()
    async with open_queue(clock=clock):
        pass
    async with open_queue(store, clock=clock), open_queue(store, clock=clock) as owner:
        await owner.enqueue("jobs", b"")

        await clock.advance(5)

        assert (await owner.stats()).queues["jobs"].pending_count == 1


async def test_more_instants_than_can_be_visited_are_taken_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = VirtualClock()
    monkeypatch.setattr("taquba.testing._clock._INSTANT_COUNT_MAX", 10)
    async with open_queue(clock=clock) as queue:
        delays = [EnqueueOptions(delay=number + 1.0) for number in range(60)]
        await queue.enqueue_batch("jobs", [NewJob(b"", delay) for delay in delays])

        await clock.advance(70)

        assert (await queue.stats()).queues["jobs"].pending_count == 60


async def test_a_queue_that_was_opened_otherwise_can_be_watched() -> None:
    clock = VirtualClock()
    diary = Diary(clock, 3)
    async with (
        Queue.open("memory://", options=OpenOptions(clock=clock.mock)) as queue,
        WorkflowRuntime(queue, diary) as runtime,
    ):
        clock.watch(queue)
        await runtime.submit(RunSpec(b""))

        await clock.advance(2 * DAY)

    assert diary.days == [0, 1, 2]


async def test_wrong_arguments_are_refused() -> None:
    clock = VirtualClock()

    with pytest.raises(InvalidArgumentError, match="`seconds`"):
        await clock.advance(-1)
    with pytest.raises(ArgumentTypeError, match="`queue`"):
        clock.watch(MemoryStore())  # type: ignore[arg-type]


async def test_a_job_that_is_counted_nowhere_is_no_rest() -> None:
    async with open_queue() as queue:
        await queue.enqueue("jobs", b"")
        jobs = (await queue.list_jobs("jobs")).jobs
        counts = (await queue.stats()).queues["jobs"]

    assert _is_all_counted(jobs, {"jobs": counts})
    assert not _is_all_counted(jobs, {"jobs": replace(counts, pending_count=0)})
