"""Claims and how they end: ack, nack, dead-letter."""

import pytest

from taquba import EnqueueOptions, Queue, QueueConfig, RetryJitter
from taquba.exceptions import ClaimLostError, InvalidArgumentError
from tests.conftest import OpenQueue
from tests.waiting import claim_one, drain, eventually

QUICK_RETRIES = QueueConfig(
    max_attempts=3, retry_backoff_base=0.001, retry_backoff_max=0.001, retry_jitter=RetryJitter.NONE
)


async def test_a_claim_says_which_delivery_it_is(queue: Queue) -> None:
    await queue.enqueue("emails", b"x")

    [claim] = await queue.claim_batch("emails", 10, lease=12.5)

    assert (claim.attempts, claim.max_attempts, claim.priority) == (1, 3, 1000)
    assert claim.lease is not None
    assert claim.lease.total_seconds() == 12.5


async def test_a_claim_without_lease_has_the_lease_of_its_queue(open_queue: OpenQueue) -> None:
    queue = await open_queue(queue_configs={"slow": QueueConfig(lease_duration=77.0)})
    await queue.enqueue("slow", b"x")
    await queue.enqueue("other", b"x")

    [slow] = await queue.claim_batch("slow", 1)
    [other] = await queue.claim_batch("other", 1)

    assert slow.lease is not None
    assert slow.lease.total_seconds() == 77.0
    assert other.lease is not None
    assert other.lease.total_seconds() == 30.0


async def test_a_queue_that_nobody_used_has_nothing_to_claim(queue: Queue) -> None:
    assert await queue.claim_batch("unknown", 10, lease=1.0) == []


async def test_a_claim_takes_at_most_what_was_asked_for(queue: Queue) -> None:
    await queue.enqueue_batch("emails", [b"%d" % n for n in range(5)])

    first = await queue.claim_batch("emails", 3, lease=30.0)
    second = await queue.claim_batch("emails", 3, lease=30.0)
    third = await queue.claim_batch("emails", 3, lease=30.0)

    assert [claim.payload for claim in first] == [b"0", b"1", b"2"]
    assert [claim.payload for claim in second] == [b"3", b"4"]
    assert third == []


@pytest.mark.parametrize("count", [0, -1, 10_001])
async def test_a_claim_of_no_or_too_many_jobs_is_refused(queue: Queue, count: int) -> None:
    with pytest.raises(InvalidArgumentError):
        await queue.claim_batch("emails", count, lease=1.0)


async def test_an_acked_job_never_comes_back(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    await queue.enqueue("emails", b"x")
    await queue.ack(await claim_one(queue, "emails"))
    assert await queue.claim_batch("emails", 1, lease=1.0) == []
    await queue.close()

    again = await open_queue()

    assert await again.claim_batch("emails", 1, lease=1.0) == []


async def test_a_nacked_job_comes_back_as_the_next_attempt(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=QUICK_RETRIES)
    job_id = await queue.enqueue("emails", b"x", EnqueueOptions(headers={"k": "v"}))

    await queue.nack(await claim_one(queue, "emails"), "not now")

    claim = await claim_one(queue, "emails")
    assert (claim.job_id, claim.payload, claim.headers) == (job_id, b"x", {"k": "v"})
    assert claim.attempts == 2


async def test_a_nacked_job_waits_for_its_backoff(open_queue: OpenQueue) -> None:
    config = QueueConfig(retry_backoff_base=3600.0, retry_jitter=RetryJitter.NONE)
    queue = await open_queue(default_queue_config=config)
    await queue.enqueue("emails", b"x")

    await queue.nack(await claim_one(queue, "emails"), "not now")

    assert await queue.claim_batch("emails", 1, lease=1.0) == []
    stats = (await queue.stats()).queues["emails"]
    assert (stats.pending_count, stats.scheduled_count) == (0, 1)


@pytest.mark.parametrize("max_attempts", [1, 2, 3])
async def test_a_job_is_dead_lettered_once_its_attempts_are_used_up(
    open_queue: OpenQueue, max_attempts: int
) -> None:
    queue = await open_queue(default_queue_config=QUICK_RETRIES)
    await queue.enqueue("emails", b"x", EnqueueOptions(max_attempts=max_attempts))

    for attempts in range(1, max_attempts + 1):
        claim = await claim_one(queue, "emails")
        assert (claim.attempts, claim.max_attempts) == (attempts, max_attempts)
        await queue.nack(claim, "never works")

    stats = (await queue.stats()).queues["emails"]
    assert (stats.pending_count, stats.scheduled_count, stats.claimed_count) == (0, 0, 0)
    assert stats.dead_count == 1


async def test_a_dead_letter_is_final_at_once_and_after_reopening(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    await queue.enqueue("emails", b"x")

    await queue.dead_letter(await claim_one(queue, "emails"), "bad address")

    assert await queue.claim_batch("emails", 1, lease=1.0) == []
    await queue.close()
    again = await open_queue()
    assert await again.claim_batch("emails", 1, lease=1.0) == []
    assert (await again.stats()).queues["emails"].dead_count == 1


@pytest.mark.parametrize("first", ["ack", "nack", "dead_letter"])
@pytest.mark.parametrize("second", ["ack", "nack", "dead_letter"])
async def test_a_claim_is_settled_once(open_queue: OpenQueue, first: str, second: str) -> None:
    queue = await open_queue(default_queue_config=QUICK_RETRIES)
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")
    settle = {
        "ack": lambda: queue.ack(claim),
        "nack": lambda: queue.nack(claim, "why"),
        "dead_letter": lambda: queue.dead_letter(claim, "why"),
    }
    await settle[first]()

    with pytest.raises(ClaimLostError, match=claim.job_id):
        await settle[second]()

    left = 1 if first == "nack" else 0
    if left:
        await claim_one(queue, "emails")
    stats = (await queue.stats()).queues["emails"]
    assert stats.claimed_count == left
    assert stats.dead_count == (1 if first == "dead_letter" else 0)


async def test_a_job_that_was_claimed_at_close_is_delivered_again_and_counts_the_attempt(
    open_queue: OpenQueue,
) -> None:
    queue = await open_queue()
    job_id = await queue.enqueue("emails", b"x")
    await claim_one(queue, "emails")
    await queue.close()

    again = await open_queue()

    claim = await claim_one(again, "emails")
    assert (claim.job_id, claim.attempts) == (job_id, 2)


async def test_a_claim_of_the_previous_owner_cannot_settle(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    await queue.enqueue("emails", b"x")
    stale = await claim_one(queue, "emails")
    await queue.close()
    again = await open_queue()
    fresh = await claim_one(again, "emails")

    with pytest.raises(ClaimLostError):
        await again.ack(stale)

    await again.ack(fresh)
    assert await drain(again, "emails") == []


async def test_unsettled_deliveries_end_at_max_attempts_plus_one_across_reopens(
    open_queue: OpenQueue,
) -> None:
    queue = await open_queue()
    await queue.enqueue("emails", b"poison", EnqueueOptions(max_attempts=2))

    delivery_count = 0
    for _ in range(6):
        if await queue.claim_batch("emails", 1, lease=30.0):
            delivery_count += 1
        await queue.close()
        queue = await open_queue()

    assert 2 <= delivery_count <= 3
    stats = (await queue.stats()).queues["emails"]
    assert (stats.dead_count, stats.pending_count) == (1, 0)


async def test_a_long_error_text_does_not_stop_a_nack(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=QUICK_RETRIES)
    await queue.enqueue("emails", b"x")

    await queue.nack(await claim_one(queue, "emails"), "ü" * 100_000)

    async def is_back() -> bool:
        return bool(await queue.claim_batch("emails", 1, lease=30.0))

    await eventually(is_back, "the nacked job")
