"""The key-value space, alone and in the commit of a settlement, on every store."""

import asyncio

import pytest

from taquba import Effects
from taquba.exceptions import ClaimLostError
from tests.conformance.backends import Place
from tests.waiting import claim_one, drain

CALLER_COUNT = 30


async def test_a_value_is_there_after_reopening_and_gone_once_deleted(place: Place) -> None:
    queue = await place.open()
    await queue.kv_put("a", b"1")
    await queue.kv_put("b", b"2")
    await queue.kv_delete("b")
    await queue.close()

    again = await place.open()

    assert await again.kv_get("a") == b"1"
    assert await again.kv_get("b") is None


async def test_keys_are_read_in_order(place: Place) -> None:
    queue = await place.open()
    for name in ("user/2", "user/10", "user/1", "zebra", "apple"):
        await queue.kv_put(name, name.encode())

    page = await queue.kv_scan("user/")

    assert page.entries == [
        ("user/1", b"user/1"),
        ("user/10", b"user/10"),
        ("user/2", b"user/2"),
    ]
    assert page.cursor is None


async def test_of_concurrent_conditional_writes_none_is_lost(place: Place) -> None:
    queue = await place.open()

    async def add_one() -> None:
        while True:
            found = await queue.kv_get("counter")
            value = b"%d" % (int(found or b"0") + 1)
            if await queue.kv_compare_put("counter", found, value):
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLER_COUNT):
            group.create_task(add_one())

    assert await queue.kv_get("counter") == b"%d" % CALLER_COUNT


async def test_a_settlement_and_its_effects_are_one_commit(place: Place) -> None:
    queue = await place.open()
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")
    before = (await queue.stats()).commit_count

    effects = Effects().enqueue("invoices", b"follow-up").kv_put("sent", b"yes")
    await queue.ack_with(claim, effects)

    assert (await queue.stats()).commit_count == before + 1
    await queue.close()
    again = await place.open()
    assert await drain(again, "emails") == []
    assert [claim.payload for claim in await drain(again, "invoices")] == [b"follow-up"]
    assert await again.kv_get("sent") == b"yes"


async def test_effects_of_a_lost_claim_change_nothing(place: Place) -> None:
    queue = await place.open()
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")
    await queue.ack(claim)

    with pytest.raises(ClaimLostError):
        await queue.ack_with(claim, Effects().enqueue("invoices", b"").kv_put("sent", b"yes"))

    assert await drain(queue, "invoices") == []
    assert await queue.kv_get("sent") is None
