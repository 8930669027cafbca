"""Counts: each job is in exactly one place, and the totals only grow."""

import dataclasses

import pytest

from taquba import Effects, EnqueueOptions, NewJob, Queue, QueueConfig, RetryJitter
from taquba.exceptions import ClosedError
from tests.conftest import OpenQueue
from tests.waiting import claim_one


async def fill(queue: Queue) -> None:
    """Two pending, one scheduled, one claimed, one acked, one dead."""
    await queue.enqueue_batch("emails", [b"%d" % n for n in range(5)])
    await queue.enqueue_batch("emails", [NewJob(b"later", EnqueueOptions(delay=3600))])
    acked, dead, _ = await queue.claim_batch("emails", 3, lease=3600.0)
    await queue.ack(acked)
    await queue.dead_letter(dead, "no")


async def test_every_job_is_counted_in_one_place(queue: Queue) -> None:
    await fill(queue)

    stats = (await queue.stats()).queues["emails"]

    assert stats.pending_count == 2
    assert stats.scheduled_count == 1
    assert stats.claimed_count == 1
    assert stats.dead_count == 1
    assert (stats.enqueued_total, stats.acked_total, stats.dead_total) == (6, 1, 1)


async def test_counts_are_right_after_reopening(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    await fill(queue)
    await queue.close()

    again = await open_queue()

    stats = (await again.stats()).queues["emails"]
    # The claim ended with its process, so its job waits again.
    assert (stats.pending_count, stats.claimed_count) == (3, 0)
    assert (stats.scheduled_count, stats.dead_count) == (1, 1)
    assert (stats.enqueued_total, stats.acked_total, stats.dead_total) == (6, 1, 1)


async def test_the_cost_of_work_is_counted(queue: Queue) -> None:
    before = await queue.stats()

    await queue.enqueue("emails", b"x" * 1000)

    after = await queue.stats()
    assert after.commit_count == before.commit_count + 1
    assert after.row_count > before.row_count
    assert after.put_count > before.put_count
    assert after.put_bytes >= before.put_bytes + 1000
    assert after.quarantined_count == 0


async def test_stats_cannot_be_changed(queue: Queue) -> None:
    stats = await queue.stats()

    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        stats.put_count = 0  # type: ignore[misc]


async def test_a_closed_queue_says_so_and_closing_again_is_fine(queue: Queue) -> None:
    await queue.enqueue("emails", b"x")
    [claim] = await queue.claim_batch("emails", 1, lease=30.0)
    await queue.close()
    await queue.close()

    for call in (
        lambda: queue.enqueue("emails", b""),
        lambda: queue.enqueue_batch("emails", [b""]),
        lambda: queue.claim_batch("emails", 1, lease=1.0),
        lambda: queue.ack(claim),
        lambda: queue.nack(claim, ""),
        lambda: queue.stats(),
        lambda: queue.claim("emails"),
        lambda: queue.claim_with_wait("emails", timeout=1.0),
        lambda: queue.renew(claim, 1.0),
        lambda: queue.ensure_at_least(claim, 1.0),
        lambda: queue.ack_with(claim, Effects()),
        lambda: queue.nack_with(claim, "", Effects()),
        lambda: queue.dead_letter_with(claim, "", Effects()),
        lambda: queue.cancel(claim.job_id),
        lambda: queue.wake_scheduled(claim.job_id),
        lambda: queue.requeue_dead_job(claim.job_id),
        lambda: queue.purge_dead("emails"),
        lambda: queue.list_queues(),
        lambda: queue.list_jobs("emails"),
        lambda: queue.dead_jobs("emails"),
        lambda: queue.get_job(claim.job_id),
        lambda: queue.attempt_history(claim.job_id),
        lambda: queue.owner(),
        lambda: queue.kv_get("k"),
        lambda: queue.kv_scan(),
        lambda: queue.kv_put("k", b""),
        lambda: queue.kv_delete("k"),
        lambda: queue.kv_compare_put("k", None, b""),
        lambda: queue.kv_compare_delete("k", b""),
    ):
        with pytest.raises(ClosedError, match="open it again"):
            await call()


async def test_totals_count_each_way_that_a_job_can_take(open_queue: OpenQueue) -> None:
    config = QueueConfig(keep_done_jobs=3600.0, retry_backoff_base=0, retry_jitter=RetryJitter.NONE)
    queue = await open_queue(default_queue_config=config)
    ids = await queue.enqueue_batch("emails", [b"x"] * 5)
    await queue.cancel(ids[4])
    await queue.ack(await claim_one(queue, "emails"))
    await queue.nack(await claim_one(queue, "emails"), "again")
    await queue.ack(await claim_one(queue, "emails"))
    await queue.dead_letter(await claim_one(queue, "emails"), "no")
    claim = await claim_one(queue, "emails")
    await queue.cancel(claim.job_id)
    await queue.nack(claim, "stopped")
    await queue.close()

    again = await open_queue(default_queue_config=config)

    stats = (await again.stats()).queues["emails"]
    assert (stats.pending_count, stats.scheduled_count, stats.claimed_count) == (0, 0, 0)
    assert (stats.done_count, stats.dead_count) == (2, 1)
    assert (stats.enqueued_total, stats.acked_total, stats.dead_total) == (5, 2, 1)
    assert stats.cancelled_total == 2
    assert stats.retried_total >= 1
