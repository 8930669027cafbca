"""The clock of `OpenOptions`: every time comes from it, and a test moves days in microseconds."""

from datetime import UTC, datetime, timedelta

import pytest

from taquba import (
    EnqueueOptions,
    MockClock,
    OpenOptions,
    Queue,
    QueueConfig,
    RetryJitter,
    SystemClock,
)
from taquba.exceptions import InvalidArgumentError
from tests.conftest import OpenQueue
from tests.waiting import claim_one, eventually

DAY = 86_400.0


def test_a_mock_clock_stands_still_until_it_is_moved() -> None:
    clock = MockClock()
    start = clock.now()

    assert start == datetime(2030, 1, 1, tzinfo=UTC)
    assert clock.now() == start
    clock.advance(1.5)
    clock.advance(timedelta(days=1))
    assert clock.now() == start + timedelta(days=1, seconds=1.5)


def test_a_mock_clock_starts_where_it_is_told() -> None:
    start = datetime(2031, 5, 6, 7, 8, 9, 250_000, tzinfo=UTC)

    assert MockClock(start).now() == start
    assert MockClock(now=start).now() == start


@pytest.mark.parametrize("seconds", [-1, float("nan"), timedelta.max])
def test_a_clock_does_not_go_back_or_out_of_bounds(seconds: float | timedelta) -> None:
    with pytest.raises(InvalidArgumentError):
        MockClock().advance(seconds)


@pytest.mark.parametrize("now", [datetime(2030, 1, 1), "2030-01-01", 0])  # noqa: DTZ001
def test_a_clock_needs_an_aware_instant(now: object) -> None:
    with pytest.raises((InvalidArgumentError, TypeError)):
        MockClock(now)  # type: ignore[arg-type]


@pytest.mark.parametrize("clock", [None, 0, datetime.now])
def test_what_is_no_clock_is_refused(clock: object) -> None:
    with pytest.raises(TypeError, match="clock"):
        OpenOptions(clock=clock)  # type: ignore[arg-type]


async def test_the_clock_of_the_machine_is_the_default(open_queue: OpenQueue) -> None:
    assert isinstance(OpenOptions().clock, SystemClock)
    before = datetime.now(UTC)
    queue = await open_queue(clock=SystemClock())

    job_id = await queue.enqueue("emails", b"x")

    # Stored instants have milliseconds, and a clock that never goes back may be ahead by one.
    enqueued_at = (await queue.get_job(job_id)).enqueued_at
    grain = timedelta(milliseconds=2)
    assert before - grain <= enqueued_at <= datetime.now(UTC) + grain


async def test_jobs_of_a_year_become_due_in_order(timed_queue: Queue, clock: MockClock) -> None:
    for day in (300, 100, 200):
        await timed_queue.enqueue("emails", b"%d" % day, EnqueueOptions(delay=day * DAY))

    delivered = []
    for _ in range(3):
        assert await timed_queue.claim("emails") is None
        clock.advance(100 * DAY)
        claim = await claim_one(timed_queue, "emails", lease=3600.0)
        delivered.append(claim.payload)
        await timed_queue.ack(claim)

    assert delivered == [b"100", b"200", b"300"]


async def test_a_lease_of_a_month_expires_when_it_is_over(
    timed_queue: Queue, clock: MockClock
) -> None:
    await timed_queue.enqueue("emails", b"x")
    await claim_one(timed_queue, "emails", lease=30 * DAY)
    clock.advance(30 * DAY - 1)
    assert await timed_queue.claim("emails") is None

    clock.advance(2)

    assert (await claim_one(timed_queue, "emails")).attempts == 2


async def test_the_backoff_doubles_up_to_its_bound(open_queue: OpenQueue, clock: MockClock) -> None:
    config = QueueConfig(
        max_attempts=10,
        retry_backoff_base=1.0,
        retry_backoff_max=60.0,
        retry_jitter=RetryJitter.NONE,
    )
    queue = await open_queue(clock=clock, default_queue_config=config)
    job_id = await queue.enqueue("emails", b"x")

    waits = []
    for _ in range(9):
        await queue.nack(await claim_one(queue, "emails"), "again")
        run_at = (await queue.get_job(job_id)).run_at
        assert run_at is not None
        waits.append((run_at - clock.now()).total_seconds())
        clock.advance(waits[-1])

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_full_jitter_spreads_retries_below_the_backoff(
    open_queue: OpenQueue, clock: MockClock
) -> None:
    config = QueueConfig(retry_backoff_base=1000.0, retry_backoff_max=1000.0)
    queue = await open_queue(clock=clock, default_queue_config=config)
    ids = await queue.enqueue_batch("emails", [b"x"] * 200)
    for claim in await queue.claim_batch("emails", 200):
        await queue.nack(claim, "again")

    waits = []
    for job_id in ids:
        run_at = (await queue.get_job(job_id)).run_at
        waits.append(0.0 if run_at is None else (run_at - clock.now()).total_seconds())

    assert all(0 <= wait <= 1000 for wait in waits)
    # 200 uniform numbers: the odds that one of these tenths is empty are below one in a billion.
    assert {int(wait // 100) for wait in waits} >= set(range(10))


async def test_two_queues_may_share_one_clock(clock: MockClock) -> None:
    options = OpenOptions(clock=clock)
    async with (
        Queue.open("memory://", options=options) as first,
        Queue.open("memory://", options=options) as second,
    ):
        for queue in (first, second):
            await queue.enqueue("emails", b"x", EnqueueOptions(delay=DAY))

        clock.advance(DAY)

        for queue in (first, second):
            assert (await claim_one(queue, "emails")).payload == b"x"


async def test_what_fell_due_while_the_store_was_closed_is_due_at_the_next_open(
    open_queue: OpenQueue, clock: MockClock
) -> None:
    queue = await open_queue(clock=clock)
    await queue.enqueue("emails", b"x", EnqueueOptions(delay=DAY))
    await queue.close()
    clock.advance(2 * DAY)

    again = await open_queue(clock=clock)

    async def is_due() -> bool:
        return (await again.stats()).queues["emails"].pending_count == 1

    await eventually(is_due, "the overdue job")
