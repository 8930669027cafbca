"""Dedup keys: at most one live job per key and queue."""

import asyncio

import pytest

from taquba import EnqueueOptions, NewJob, Queue
from tests.conftest import OpenQueue
from tests.waiting import claim_one, drain

KEYED = EnqueueOptions(dedup_key="invoice-7")
KEYED_UNTIL_SETTLED = EnqueueOptions(dedup_key="invoice-7", dedup_scope="settled")


async def test_a_second_job_with_a_taken_key_is_the_first_one(queue: Queue) -> None:
    first = await queue.enqueue("emails", b"first", KEYED)
    second = await queue.enqueue("emails", b"second", KEYED)

    assert second == first
    assert [claim.payload for claim in await drain(queue, "emails")] == [b"first"]


async def test_a_key_is_taken_in_one_queue_only(queue: Queue) -> None:
    first = await queue.enqueue("a", b"", KEYED)
    second = await queue.enqueue("b", b"", KEYED)

    assert first != second


async def test_a_key_is_free_once_its_job_is_claimed(queue: Queue) -> None:
    first = await queue.enqueue("emails", b"first", KEYED)
    await claim_one(queue, "emails")

    second = await queue.enqueue("emails", b"second", KEYED)

    assert second != first


async def test_a_key_held_until_settled_outlives_the_claim(queue: Queue) -> None:
    first = await queue.enqueue("emails", b"first", KEYED_UNTIL_SETTLED)
    claim = await claim_one(queue, "emails")

    while_claimed = await queue.enqueue("emails", b"second", KEYED_UNTIL_SETTLED)
    await queue.ack(claim)
    after_ack = await queue.enqueue("emails", b"third", KEYED_UNTIL_SETTLED)

    assert while_claimed == first
    assert after_ack != first


async def test_a_key_held_until_settled_is_held_while_the_job_waits_for_a_retry(
    queue: Queue,
) -> None:
    first = await queue.enqueue("emails", b"first", KEYED_UNTIL_SETTLED)
    await queue.nack(await claim_one(queue, "emails"), "again")

    second = await queue.enqueue("emails", b"second", KEYED_UNTIL_SETTLED)

    assert second == first


async def test_a_dead_letter_frees_the_key(queue: Queue) -> None:
    first = await queue.enqueue("emails", b"first", KEYED_UNTIL_SETTLED)
    await queue.dead_letter(await claim_one(queue, "emails"), "no")

    assert await queue.enqueue("emails", b"second", KEYED_UNTIL_SETTLED) != first


async def test_a_retry_does_not_take_back_a_key_that_another_job_holds(queue: Queue) -> None:
    first = await queue.enqueue("emails", b"first", KEYED)
    claim = await claim_one(queue, "emails")
    second = await queue.enqueue("emails", b"second", KEYED)
    await queue.nack(claim, "again")

    third = await queue.enqueue("emails", b"third", KEYED)

    assert first != second
    assert third == second


async def test_a_scheduled_job_holds_its_key(queue: Queue) -> None:
    options = EnqueueOptions(dedup_key="invoice-7", delay=3600)
    first = await queue.enqueue("emails", b"first", options)

    assert await queue.enqueue("emails", b"second", KEYED) == first


@pytest.mark.parametrize("options", [KEYED, KEYED_UNTIL_SETTLED], ids=["waiting", "settled"])
async def test_a_key_is_still_taken_after_reopening(
    open_queue: OpenQueue, options: EnqueueOptions
) -> None:
    queue = await open_queue()
    first = await queue.enqueue("emails", b"first", options)
    await queue.close()

    again = await open_queue()

    assert await again.enqueue("emails", b"second", options) == first
    assert [claim.payload for claim in await drain(again, "emails")] == [b"first"]


async def test_equal_keys_in_one_batch_give_one_job(queue: Queue) -> None:
    ids = await queue.enqueue_batch("emails", [NewJob(b"0", KEYED), b"1", NewJob(b"2", KEYED)])

    assert ids[0] == ids[2] != ids[1]
    assert [claim.payload for claim in await drain(queue, "emails")] == [b"0", b"1"]


async def test_concurrent_jobs_with_one_key_are_one_job(queue: Queue) -> None:
    ids = await asyncio.gather(*(queue.enqueue("emails", b"%d" % n, KEYED) for n in range(50)))

    assert len(set(ids)) == 1
    assert len(await drain(queue, "emails")) == 1
