"""Looking at jobs: one by one, and page by page by state."""

from datetime import UTC, datetime, timedelta

import pytest

from taquba import EnqueueOptions, JobState, MockClock, NewJob, Queue, QueueConfig
from taquba.exceptions import (
    ArgumentTypeError,
    InvalidArgumentError,
    InvalidJobIdError,
    InvalidQueueNameError,
    JobNotFoundError,
)
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.conftest import OpenQueue
from tests.waiting import claim_one

LIST_COUNT_MAX = 1_000
LATER = EnqueueOptions(delay=3600)


async def one_of_each(queue: Queue) -> dict[JobState, str]:
    """A job in each state, by state."""
    order = [JobState.DONE, JobState.DEAD, JobState.CLAIMED, JobState.PENDING]
    ids = await queue.enqueue_batch("emails", [state.value.encode() for state in order])
    scheduled = await queue.enqueue("emails", b"scheduled", LATER)
    done, dead, _ = await queue.claim_batch("emails", 3, lease=3600.0)
    await queue.ack(done)
    await queue.dead_letter(dead, "no")
    return dict(zip(order, ids, strict=True)) | {JobState.SCHEDULED: scheduled}


KEEP = QueueConfig(keep_done_jobs=timedelta(days=1))


async def test_jobs_are_listed_by_state(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=KEEP)
    ids = await one_of_each(queue)

    by_state = {
        state: [job.job_id for job in (await queue.list_jobs("emails", state)).jobs]
        for state in JobState
    }
    everything = (await queue.list_jobs("emails")).jobs

    assert by_state == {state: [job_id] for state, job_id in ids.items()}
    assert {job.job_id: job.state for job in everything} == {
        job_id: state for state, job_id in ids.items()
    }
    assert [job.job_id for job in everything] == sorted(ids.values())


async def test_states_are_the_same_after_reopening(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=KEEP)
    ids = await one_of_each(queue)
    await queue.close()

    again = await open_queue(default_queue_config=KEEP)

    # The claim ended with its process.
    expected = {job_id: state for state, job_id in ids.items()}
    expected[ids[JobState.CLAIMED]] = JobState.PENDING
    assert {job.job_id: job.state for job in (await again.list_jobs("emails")).jobs} == expected


async def test_a_job_tells_all_about_itself(timed_queue: Queue, clock: MockClock) -> None:
    run_at = clock.now() + timedelta(hours=1)
    options = EnqueueOptions(
        priority=7, run_at=run_at, dedup_key="once", headers={"k": "ü"}, max_attempts=9
    )
    job_id = await timed_queue.enqueue("emails", b"payload", options)

    info = await timed_queue.get_job(job_id)

    assert (info.job_id, info.queue, info.state, info.kind) == (
        job_id,
        "emails",
        JobState.SCHEDULED,
        "job",
    )
    assert (info.priority, info.attempts, info.max_attempts) == (7, 0, 9)
    assert (info.enqueued_at, info.run_at, info.ended_at) == (clock.now(), run_at, None)
    assert info.enqueued_at.tzinfo is UTC
    assert (info.dedup_key, info.headers) == ("once", {"k": "ü"})
    assert (info.payload_bytes, info.payload) == (7, b"payload")
    assert (info.last_error, info.is_cancel_requested, info.run_id) == (None, False, None)


async def test_a_job_that_failed_shows_its_error_and_when_it_is_tried_again(
    open_queue: OpenQueue, clock: MockClock
) -> None:
    queue = await open_queue(
        clock=clock, default_queue_config=QueueConfig(retry_backoff_base=100.0)
    )
    job_id = await queue.enqueue("emails", b"x")
    await queue.nack(await claim_one(queue, "emails"), "not now")

    info = await queue.get_job(job_id)

    assert (info.state, info.attempts, info.last_error) == (JobState.SCHEDULED, 1, "not now")
    assert info.run_at is not None
    assert clock.now() <= info.run_at <= clock.now() + timedelta(seconds=100)


async def test_a_step_names_its_run(queue: Queue) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"")

    await WorkflowRuntime(queue, runner, queue_name="runs").submit(RunSpec(b"in", run_id="run-7"))

    [info] = (await queue.list_jobs("runs")).jobs

    assert (info.kind, info.run_id, info.payload_bytes) == ("step", "run-7", 2)


async def test_lists_show_no_payloads(queue: Queue) -> None:
    await queue.enqueue("emails", b"secret")

    [info] = (await queue.list_jobs("emails")).jobs

    assert (info.payload, info.payload_bytes) == (None, 6)


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages_together_are_the_whole_list(queue: Queue, limit: int) -> None:
    jobs: list[bytes | NewJob] = [NewJob(b"x", LATER) if n % 3 == 0 else b"x" for n in range(60)]
    ids = await queue.enqueue_batch("emails", jobs)

    found: list[str] = []
    sizes = []
    cursor = None
    while True:
        page = await queue.list_jobs("emails", cursor=cursor, limit=limit)
        found += [job.job_id for job in page.jobs]
        sizes.append(len(page.jobs))
        cursor = page.cursor
        if cursor is None:
            break

    assert found == ids
    assert all(size == limit for size in sizes[:-1])


async def test_a_page_of_a_rare_state_is_full_or_the_last_one(queue: Queue) -> None:
    # More jobs than one look at the index takes, and the rare ones at both ends.
    for first in (True, False):
        if not first:
            await queue.enqueue_batch("emails", [b"x"] * 10_000)
            await queue.enqueue_batch("emails", [b"x"] * 2_000)
        await queue.enqueue_batch("emails", [NewJob(b"x", LATER)] * 2)

    page = await queue.list_jobs("emails", JobState.SCHEDULED, limit=3)
    rest = await queue.list_jobs("emails", JobState.SCHEDULED, cursor=page.cursor, limit=3)

    assert (len(page.jobs), len(rest.jobs), rest.cursor) == (3, 1, None)


async def test_paging_neither_repeats_nor_skips_what_stays(queue: Queue) -> None:
    ids = await queue.enqueue_batch("emails", [b"x"] * 20)
    first = await queue.list_jobs("emails", limit=10)
    for job in first.jobs:
        await queue.cancel(job.job_id)
    await queue.enqueue("emails", b"new")

    second = await queue.list_jobs("emails", cursor=first.cursor, limit=10)

    assert [job.job_id for job in second.jobs] == ids[10:]


async def test_queues_are_listed_by_name(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    assert await queue.list_queues() == []
    for name in ("b", "a", "B", "a.b"):
        await queue.enqueue(name, b"x")
    await queue.close()

    again = await open_queue()

    assert await again.list_queues() == sorted(["b", "a", "B", "a.b"])
    assert not (await again.list_jobs("unknown")).jobs


@pytest.mark.parametrize("cursor", ["", "nonsense", "-1", "9" * 40, "☃"])
async def test_a_cursor_that_is_none_of_ours_is_refused(queue: Queue, cursor: str) -> None:
    for call in (queue.list_jobs, queue.dead_jobs):
        with pytest.raises(InvalidArgumentError, match="cursor"):
            await call("emails", cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, LIST_COUNT_MAX + 1])
async def test_a_page_of_no_or_too_many_jobs_is_refused(queue: Queue, limit: int) -> None:
    for call in (queue.list_jobs, queue.dead_jobs):
        with pytest.raises(InvalidArgumentError, match="limit") as caught:
            await call("emails", limit=limit)
        assert str(LIST_COUNT_MAX) in str(caught.value)


async def test_what_cannot_be_looked_for_is_refused(queue: Queue) -> None:
    with pytest.raises(InvalidQueueNameError):
        await queue.list_jobs("a b")
    with pytest.raises((ArgumentTypeError, InvalidArgumentError)):
        await queue.list_jobs("emails", "pending")  # type: ignore[arg-type]
    for call in (queue.get_job, queue.attempt_history):
        with pytest.raises(InvalidJobIdError, match="nonsense"):
            await call("nonsense")
        with pytest.raises(JobNotFoundError, match="00000000deadbeef"):
            await call("00000000deadbeef")


async def test_the_owner_of_an_open_queue_is_its_process(queue: Queue) -> None:
    owner = await queue.owner()

    assert owner is not None
    assert owner.is_alive
    # The times of files are those of the last tick of the kernel's clock.
    assert owner.since <= owner.last_seen + timedelta(milliseconds=20)
    assert owner.last_seen <= datetime.now(UTC) + timedelta(seconds=1)
