"""Looking at runs: where one is in its life, and which ones there are."""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from taquba import MockClock, OpenOptions, Queue, QueueReader, RunPage, RunState, RunStatus, sync
from taquba.exceptions import ArgumentTypeError, InvalidArgumentError, RunNotFoundError
from taquba.workflow import RunHandle, RunSpec, Step, StepError, StepOutcome, WorkflowRuntime
from tests.conftest import OpenQueue
from tests.waiting import eventually
from tests.workflow.conftest import StartRuntime


async def never(step: Step) -> StepOutcome:
    """The runner of a runtime that only submits."""
    raise AssertionError(f"nobody works on {step!r}")


async def until(handle: RunHandle, state: RunState) -> RunStatus:
    """Waits until the run is in a state."""

    async def probe() -> RunStatus | None:
        status = await handle.status()
        return status if status.state is state else None

    found = await eventually(probe, f"a run that is {state}")
    assert found is not None
    return found


def test_run_states_have_stable_names() -> None:
    assert [str(state) for state in RunState] == [
        "pending",
        "scheduled",
        "running",
        "cancelling",
        "succeeded",
        "failed",
        "cancelled",
    ]
    assert [state for state in RunState if state.is_terminal] == [
        RunState.SUCCEEDED,
        RunState.FAILED,
        RunState.CANCELLED,
    ]


async def test_a_run_that_was_just_submitted_says_all_that_it_was_given(
    timed_queue: Queue, clock: MockClock
) -> None:
    runtime = WorkflowRuntime(timed_queue, never, queue_name="walks")
    spec = RunSpec(b"", run_id="run", headers={"k": "v"}, priority=7, max_attempts=5)

    status = await (await runtime.submit(spec)).status()

    assert status == RunStatus(
        run_id="run",
        queue="walks",
        state=RunState.PENDING,
        step_number=0,
        attempts=0,
        max_attempts=5,
        priority=7,
        headers={"k": "v"},
        submitted_at=clock.now(),
        run_at=None,
        started_at=None,
        ended_at=None,
        last_error=None,
        error=None,
        job_id=status.job_id,
    )
    assert (await timed_queue.get_job(str(status.job_id))).run_id == "run"


class Told:
    """A runner that ends each step as it is told."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Step] = asyncio.Queue()
        self.verdicts: asyncio.Queue[StepOutcome | Exception] = asyncio.Queue()

    async def run_step(self, step: Step) -> StepOutcome:
        self.begun.put_nowait(step)
        verdict = await self.verdicts.get()
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


async def test_a_run_walks_through_its_states(timed_queue: Queue, clock: MockClock) -> None:
    runner = Told()
    submitted_at = clock.now()
    async with WorkflowRuntime(timed_queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b"", headers={"k": "v"}))
        step = await runner.begun.get()
        running = await handle.status()
        assert (running.state, running.attempts) == (RunState.RUNNING, 1)
        assert (running.job_id, running.started_at) == (step.job_id, submitted_at)

        runner.verdicts.put_nowait(StepError.transient("not now", retry_after=60))
        waiting = await until(handle, RunState.SCHEDULED)
        assert (waiting.step_number, waiting.attempts) == (0, 1)
        assert (waiting.last_error, waiting.error, waiting.started_at) == ("not now", None, None)
        assert waiting.run_at == clock.now() + timedelta(seconds=60)

        clock.advance(60)
        assert (await runner.begun.get()).attempts == 2
        runner.verdicts.put_nowait(StepOutcome.ContinueAfter(b"", 60))
        later = await until(handle, RunState.SCHEDULED)
        assert (later.step_number, later.attempts, later.last_error) == (1, 0, None)
        assert later.job_id != step.job_id

        clock.advance(60)
        await runner.begun.get()
        await handle.cancel()
        cancelling = await handle.status()
        assert (cancelling.state, cancelling.step_number) == (RunState.CANCELLING, 1)
        runner.verdicts.put_nowait(StepOutcome.Cancel("my reason"))
        cancelled = await until(handle, RunState.CANCELLED)

    assert (cancelled.step_number, cancelled.attempts, cancelled.error) == (1, 1, "my reason")
    assert (cancelled.max_attempts, cancelled.priority, cancelled.job_id) == (None, None, None)
    assert (cancelled.run_at, cancelled.started_at) == (None, None)
    assert (cancelled.submitted_at, cancelled.ended_at) == (submitted_at, clock.now())
    assert cancelled.headers == {"k": "v"}


@pytest.mark.parametrize(
    ("verdict", "state", "error"),
    [
        (StepOutcome.Succeed(b"result"), RunState.SUCCEEDED, None),
        (StepOutcome.Fail("gave up"), RunState.FAILED, "gave up"),
        (StepOutcome.Cancel("stopped"), RunState.CANCELLED, "stopped"),
    ],
)
async def test_the_end_of_a_run_stays_readable(
    open_queue: OpenQueue,
    queue: Queue,
    verdict: StepOutcome,
    state: RunState,
    error: str | None,
) -> None:
    async def runner(step: Step) -> StepOutcome:
        return verdict

    async with WorkflowRuntime(queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b"", run_id="run"))
        await handle.outcome(timeout=20)
    before = await queue.get_run("run")
    await queue.close()
    again = await open_queue()

    assert (before.state, before.error, before.last_error) == (state, error, None)
    assert before.ended_at is not None
    assert before.submitted_at <= before.ended_at
    assert await again.get_run("run") == before


async def test_a_run_that_failed_of_its_attempts_says_so(start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        raise StepError.transient(f"attempt {step.attempts}")

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b"", max_attempts=2))
    await handle.outcome(timeout=20)

    status = await handle.status()
    assert (status.state, status.attempts, status.error) == (RunState.FAILED, 2, "attempt 2")


async def test_a_run_that_is_scheduled_says_when_it_is_due(queue: Queue) -> None:
    run_at = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    handle = await WorkflowRuntime(queue, never).submit(RunSpec(b"", run_at=run_at))

    status = await handle.status()

    assert (status.state, status.run_at) == (RunState.SCHEDULED, run_at)


async def test_an_unknown_run_has_no_status(queue: Queue) -> None:
    runtime = WorkflowRuntime(queue, never)

    for call in (runtime.status, queue.get_run):
        with pytest.raises(RunNotFoundError, match="nobody"):
            await call("nobody")
    with pytest.raises(RunNotFoundError):
        await runtime.handle("nobody").status()


async def test_a_status_shows_no_content_in_its_repr(queue: Queue) -> None:
    runtime = WorkflowRuntime(queue, never)
    handle = await runtime.submit(RunSpec(b"", run_id="run", headers={"token": "secret"}))

    status = await handle.status()

    assert "secret" not in repr(status)
    assert "run_id='run'" in repr(status)
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.state = RunState.FAILED  # type: ignore[misc]


RUN_COUNT = 9


async def submit_some(queue: Queue) -> WorkflowRuntime:
    """Submits runs of two queues; every third one is scheduled, every fourth one cancelled."""
    runtime = WorkflowRuntime(queue, never, queue_name="mine")
    other = WorkflowRuntime(queue, never, queue_name="other")
    far = datetime.now(UTC) + timedelta(days=1)
    for n in range(RUN_COUNT):
        run_id = f"{'even' if n % 2 == 0 else 'odd'}-{n}"
        await runtime.submit(RunSpec(b"", run_id=run_id, run_at=far if n % 3 == 0 else None))
        if n % 4 == 0:
            await runtime.cancel(run_id)
    await other.submit(RunSpec(b"", run_id="even-other"))
    return runtime


def numbers(page: RunPage) -> list[int]:
    return [int(run.run_id.partition("-")[2]) for run in page.runs]


async def test_runs_are_listed_from_the_latest_submission_on(queue: Queue) -> None:
    runtime = await submit_some(queue)

    mine = await runtime.list_runs()
    every = await queue.list_runs()

    assert numbers(mine) == list(reversed(range(RUN_COUNT)))
    assert mine.cursor is None
    assert [run.run_id for run in every.runs] == ["even-other", *(r.run_id for r in mine.runs)]
    assert every.runs[1] == await runtime.status(mine.runs[0].run_id)


@pytest.mark.parametrize("limit", [1, 2, 3, 9, 10])
async def test_pages_follow_each_other(queue: Queue, limit: int) -> None:
    runtime = await submit_some(queue)
    seen: list[int] = []
    cursor = None

    while True:
        page = await runtime.list_runs(cursor=cursor, limit=limit)
        assert len(page.runs) <= limit
        seen += numbers(page)
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.runs) == limit

    assert seen == list(reversed(range(RUN_COUNT)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"state": RunState.CANCELLED}, [8, 4, 0]),
        ({"state": RunState.SCHEDULED}, [6, 3]),
        ({"state": [RunState.PENDING]}, [7, 5, 2, 1]),
        ({"state": {RunState.SCHEDULED, RunState.CANCELLED}}, [8, 6, 4, 3, 0]),
        ({"state": []}, []),
        ({"state": RunState.RUNNING}, []),
        ({"run_id_prefix": "odd-"}, [7, 5, 3, 1]),
        ({"run_id_prefix": "odd-", "state": RunState.SCHEDULED}, [3]),
        ({"run_id_prefix": ""}, [8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"run_id_prefix": "../"}, []),
        ({"state": (RunState.SCHEDULED,), "limit": 1}, [6]),
    ],
)
async def test_runs_are_listed_by_state_and_by_the_beginning_of_their_id(
    queue: Queue, arguments: dict[str, Any], expected: list[int]
) -> None:
    runtime = await submit_some(queue)

    assert numbers(await runtime.list_runs(**arguments)) == expected


async def test_runs_are_listed_by_queue(queue: Queue) -> None:
    await submit_some(queue)

    other = await queue.list_runs("other")
    nothing = await queue.list_runs("never-used")

    assert [run.run_id for run in other.runs] == ["even-other"]
    assert [run.queue for run in other.runs] == ["other"]
    assert nothing == RunPage([], None)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"cursor": "0000000000000001"}, InvalidArgumentError),
        ({"cursor": "before:1"}, InvalidArgumentError),
        ({"cursor": "after:x"}, InvalidArgumentError),
        ({"cursor": 1}, ArgumentTypeError),
        ({"limit": 0}, InvalidArgumentError),
        ({"limit": 1001}, InvalidArgumentError),
        ({"state": "pending"}, ArgumentTypeError),
        ({"state": ["pending"]}, ArgumentTypeError),
        ({"state": 1}, ArgumentTypeError),
        ({"run_id_prefix": "\ud800"}, InvalidArgumentError),
        ({"run_id_prefix": b"x"}, ArgumentTypeError),
    ],
)
async def test_a_list_that_cannot_be_is_refused(
    queue: Queue, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(arguments))):
        await queue.list_runs(**arguments)


async def test_a_reader_sees_runs_that_another_process_may_own(tmp_path: Path) -> None:
    async with Queue.open(tmp_path, options=OpenOptions(fsync=False)) as queue:
        runtime = await submit_some(queue)
        owned = await runtime.list_runs()
        async with QueueReader.open(tmp_path) as reader:
            read = await reader.list_runs("mine")
            one = await reader.get_run("odd-3")
            with pytest.raises(RunNotFoundError):
                await reader.get_run("nobody")

    assert read == owned
    assert one == owned.runs[RUN_COUNT - 1 - 3]


def test_a_blocking_queue_lists_runs() -> None:
    with sync.Queue.open("memory://") as queue:
        assert queue.list_runs(state=RunState.PENDING) == RunPage([], None)
        with pytest.raises(RunNotFoundError):
            queue.get_run("nobody")
