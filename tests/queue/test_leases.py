"""Leases: a claim that takes too long is handed on, and its late settlement changes nothing."""

import asyncio

import pytest

from taquba import EnqueueOptions, Queue
from taquba.exceptions import ClaimLostError
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
