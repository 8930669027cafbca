"""A claim is settled by the store that it was claimed from, and by no other one."""

from collections.abc import Awaitable, Callable

import pytest

from taquba import Claim, Effects, Queue
from taquba.exceptions import ClaimLostError, InvalidArgumentError
from taquba.store import MemoryStore
from tests.conftest import OpenQueue
from tests.waiting import claim_one

CALLS: dict[str, Callable[[Queue, Claim], Awaitable[None]]] = {
    "ack": lambda queue, claim: queue.ack(claim),
    "nack": lambda queue, claim: queue.nack(claim, "why"),
    "dead_letter": lambda queue, claim: queue.dead_letter(claim, "why"),
    "ack_with": lambda queue, claim: queue.ack_with(claim, effects()),
    "nack_with": lambda queue, claim: queue.nack_with(claim, "why", effects()),
    "dead_letter_with": lambda queue, claim: queue.dead_letter_with(claim, "why", effects()),
    "renew": lambda queue, claim: queue.renew(claim, 60),
    "ensure_at_least": lambda queue, claim: queue.ensure_at_least(claim, 60),
}


def effects() -> Effects:
    """A key that nobody may see."""
    return Effects().kv_put("flag", b"yes")


@pytest.mark.parametrize("call", CALLS)
async def test_a_claim_of_another_store_is_refused_and_touches_nothing(call: str) -> None:
    async with (
        Queue.open(MemoryStore(), "first") as ours,
        Queue.open(MemoryStore(), "second") as theirs,
    ):
        await ours.enqueue("emails", b"ours")
        await theirs.enqueue("emails", b"theirs")
        # Both stores count from the same number, so both claims have the same token.
        right, wrong = await claim_one(ours, "emails"), await claim_one(theirs, "emails")

        with pytest.raises(InvalidArgumentError) as caught:
            await CALLS[call](ours, wrong)

        assert caught.value.name == "claim"
        for word in ("`second`", "claimed from"):
            assert word in str(caught.value)
        for queue, claim in ((ours, right), (theirs, wrong)):
            stats = (await queue.stats()).queues["emails"]
            assert (stats.claimed_count, stats.acked_total, stats.dead_total) == (1, 0, 0)
            assert await queue.kv_get("flag") is None
            await queue.ack(claim)


async def test_two_stores_behind_one_url_of_memory_are_two_stores() -> None:
    async with Queue.open("memory://") as ours, Queue.open("memory://") as theirs:
        await theirs.enqueue("emails", b"x")
        claim = await claim_one(theirs, "emails")

        with pytest.raises(InvalidArgumentError):
            await ours.ack(claim)

        await theirs.ack(claim)


@pytest.mark.parametrize("call", CALLS)
async def test_a_claim_of_an_earlier_opening_settles_nothing(
    open_queue: OpenQueue, call: str
) -> None:
    earlier = await open_queue()
    await earlier.enqueue("emails", b"x")
    stale = await claim_one(earlier, "emails")
    await earlier.close()
    again = await open_queue()
    fresh = await claim_one(again, "emails")

    with pytest.raises(ClaimLostError):
        await CALLS[call](again, stale)

    assert (await again.stats()).queues["emails"].claimed_count == 1
    await again.ack(fresh)
