"""Large payloads come back byte for byte, on every store."""

import random

import pytest

from taquba import NewJob
from tests.conformance.backends import Place
from tests.waiting import claim_one, drain, eventually

LARGE = [300 * 1024, 5 * 1024 * 1024]


@pytest.mark.parametrize("size", LARGE)
async def test_a_large_payload_survives_reopening(place: Place, size: int) -> None:
    payload = random.Random(size).randbytes(size)
    queue = await place.open()
    await queue.enqueue_batch("files", [b"small", NewJob(payload)])
    await queue.close()

    again = await place.open()

    small, large = await again.claim_batch("files", 2)
    assert small.payload == b"small"
    assert large.payload == payload
    await again.ack(large)


async def test_a_large_payload_is_delivered_on_each_attempt(place: Place) -> None:
    payload = random.Random(1).randbytes(LARGE[0])
    queue = await place.open()
    await queue.enqueue("files", payload)
    await claim_one(queue, "files", lease=0.01)

    second = await claim_one(queue, "files")

    assert (second.attempts, second.payload == payload) == (2, True)
    await queue.ack(second)
    assert await drain(queue, "files") == []


async def test_a_large_payload_is_not_in_the_way_of_its_job_s_metadata(place: Place) -> None:
    payload = random.Random(2).randbytes(LARGE[1])
    queue = await place.open()
    job_id = await queue.enqueue("files", payload)

    [listed] = (await queue.list_jobs("files")).jobs
    info = await queue.get_job(job_id)

    assert (listed.payload_bytes, listed.payload) == (len(payload), None)
    assert (info.payload_bytes, info.payload == payload) == (len(payload), True)


async def test_the_object_of_a_large_payload_goes_with_its_job(shared_place: Place) -> None:
    payload = random.Random(3).randbytes(LARGE[1])
    queue = await shared_place.open()
    await queue.enqueue_batch("files", [payload, b"small", payload])
    assert len(shared_place.payload_objects()) == 2

    await drain(queue, "files")

    async def are_gone() -> bool:
        return shared_place.payload_objects() == []

    await eventually(are_gone, "the end of the objects")


async def test_an_object_that_no_job_names_is_swept_at_the_next_open(shared_place: Place) -> None:
    payload = random.Random(4).randbytes(LARGE[0])
    first = await shared_place.open()
    await first.enqueue("files", payload)
    [kept] = shared_place.payload_objects()
    await first.close()
    # What an owner leaves that is killed between the object and its commit.
    name = kept.rsplit("/", maxsplit=1)[1]
    orphan = f"payloads/{name[:-4]}ffff"
    shared_place.put_object(orphan, b"x")

    queue = await shared_place.open()

    async def is_swept() -> bool:
        return shared_place.payload_objects() == [kept]

    await eventually(is_swept, "the sweep")
    assert (await claim_one(queue, "files")).payload == payload
