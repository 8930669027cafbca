"""Many callers share few writes, on every store."""

import asyncio

from tests.conformance.backends import Place
from tests.waiting import drain

CALLER_COUNT = 200


async def test_two_hundred_callers_share_their_commits(place: Place) -> None:
    queue = await place.open()
    # The first commit of a queue is not what is counted.
    await queue.enqueue("emails", b"first")
    before = await queue.stats()

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(queue.enqueue("emails", b"x")) for _ in range(CALLER_COUNT)]

    after = await queue.stats()
    assert len({call.result() for call in calls}) == CALLER_COUNT
    assert after.commit_count - before.commit_count <= CALLER_COUNT / 10
    assert after.queues["emails"].pending_count == CALLER_COUNT + 1


async def test_acks_of_two_hundred_callers_are_all_durable(place: Place) -> None:
    queue = await place.open()
    await queue.enqueue_batch("emails", [b"%d" % n for n in range(CALLER_COUNT)])
    claims = await queue.claim_batch("emails", CALLER_COUNT, lease=600.0)

    async with asyncio.TaskGroup() as group:
        for claim in claims:
            group.create_task(queue.ack(claim))
    await queue.close()

    again = await place.open()
    assert await drain(again, "emails") == []
    assert (await again.stats()).queues["emails"].acked_total == CALLER_COUNT
