"""One owner per path, on every store."""

import asyncio
import socket

import pytest

from taquba import Queue
from taquba.exceptions import FencedError, StoreOwnedError
from tests.conformance.backends import Place
from tests.conformance.children import owner
from tests.waiting import drain

RACER_COUNT = 5


async def test_a_second_open_fences_the_first(place: Place) -> None:
    first = await place.open()
    await first.enqueue("emails", b"before")
    second = await place.open()

    with pytest.raises(FencedError):
        await first.enqueue("emails", b"behind the back")

    assert [claim.payload for claim in await drain(second, "emails")] == [b"before"]


async def test_of_racing_opens_exactly_one_is_the_owner(atomic_place: Place) -> None:
    opened = await asyncio.gather(
        *(atomic_place.open() for _ in range(RACER_COUNT)), return_exceptions=True
    )
    queues = [queue for queue in opened if isinstance(queue, Queue)]

    results = await asyncio.gather(
        *(queue.enqueue("emails", b"x") for queue in queues), return_exceptions=True
    )

    assert [type(other) for other in opened if not isinstance(other, Queue)] == [FencedError] * (
        RACER_COUNT - len(queues)
    )
    assert sum(isinstance(result, str) for result in results) == 1
    assert all(isinstance(result, str | FencedError) for result in results)
    survivor = await atomic_place.open()
    assert len(await drain(survivor, "emails")) == 1


async def test_paths_of_one_store_do_not_mix(place: Place) -> None:
    store = place.store
    async with Queue.open(store, f"{place.path}-a") as a, Queue.open(store, f"{place.path}-b") as b:
        await a.enqueue("emails", b"for a")

        assert await b.claim_batch("emails", 10) == []
        assert len(await drain(a, "emails")) == 1


async def test_an_owner_that_is_alive_is_respected_if_asked_to(shared_place: Place) -> None:
    with owner(shared_place) as process:
        with pytest.raises(StoreOwnedError) as caught:
            await shared_place.open(takeover=False)

        assert (caught.value.host, caught.value.pid) == (socket.gethostname(), process.pid)
        assert str(process.pid) in str(caught.value)
        # Asking did no harm: the owner still closes in order.
        assert process.communicate("", timeout=30)[1] == ""
        assert process.returncode == 0

    queue = await shared_place.open(takeover=False)
    assert len(await drain(queue, "emails")) == 1


async def test_taking_over_fences_an_owner_that_is_alive(shared_place: Place) -> None:
    with owner(shared_place):
        queue = await shared_place.open(takeover=True)

        assert [claim.payload for claim in await drain(queue, "emails")] == [b"of the owner"]
