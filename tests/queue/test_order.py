"""Which job comes next: priority first, then first in, first out, across restarts too."""

from taquba import (
    PRIORITY_HIGH,
    PRIORITY_LOW,
    PRIORITY_NORMAL,
    EnqueueOptions,
    Queue,
    QueueConfig,
    RetryJitter,
)
from tests.conftest import OpenQueue
from tests.waiting import drain, eventually


async def test_lower_priorities_come_first_and_equal_ones_in_the_order_of_arrival(
    queue: Queue,
) -> None:
    order = [PRIORITY_LOW, PRIORITY_HIGH, PRIORITY_NORMAL, 0, 2**32 - 1]
    for arrival in range(2):
        for priority in order:
            payload = f"{priority}/{arrival}".encode()
            await queue.enqueue("emails", payload, EnqueueOptions(priority=priority))

    delivered = [claim.payload.decode() for claim in await drain(queue, "emails")]

    expected = [f"{priority}/{arrival}" for priority in sorted(order) for arrival in range(2)]
    assert delivered == expected


async def test_a_job_without_priority_has_the_default_of_its_queue(open_queue: OpenQueue) -> None:
    queue = await open_queue(queue_configs={"urgent": QueueConfig(default_priority=5)})
    await queue.enqueue("urgent", b"default")
    await queue.enqueue("urgent", b"six", EnqueueOptions(priority=6))
    await queue.enqueue("urgent", b"four", EnqueueOptions(priority=4))

    claims = await drain(queue, "urgent")

    assert [claim.payload for claim in claims] == [b"four", b"default", b"six"]


async def test_arrival_order_holds_across_reopens(open_queue: OpenQueue) -> None:
    expected = []
    for opening in range(4):
        queue = await open_queue()
        for arrival in range(5):
            payload = f"{opening}/{arrival}".encode()
            await queue.enqueue("emails", payload)
            expected.append(payload)
        await queue.close()
    queue = await open_queue()

    delivered = [claim.payload for claim in await drain(queue, "emails")]

    assert delivered == expected


async def test_a_batch_and_single_jobs_share_one_order(queue: Queue) -> None:
    await queue.enqueue("emails", b"0")
    await queue.enqueue_batch("emails", [b"1", b"2", b"3"])
    await queue.enqueue("emails", b"4")

    assert [claim.payload for claim in await drain(queue, "emails")] == [
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
    ]


async def test_many_jobs_are_delivered_once_each_in_order_over_many_claims(queue: Queue) -> None:
    payloads = [b"%05d" % n for n in range(3_000)]
    await queue.enqueue_batch("emails", payloads)

    delivered = [claim.payload for claim in await drain(queue, "emails")]

    assert delivered == payloads


async def test_a_retried_job_keeps_its_place_in_the_queue(open_queue: OpenQueue) -> None:
    config = QueueConfig(
        retry_backoff_base=0.001, retry_backoff_max=0.001, retry_jitter=RetryJitter.NONE
    )
    queue = await open_queue(default_queue_config=config)
    await queue.enqueue_batch("emails", [b"first", b"second"])
    [claim] = await queue.claim_batch("emails", 1, lease=30.0)
    await queue.nack(claim, "again")

    async def both_are_due() -> bool:
        return (await queue.stats()).queues["emails"].pending_count == 2

    await eventually(both_are_due, "the retry to become due")
    assert [claim.payload for claim in await drain(queue, "emails")] == [b"first", b"second"]
