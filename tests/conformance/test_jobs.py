"""A job's life on every store: delivered, retried, given up, deduplicated, due when it is due."""

import pytest

from taquba import Claim, Effects, EnqueueOptions, NewJob, QueueConfig, RetryJitter
from taquba.exceptions import ClaimLostError, PayloadTooLargeError
from tests.conformance.backends import Place
from tests.waiting import claim_one, drain
from tests.worker.working import all_acked, working

QUICK_RETRIES = QueueConfig(
    max_attempts=2, retry_backoff_base=0.001, retry_backoff_max=0.001, retry_jitter=RetryJitter.NONE
)


async def test_a_job_is_delivered_as_it_was_enqueued_and_acked_once(place: Place) -> None:
    queue = await place.open()
    options = EnqueueOptions(headers={"größe": "☃"}, priority=7, max_attempts=9)
    job_id = await queue.enqueue("emails", bytes(range(256)), options)

    claim = await claim_one(queue, "emails")
    await queue.ack(claim)

    assert (claim.job_id, claim.payload, claim.headers) == (
        job_id,
        bytes(range(256)),
        {"größe": "☃"},
    )
    assert (claim.priority, claim.attempts, claim.max_attempts) == (7, 1, 9)
    with pytest.raises(ClaimLostError):
        await queue.ack(claim)
    assert await drain(queue, "emails") == []


async def test_a_failing_job_is_retried_and_then_given_up(place: Place) -> None:
    queue = await place.open(default_queue_config=QUICK_RETRIES)
    await queue.enqueue("emails", b"x")

    for attempts in (1, 2):
        claim = await claim_one(queue, "emails")
        assert claim.attempts == attempts
        await queue.nack(claim, "not today")

    stats = (await queue.stats()).queues["emails"]
    assert (stats.pending_count, stats.scheduled_count, stats.dead_count) == (0, 0, 1)


async def test_a_job_is_given_up_at_once_when_its_holder_says_so(place: Place) -> None:
    queue = await place.open()
    await queue.enqueue("emails", b"x")

    await queue.dead_letter(await claim_one(queue, "emails"), "bad address")

    assert (await queue.stats()).queues["emails"].dead_count == 1
    assert await drain(queue, "emails") == []


async def test_a_scheduled_job_waits_for_its_time(place: Place) -> None:
    queue = await place.open()
    await queue.enqueue("emails", b"tomorrow", EnqueueOptions(delay=86_400))
    soon = await queue.enqueue("emails", b"soon", EnqueueOptions(delay=0.05))

    claim = await claim_one(queue, "emails")

    assert claim.job_id == soon
    assert await drain(queue, "emails") == []


@pytest.mark.parametrize("scope", ["waiting", "settled"])
async def test_a_dedup_key_admits_one_job(place: Place, scope: str) -> None:
    queue = await place.open()
    keyed = EnqueueOptions(dedup_key="invoice-7", dedup_scope=scope)  # type: ignore[arg-type]
    first = await queue.enqueue("emails", b"first", keyed)

    same = await queue.enqueue("emails", b"second", keyed)
    claim = await claim_one(queue, "emails")
    while_claimed = await queue.enqueue("emails", b"third", keyed)
    await queue.ack(claim)

    assert same == first == claim.job_id
    assert (while_claimed == first) is (scope == "settled")


async def test_a_batch_with_one_bad_job_leaves_nothing(place: Place) -> None:
    queue = await place.open()
    too_large = NewJob(bytes(64 * 1024 * 1024 + 1))

    with pytest.raises(PayloadTooLargeError):
        await queue.enqueue_batch("emails", [b"a", too_large, b"c"])

    assert await drain(queue, "emails") == []


async def test_a_batch_is_one_commit(place: Place) -> None:
    queue = await place.open()
    before = (await queue.stats()).commit_count

    ids = await queue.enqueue_batch("emails", [b"%d" % n for n in range(500)])

    assert (await queue.stats()).commit_count == before + 1
    assert [claim.job_id for claim in await drain(queue, "emails")] == ids


async def test_a_worker_does_the_jobs_of_a_queue(place: Place) -> None:
    async def send(job: Claim) -> Effects | None:
        if job.payload == b"0":
            return Effects().enqueue("emails", b"follow-up")
        return None

    queue = await place.open()
    await queue.enqueue_batch("emails", [b"%d" % n for n in range(50)])
    async with working(queue, send):
        await all_acked(queue, 51)
    await queue.close()

    again = await place.open()
    assert await drain(again, "emails") == []


async def test_a_cancelled_job_is_gone_after_reopening(place: Place) -> None:
    queue = await place.open()
    pending, claimed = await queue.enqueue_batch("emails", [b"x", b"y"])
    await queue.cancel(pending)
    await claim_one(queue, "emails")
    await queue.cancel(claimed)
    await queue.close()

    again = await place.open()
    assert await drain(again, "emails") == []
    assert (await again.stats()).queues["emails"].cancelled_total == 2


async def test_a_dead_letter_is_revived_after_reopening(place: Place) -> None:
    queue = await place.open()
    job_id = await queue.enqueue("emails", b"x")
    await queue.dead_letter(await claim_one(queue, "emails"), "bad address")
    await queue.close()
    queue = await place.open()
    [dead] = (await queue.dead_jobs("emails")).jobs
    assert (dead.job_id, dead.last_error) == (job_id, "bad address")

    await queue.requeue_dead_job(job_id)
    await queue.close()

    claim = await claim_one(await place.open(), "emails")
    assert (claim.job_id, claim.attempts) == (job_id, 1)
