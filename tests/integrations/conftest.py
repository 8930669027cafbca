"""Queues that have seen something."""

import pytest

from taquba import EnqueueOptions, Queue


@pytest.fixture
async def busy_queue(queue: Queue) -> Queue:
    """Five jobs were enqueued: one acked, one waits for a retry, one is dead, two are pending."""
    await queue.enqueue_batch("emails", [b"x"] * 4)
    await queue.enqueue("emails", b"x", EnqueueOptions(priority=9_000))
    acked, nacked, dead = await queue.claim_batch("emails", 3)
    await queue.ack(acked)
    await queue.nack(nacked, "not now", retry_after=3600)
    await queue.dead_letter(dead, "never")
    return queue
