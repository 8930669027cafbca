"""Adding jobs: what is promised when `enqueue` and `enqueue_batch` return."""

import pytest

from taquba import EnqueueOptions, NewJob, Queue
from taquba.exceptions import InvalidQueueNameError, PayloadTooLargeError
from tests.conftest import OpenQueue
from tests.waiting import claim_one, drain

PAYLOAD_BYTES_MAX = 64 * 1024 * 1024


@pytest.mark.parametrize("payload", [b"", b"\x00", bytes(range(256)), b"x" * 300_000])
async def test_a_job_is_delivered_byte_for_byte_with_its_headers(
    queue: Queue, payload: bytes
) -> None:
    headers = {"trace": "abc", "größe": "naïve ☃", "empty": ""}

    job_id = await queue.enqueue("emails", payload, EnqueueOptions(headers=headers))

    claim = await claim_one(queue, "emails")
    assert claim.job_id == job_id
    assert claim.queue == "emails"
    assert claim.payload == payload
    assert claim.headers == headers


async def test_every_job_has_its_own_id(queue: Queue) -> None:
    ids = [await queue.enqueue("emails", b"same") for _ in range(5)]
    ids += await queue.enqueue_batch("emails", [b"same"] * 5)

    assert len(set(ids)) == 10


async def test_an_enqueued_job_is_there_after_the_store_is_opened_again(
    open_queue: OpenQueue,
) -> None:
    first = await open_queue()
    options = EnqueueOptions(headers={"k": "v"}, priority=7, max_attempts=9)
    job_id = await first.enqueue("emails", b"kept", options)
    await first.close()

    second = await open_queue()

    claim = await claim_one(second, "emails")
    assert (claim.job_id, claim.payload, claim.headers) == (job_id, b"kept", {"k": "v"})
    assert (claim.priority, claim.max_attempts, claim.attempts) == (7, 9, 1)


async def test_a_batch_returns_its_ids_in_order(queue: Queue) -> None:
    jobs: list[bytes | NewJob] = [b"0", NewJob(b"1", EnqueueOptions(headers={"n": "1"})), b"2"]

    ids = await queue.enqueue_batch("emails", jobs)

    claims = await drain(queue, "emails")
    assert [(claim.job_id, claim.payload) for claim in claims] == list(
        zip(ids, [b"0", b"1", b"2"], strict=True)
    )
    assert [claim.headers for claim in claims] == [{}, {"n": "1"}, {}]


async def test_an_empty_batch_adds_nothing(queue: Queue) -> None:
    assert await queue.enqueue_batch("emails", []) == []
    assert await queue.claim_batch("emails", 10, lease=1.0) == []


@pytest.mark.parametrize("bad_index", [0, 1, 2])
async def test_a_batch_with_one_bad_job_adds_none(queue: Queue, bad_index: int) -> None:
    jobs: list[bytes | NewJob] = [b"a", b"b", b"c"]
    jobs[bad_index] = b"x" * (PAYLOAD_BYTES_MAX + 1)

    with pytest.raises(PayloadTooLargeError):
        await queue.enqueue_batch("emails", jobs)

    assert await queue.claim_batch("emails", 10, lease=1.0) == []


async def test_queues_do_not_mix(queue: Queue) -> None:
    await queue.enqueue("a", b"for a")
    await queue.enqueue("b", b"for b")
    # A name that is the beginning of another one is the case where key prefixes could mix.
    await queue.enqueue("ab", b"for ab")

    assert [claim.payload for claim in await drain(queue, "a")] == [b"for a"]
    assert [claim.payload for claim in await drain(queue, "ab")] == [b"for ab"]
    assert [claim.payload for claim in await drain(queue, "b")] == [b"for b"]


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a b", "a/b", "ü", "a" * 256])
async def test_a_queue_name_that_breaks_the_rule_is_refused_and_named(
    queue: Queue, name: str
) -> None:
    with pytest.raises(InvalidQueueNameError, match="255"):
        await queue.enqueue(name, b"")


@pytest.mark.parametrize("name", ["a", "0", "A.b_c-9", "a" * 255])
async def test_a_queue_name_at_the_edge_of_the_rule_is_accepted(queue: Queue, name: str) -> None:
    job_id = await queue.enqueue(name, b"x")

    assert (await claim_one(queue, name)).job_id == job_id


@pytest.mark.parametrize("payload", ["text", None, 5])
async def test_a_payload_that_is_not_bytes_is_refused(queue: Queue, payload: object) -> None:
    with pytest.raises(TypeError):
        await queue.enqueue("emails", payload)  # type: ignore[arg-type]

    assert await queue.claim_batch("emails", 10, lease=1.0) == []
