"""What is measured: that each number counts what it says, and nothing else."""

import math

import pytest

from taquba import EnqueueOptions, Histogram, MockClock, Queue, QueueReader
from taquba.exceptions import (
    ArgumentTypeError,
    InvalidArgumentError,
    InvalidQueueNameError,
)
from tests.conftest import OpenQueue, Store
from tests.waiting import claim_one


async def test_each_delivery_is_counted_with_its_wait_and_its_work(
    timed_queue: Queue, clock: MockClock
) -> None:
    await timed_queue.enqueue_batch("emails", [b"x"] * 3)
    clock.advance(40)
    claims = await timed_queue.claim_batch("emails", 2, lease=60)
    clock.advance(3)
    await timed_queue.ack(claims[0])

    measured = (await timed_queue.metrics()).queues["emails"]

    assert measured.claimed_total == 2
    assert (measured.wait_seconds.count, measured.wait_seconds.sum) == (2, 80.0)
    assert measured.wait_seconds.quantile(0.5) == 60.0
    assert (measured.run_seconds.count, measured.run_seconds.sum) == (1, 3.0)
    assert measured.run_seconds.quantile(1) == 5.0


async def test_a_delayed_job_waits_from_its_time_on(timed_queue: Queue, clock: MockClock) -> None:
    await timed_queue.enqueue("emails", b"x", EnqueueOptions(delay=100))
    clock.advance(100.5)
    (claim,) = await timed_queue.claim_batch("emails", 1)
    assert claim.attempts == 1

    wait = (await timed_queue.metrics()).queues["emails"].wait_seconds

    assert wait.count == 1
    assert wait.sum == pytest.approx(0.5, abs=0.002)


async def test_a_lease_that_ran_out_is_counted(timed_queue: Queue, clock: MockClock) -> None:
    await timed_queue.enqueue("emails", b"x")
    await timed_queue.claim_batch("emails", 1, lease=5)
    clock.advance(6)
    again = await claim_one(timed_queue, "emails")
    assert again.attempts == 2

    measured = (await timed_queue.metrics()).queues["emails"]

    assert (measured.claimed_total, measured.expired_total) == (2, 1)
    assert measured.run_seconds.count == 1


async def test_a_requeued_job_says_nothing_of_how_long_it_waited(
    timed_queue: Queue, clock: MockClock
) -> None:
    job_id = await timed_queue.enqueue("emails", b"x")
    (claim,) = await timed_queue.claim_batch("emails", 1)
    await timed_queue.dead_letter(claim, "no")
    clock.advance(10_000)
    await timed_queue.requeue_dead_job(job_id)
    await timed_queue.claim_batch("emails", 1)

    measured = (await timed_queue.metrics()).queues["emails"]

    assert measured.claimed_total == 2
    assert measured.wait_seconds.count == 1


async def test_commits_and_requests_are_measured(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    before = await queue.metrics()
    for _ in range(5):
        await queue.enqueue("emails", b"x" * 1000)
    after = await queue.metrics()

    commits = after.commit_seconds.count - before.commit_seconds.count
    assert commits == after.stats.commit_count - before.stats.commit_count >= 1
    assert after.commit_rows.sum - before.commit_rows.sum >= 5
    assert after.commit_bytes.sum - before.commit_bytes.sum >= 5000
    assert after.get_seconds.count >= 1
    assert after.stats.queues == (await queue.stats()).queues
    assert after.body_bytes >= 5000
    assert after.upload_count == 0


async def test_what_the_storage_engine_counts_is_there(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    await queue.enqueue("emails", b"x")

    storage = (await queue.metrics()).storage

    assert len({(metric.name, metric.labels) for metric in storage}) == len(storage)
    assert {metric.kind for metric in storage} == {"counter", "gauge", "histogram"}
    for metric in storage:
        assert (metric.histogram is None) == (metric.kind != "histogram")
    assert any(metric.value > 0 for metric in storage)


async def test_the_job_that_came_first_is_told_whatever_its_priority(
    open_queue: OpenQueue, store: Store
) -> None:
    queue = await open_queue()
    low = await queue.enqueue("emails", b"x", EnqueueOptions(priority=9))
    high = await queue.enqueue("emails", b"x", EnqueueOptions(priority=1))
    await queue.enqueue("emails", b"x", EnqueueOptions(delay=3600))

    async with QueueReader.open(store) as reader:
        for looker in (queue, reader):
            oldest = await looker.oldest_pending("emails")
            assert oldest is not None
            assert (oldest.job_id, oldest.payload) == (low, None)
        (claim,) = await queue.claim_batch("emails", 1)
        assert claim.job_id == high
        await queue.ack(claim)
        (claim,) = await queue.claim_batch("emails", 1)
        await queue.ack(claim)
        for looker in (queue, reader):
            assert await looker.oldest_pending("emails") is None
            assert await looker.oldest_pending("nobody") is None
            with pytest.raises(InvalidQueueNameError):
                await looker.oldest_pending("")


def test_a_quantile_is_the_end_of_the_range_that_holds_it() -> None:
    histogram = Histogram((1.0, 2.0), (3, 0, 1), 5.0)

    assert [histogram.quantile(q) for q in (0, 0.5, 0.75, 0.76, 1)] == [
        1.0,
        1.0,
        1.0,
        math.inf,
        math.inf,
    ]
    assert histogram.count == 4
    assert Histogram((1.0,), (0, 0), 0.0).quantile(0.5) is None


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_its_bounds_is_refused(q: float) -> None:
    with pytest.raises(InvalidArgumentError, match="q"):
        Histogram((1.0,), (0, 0), 0.0).quantile(q)


def test_a_quantile_that_is_no_number_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="q"):
        Histogram((1.0,), (0, 0), 0.0).quantile("0.5")  # type: ignore[arg-type]
