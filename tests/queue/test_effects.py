"""Effects: what a settlement does besides, in the same commit or not at all."""

from collections.abc import Awaitable, Callable

import pytest

from taquba import (
    Claim,
    Effects,
    EnqueueOptions,
    MockClock,
    NewJob,
    Queue,
    QueueConfig,
    RetryJitter,
)
from taquba.exceptions import (
    ClaimLostError,
    InvalidKeyError,
    InvalidQueueNameError,
    PayloadTooLargeError,
    TaqubaError,
    TooManyEffectsError,
    ValueTooLargeError,
)
from tests.conftest import OpenQueue
from tests.waiting import claim_one, drain

EFFECTS_COUNT_MAX = 1_000
SETTLEMENTS = ["ack", "nack", "dead_letter"]
NO_BACKOFF = QueueConfig(retry_backoff_base=0, retry_jitter=RetryJitter.NONE)


def settling(queue: Queue, how: str) -> Callable[[Claim, Effects], Awaitable[None]]:
    """One of the three settlements, with effects."""
    calls: dict[str, Callable[[Claim, Effects], Awaitable[None]]] = {
        "ack": queue.ack_with,
        "nack": lambda claim, effects: queue.nack_with(claim, "why", effects),
        "dead_letter": lambda claim, effects: queue.dead_letter_with(claim, "why", effects),
    }
    return calls[how]


@pytest.mark.parametrize("how", SETTLEMENTS)
async def test_a_settlement_and_its_effects_are_one_commit(open_queue: OpenQueue, how: str) -> None:
    queue = await open_queue(default_queue_config=NO_BACKOFF)
    await queue.kv_put("old", b"there")
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")
    before = await queue.stats()

    effects = (
        Effects()
        .enqueue("invoices", b"one", EnqueueOptions(priority=5, headers={"k": "v"}))
        .enqueue_batch("invoices", [b"two", NewJob(b"three", EnqueueOptions(delay=3600))])
        .kv_put("sent", b"yes")
        .kv_delete("old")
    )
    await settling(queue, how)(claim, effects)

    after = await queue.stats()
    assert after.commit_count == before.commit_count + 1
    await queue.close()
    again = await open_queue()
    claims = await drain(again, "invoices")
    assert [(one.payload, one.priority, one.headers) for one in claims] == [
        (b"one", 5, {"k": "v"}),
        (b"two", 1000, {}),
    ]
    stats = (await again.stats()).queues
    assert stats["invoices"].scheduled_count == 1
    assert (await again.kv_get("sent"), await again.kv_get("old")) == (b"yes", None)
    assert stats["emails"].dead_count == (1 if how == "dead_letter" else 0)
    assert stats["emails"].pending_count == (1 if how == "nack" else 0)


@pytest.mark.parametrize("how", SETTLEMENTS)
async def test_effects_of_a_lost_claim_change_nothing(
    timed_queue: Queue, clock: MockClock, how: str
) -> None:
    await timed_queue.kv_put("old", b"there")
    await timed_queue.enqueue("emails", b"x")
    claim = await claim_one(timed_queue, "emails", lease=60.0)
    clock.advance(61)
    current = await claim_one(timed_queue, "emails", lease=3600.0)

    effects = Effects().enqueue("invoices", b"").kv_put("sent", b"yes").kv_delete("old")
    with pytest.raises(ClaimLostError):
        await settling(timed_queue, how)(claim, effects)

    assert await drain(timed_queue, "invoices") == []
    assert await timed_queue.kv_get("sent") is None
    assert await timed_queue.kv_get("old") == b"there"
    await timed_queue.ack(current)


@pytest.mark.parametrize("how", SETTLEMENTS)
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Effects().enqueue("ok", b"").enqueue("not a name", b""), InvalidQueueNameError),
        (lambda: Effects().kv_put("ok", b"").kv_put("", b""), InvalidKeyError),
        (lambda: Effects().kv_put("ok", b"").kv_delete("k" * 1025), InvalidKeyError),
        (
            lambda: Effects().kv_put("ok", b"").kv_put("k", bytes(256 * 1024 + 1)),
            ValueTooLargeError,
        ),
        (
            lambda: Effects().enqueue("ok", b"").enqueue("ok", bytes(64 * 1024 * 1024 + 1)),
            PayloadTooLargeError,
        ),
        (
            lambda: Effects().kv_put("ok", b"").enqueue_batch("ok", [b""] * EFFECTS_COUNT_MAX),
            TooManyEffectsError,
        ),
    ],
    ids=["queue name", "empty key", "long key", "large value", "large payload", "too many"],
)
async def test_effects_that_are_refused_leave_the_claim_and_everything_else_alone(
    queue: Queue, how: str, make: Callable[[], Effects], error: type[TaqubaError]
) -> None:
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")

    with pytest.raises(error):
        await settling(queue, how)(claim, make())

    assert await queue.kv_get("ok") is None
    assert await drain(queue, "ok") == []
    await queue.ack(claim)


async def test_the_most_effects_are_carried_out(queue: Queue) -> None:
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")
    effects = Effects().enqueue_batch("invoices", [b"%d" % n for n in range(EFFECTS_COUNT_MAX - 1)])

    await queue.ack_with(claim, effects.kv_put("k", b"v"))

    assert len(effects) == EFFECTS_COUNT_MAX
    assert len(await drain(queue, "invoices")) == EFFECTS_COUNT_MAX - 1
    assert await queue.kv_get("k") == b"v"


async def test_no_effects_are_a_plain_settlement(queue: Queue) -> None:
    await queue.enqueue("emails", b"x")

    await queue.ack_with(await claim_one(queue, "emails"), Effects())

    assert len(Effects()) == 0
    assert (await queue.stats()).queues["emails"].acked_total == 1


async def test_of_two_writes_to_one_key_the_later_one_counts(queue: Queue) -> None:
    await queue.enqueue_batch("emails", [b"0", b"1"])
    first, second = await queue.claim_batch("emails", 2)

    await queue.ack_with(first, Effects().kv_put("k", b"a").kv_put("k", b"b"))
    assert await queue.kv_get("k") == b"b"
    await queue.ack_with(second, Effects().kv_put("k", b"c").kv_delete("k"))

    assert await queue.kv_get("k") is None


async def test_a_follow_up_with_a_taken_dedup_key_adds_nothing(queue: Queue) -> None:
    keyed = EnqueueOptions(dedup_key="once")
    await queue.enqueue("invoices", b"first", keyed)
    await queue.enqueue("emails", b"x")

    effects = Effects().enqueue("invoices", b"second", keyed)
    await queue.ack_with(await claim_one(queue, "emails"), effects)

    assert [claim.payload for claim in await drain(queue, "invoices")] == [b"first"]


async def test_a_follow_up_may_go_to_the_same_queue_with_a_large_payload(
    open_queue: OpenQueue,
) -> None:
    payload = bytes(range(256)) * 2048
    queue = await open_queue()
    await queue.enqueue("emails", b"x")

    await queue.ack_with(
        await claim_one(queue, "emails"), Effects().enqueue("emails", payload).kv_put("k", b"v")
    )

    await queue.close()
    again = await open_queue()
    assert (await claim_one(again, "emails")).payload == payload
    assert await again.kv_get("k") == b"v"
