"""Leases: a claim that takes too long is handed on, and its late settlement changes nothing."""

import asyncio
from datetime import timedelta

import pytest

from taquba import EnqueueOptions, MockClock, Queue
from taquba.exceptions import ClaimLostError, InvalidArgumentError
from tests.waiting import claim_one, eventually

SHORT = 0.05


async def test_an_expired_claim_is_delivered_again_as_the_next_attempt(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x")
    first = await claim_one(queue, "emails", lease=SHORT)

    second = await claim_one(queue, "emails")

    assert (first.attempts, second.attempts) == (1, 2)
    assert second.job_id == job_id


@pytest.mark.parametrize("verdict", ["ack", "nack", "dead_letter"])
async def test_a_late_settlement_is_refused_and_changes_nothing(queue: Queue, verdict: str) -> None:
    await queue.enqueue("emails", b"x")
    late = await claim_one(queue, "emails", lease=SHORT)
    current = await claim_one(queue, "emails", lease=3600.0)

    with pytest.raises(ClaimLostError, match=late.job_id) as caught:
        if verdict == "ack":
            await queue.ack(late)
        elif verdict == "nack":
            await queue.nack(late, "why")
        else:
            await queue.dead_letter(late, "why")

    assert "lease" in str(caught.value)
    stats = (await queue.stats()).queues["emails"]
    assert (stats.claimed_count, stats.pending_count, stats.dead_count) == (1, 0, 0)
    await queue.ack(current)
    stats = (await queue.stats()).queues["emails"]
    assert (stats.claimed_count, stats.acked_total) == (0, 1)


async def test_a_late_settlement_is_refused_even_if_nobody_took_the_job(queue: Queue) -> None:
    await queue.enqueue("emails", b"x")
    late = await claim_one(queue, "emails", lease=SHORT)

    async def is_waiting_again() -> bool:
        stats = (await queue.stats()).queues["emails"]
        return stats.claimed_count == 0

    await eventually(is_waiting_again, "the lease to expire")
    with pytest.raises(ClaimLostError):
        await queue.ack(late)
    assert (await claim_one(queue, "emails")).attempts == 2


async def test_a_claim_within_its_lease_is_not_given_to_anyone_else(queue: Queue) -> None:
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails", lease=3600.0)

    for _ in range(20):
        assert await queue.claim_batch("emails", 1, lease=1.0) == []
        await asyncio.sleep(0.005)

    await queue.ack(claim)


async def test_a_job_whose_leases_keep_expiring_is_dead_lettered(queue: Queue) -> None:
    await queue.enqueue("emails", b"poison", EnqueueOptions(max_attempts=2))
    attempts = [(await claim_one(queue, "emails", lease=SHORT)).attempts for _ in range(2)]

    async def is_dead() -> bool:
        return (await queue.stats()).queues["emails"].dead_count == 1

    await eventually(is_dead, "the dead letter")
    assert attempts == [1, 2]
    assert await queue.claim_batch("emails", 1, lease=1.0) == []


async def is_taken(queue: Queue) -> bool:
    """Whether the only job is still its holder's."""
    return (await queue.claim("emails")) is None


async def test_a_renewed_lease_counts_from_now(timed_queue: Queue, clock: MockClock) -> None:
    await timed_queue.enqueue("emails", b"x")
    claim = await claim_one(timed_queue, "emails", lease=60.0)
    for _ in range(5):
        clock.advance(50)
        await timed_queue.renew(claim, 60.0)

    assert await is_taken(timed_queue)
    clock.advance(61)
    assert (await claim_one(timed_queue, "emails")).attempts == 2


async def test_a_lease_renewed_without_a_span_is_as_long_as_before(
    timed_queue: Queue, clock: MockClock
) -> None:
    await timed_queue.enqueue("emails", b"x")
    claim = await claim_one(timed_queue, "emails", lease=60.0)
    clock.advance(50)

    await timed_queue.renew(claim)

    clock.advance(50)
    assert await is_taken(timed_queue)
    clock.advance(11)
    assert (await claim_one(timed_queue, "emails")).attempts == 2


async def test_a_lease_can_be_made_shorter(timed_queue: Queue, clock: MockClock) -> None:
    await timed_queue.enqueue("emails", b"x")
    claim = await claim_one(timed_queue, "emails", lease=3600.0)

    await timed_queue.renew(claim, 1.0)
    clock.advance(2)

    assert (await claim_one(timed_queue, "emails")).attempts == 2


async def test_ensuring_a_lease_never_makes_it_shorter(
    timed_queue: Queue, clock: MockClock
) -> None:
    await timed_queue.enqueue("emails", b"x")
    claim = await claim_one(timed_queue, "emails", lease=3600.0)

    await timed_queue.ensure_at_least(claim, 1.0)
    clock.advance(3000)

    assert await is_taken(timed_queue)
    await timed_queue.ensure_at_least(claim, timedelta(hours=2))
    clock.advance(7000)
    assert await is_taken(timed_queue)
    await timed_queue.ack(claim)


@pytest.mark.parametrize("call", ["renew", "ensure_at_least"])
async def test_a_lost_lease_cannot_be_prolonged(
    timed_queue: Queue, clock: MockClock, call: str
) -> None:
    await timed_queue.enqueue("emails", b"x")
    claim = await claim_one(timed_queue, "emails", lease=60.0)
    clock.advance(61)

    with pytest.raises(ClaimLostError, match=claim.job_id):
        await getattr(timed_queue, call)(claim, 60.0)


@pytest.mark.parametrize("call", ["renew", "ensure_at_least"])
async def test_a_settled_claim_cannot_be_prolonged(queue: Queue, call: str) -> None:
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")
    await queue.ack(claim)

    with pytest.raises(ClaimLostError, match=claim.job_id):
        await getattr(queue, call)(claim, 60.0)


async def test_prolonging_a_lease_writes_nothing(queue: Queue) -> None:
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")
    # The claim itself may still ride in this commit.
    await queue.enqueue("other", b"")
    before = await queue.stats()

    for _ in range(100):
        await queue.renew(claim, 60.0)
        await queue.ensure_at_least(claim, 120.0)

    assert (await queue.stats()).commit_count == before.commit_count


@pytest.mark.parametrize("call", ["renew", "ensure_at_least"])
@pytest.mark.parametrize("lease", [0, -1, float("nan"), float("inf"), timedelta.max])
async def test_a_new_lease_outside_its_bounds_is_refused_and_the_old_one_stays(
    queue: Queue, call: str, lease: float | timedelta
) -> None:
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails", lease=3600.0)

    with pytest.raises(InvalidArgumentError, match="lease"):
        await getattr(queue, call)(claim, lease)

    await queue.ack(claim)
