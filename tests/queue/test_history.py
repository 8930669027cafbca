"""The history of a job: each delivery with its start, its end, how it ended and why."""

from datetime import timedelta

import pytest

from taquba import AttemptEnd, EnqueueOptions, JobState, MockClock, Queue, QueueConfig, RetryJitter
from taquba.exceptions import JobNotFoundError
from tests.conftest import OpenQueue
from tests.waiting import claim_one, eventually

ATTEMPTS_KEPT_MAX = 20
ATTEMPT_ERROR_BYTES_MAX = 512
ERROR_TEXT_BYTES_MAX = 4 * 1024

KEEP = QueueConfig(
    keep_done_jobs=timedelta(days=1), retry_backoff_base=0, retry_jitter=RetryJitter.NONE
)


async def ends(queue: Queue, job_id: str) -> list[AttemptEnd]:
    """How the deliveries of a job ended."""
    return [attempt.end for attempt in await queue.attempt_history(job_id)]


async def test_a_job_that_was_never_delivered_has_no_history(queue: Queue) -> None:
    assert await queue.attempt_history(await queue.enqueue("emails", b"x")) == []


async def test_a_delivery_under_way_is_open(timed_queue: Queue, clock: MockClock) -> None:
    job_id = await timed_queue.enqueue("emails", b"x")
    clock.advance(5)
    await claim_one(timed_queue, "emails")

    [attempt] = await timed_queue.attempt_history(job_id)

    assert (attempt.number, attempt.end) == (1, AttemptEnd.OPEN)
    assert (attempt.started_at, attempt.ended_at) == (clock.now(), None)
    assert attempt.error is None


async def test_a_history_tells_each_delivery_from_first_to_last(
    open_queue: OpenQueue, clock: MockClock
) -> None:
    queue = await open_queue(clock=clock, default_queue_config=KEEP)
    job_id = await queue.enqueue("emails", b"x", EnqueueOptions(max_attempts=5))
    started = []
    for error in ("first", "second"):
        claim = await claim_one(queue, "emails", lease=60.0)
        started.append(clock.now())
        clock.advance(10)
        await queue.nack(claim, error)
        clock.advance(100)
    await claim_one(queue, "emails", lease=60.0)
    clock.advance(61)
    await queue.ack(await claim_one(queue, "emails", lease=60.0))

    history = await queue.attempt_history(job_id)

    assert [attempt.number for attempt in history] == [1, 2, 3, 4]
    assert [attempt.end for attempt in history] == [
        AttemptEnd.NACKED,
        AttemptEnd.NACKED,
        AttemptEnd.EXPIRED,
        AttemptEnd.ACKED,
    ]
    assert [attempt.error for attempt in history[:2]] == ["first", "second"]
    assert [attempt.started_at for attempt in history[:2]] == started
    assert [attempt.ended_at for attempt in history[:2]] == [
        at + timedelta(seconds=10) for at in started
    ]
    assert history[3].error is None


async def test_a_history_survives_reopening(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=KEEP)
    job_id = await queue.enqueue("emails", b"x")
    await queue.nack(await claim_one(queue, "emails"), "first")
    await queue.dead_letter(await claim_one(queue, "emails"), "bad address")
    before = await queue.attempt_history(job_id)
    await queue.close()

    again = await open_queue(default_queue_config=KEEP)

    assert await again.attempt_history(job_id) == before
    assert [attempt.end for attempt in before] == [AttemptEnd.NACKED, AttemptEnd.DEAD_LETTERED]
    assert before[1].error == "bad address"


async def test_the_last_nack_counts_as_a_nack_and_kills(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=KEEP)
    job_id = await queue.enqueue("emails", b"x", EnqueueOptions(max_attempts=1))

    await queue.nack(await claim_one(queue, "emails"), "never works")

    assert await ends(queue, job_id) == [AttemptEnd.NACKED]
    assert (await queue.get_job(job_id)).state is JobState.DEAD


@pytest.mark.parametrize("end", ["close", "crash"])
async def test_a_delivery_that_ended_with_its_process_is_told(
    open_queue: OpenQueue, end: str
) -> None:
    queue = await open_queue()
    job_id = await queue.enqueue("emails", b"x")
    await claim_one(queue, "emails", lease=3600.0)
    # The claim rides in this commit, so that a crash cannot lose it.
    await queue.enqueue("other", b"")
    if end == "close":
        await queue.close()

    again = await open_queue()

    told = {"close": {AttemptEnd.RELEASED, AttemptEnd.LOST}, "crash": {AttemptEnd.LOST}}
    [only] = await ends(again, job_id)
    assert only in told[end]
    assert (await claim_one(again, "emails")).attempts == 2


async def test_a_requeued_job_counts_from_one_again(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=KEEP)
    job_id = await queue.enqueue("emails", b"x")
    await queue.dead_letter(await claim_one(queue, "emails"), "bad address")
    await queue.requeue_dead_job(job_id)

    await queue.ack(await claim_one(queue, "emails"))

    last = (await queue.attempt_history(job_id))[-1]
    assert (last.number, last.end) == (1, AttemptEnd.ACKED)


async def test_the_latest_deliveries_are_kept(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=KEEP)
    count = ATTEMPTS_KEPT_MAX + 5
    job_id = await queue.enqueue("emails", b"x", EnqueueOptions(max_attempts=count + 1))
    for number in range(1, count + 1):
        await queue.nack(await claim_one(queue, "emails"), f"error {number}")

    history = await queue.attempt_history(job_id)

    expected = list(range(count - ATTEMPTS_KEPT_MAX + 1, count + 1))
    assert [attempt.number for attempt in history] == expected
    assert [attempt.error for attempt in history] == [f"error {n}" for n in expected]


async def test_long_errors_are_cut_between_characters(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=KEEP)
    # An odd byte first, so that a cut at an even number of bytes falls into a character.
    text = "x" + "ü" * ERROR_TEXT_BYTES_MAX
    job_id = await queue.enqueue("emails", b"x", EnqueueOptions(max_attempts=1))

    await queue.nack(await claim_one(queue, "emails"), text)

    last_error = (await queue.get_job(job_id)).last_error
    [attempt] = await queue.attempt_history(job_id)
    assert last_error is not None
    assert attempt.error is not None
    for error, bound in (
        (last_error, ERROR_TEXT_BYTES_MAX),
        (attempt.error, ATTEMPT_ERROR_BYTES_MAX),
    ):
        assert text.startswith(error[: bound // 2 - 10])
        assert bound // 2 <= len(error.encode()) <= bound


async def test_a_done_job_is_kept_for_as_long_as_was_asked(
    open_queue: OpenQueue, clock: MockClock
) -> None:
    queue = await open_queue(clock=clock, default_queue_config=KEEP)
    job_id = await queue.enqueue("emails", b"payload", EnqueueOptions(headers={"k": "v"}))
    await queue.ack(await claim_one(queue, "emails"))

    info = await queue.get_job(job_id)

    assert (info.state, info.headers, info.payload) == (JobState.DONE, {"k": "v"}, b"payload")
    assert info.ended_at == clock.now()
    stats = (await queue.stats()).queues["emails"]
    assert (stats.done_count, stats.pending_count, stats.claimed_count) == (1, 0, 0)
    assert [job.job_id for job in (await queue.list_jobs("emails", JobState.DONE)).jobs] == [job_id]
    assert await queue.claim("emails") is None

    clock.advance(timedelta(days=1, minutes=1).total_seconds())

    async def is_gone() -> bool:
        return (await queue.stats()).queues["emails"].done_count == 0

    await eventually(is_gone, "the end of the retention")
    with pytest.raises(JobNotFoundError):
        await queue.get_job(job_id)


async def test_a_kept_job_survives_reopening_and_is_not_delivered(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=KEEP)
    job_id = await queue.enqueue("emails", b"x")
    await queue.ack(await claim_one(queue, "emails"))
    await queue.close()

    again = await open_queue(default_queue_config=KEEP)

    assert await again.claim("emails") is None
    assert (await again.get_job(job_id)).state is JobState.DONE
    assert await ends(again, job_id) == [AttemptEnd.ACKED]


async def test_a_done_job_is_not_kept_unless_asked(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x")
    await queue.ack(await claim_one(queue, "emails"))

    with pytest.raises(JobNotFoundError, match="keep_done_jobs"):
        await queue.get_job(job_id)
    with pytest.raises(JobNotFoundError, match=job_id):
        await queue.attempt_history(job_id)


async def test_a_kept_job_frees_its_dedup_key(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=KEEP)
    keyed = EnqueueOptions(dedup_key="once", dedup_scope="settled")
    first = await queue.enqueue("emails", b"", keyed)
    await queue.ack(await claim_one(queue, "emails"))

    assert await queue.enqueue("emails", b"", keyed) != first
