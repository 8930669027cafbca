"""Every bound: exactly the limit is fine, one more is refused by name, with limit and remedy."""

from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from taquba import EnqueueOptions, NewJob, OpenOptions, Queue, QueueConfig, RetryJitter
from taquba.exceptions import (
    BatchTooLargeError,
    HeadersTooLargeError,
    InvalidArgumentError,
    InvalidDedupKeyError,
    PayloadTooLargeError,
    TaqubaError,
)
from tests.conftest import OpenQueue
from tests.waiting import claim_one, drain

PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
HEADERS_COUNT_MAX = 64
HEADERS_BYTES_MAX = 64 * 1024
DEDUP_KEY_BYTES_MAX = 1024
BATCH_COUNT_MAX = 10_000
MAX_ATTEMPTS_MAX = 1_000_000
PRIORITY_MAX = 2**32 - 1


async def test_the_largest_payload_survives_reopening(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    payload = bytes(range(256)) * (PAYLOAD_BYTES_MAX // 256)
    await queue.enqueue("emails", payload)
    await queue.close()

    again = await open_queue()

    assert (await claim_one(again, "emails")).payload == payload


async def test_a_payload_of_one_byte_more_is_refused(queue: Queue) -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        await queue.enqueue("emails", b"x" * (PAYLOAD_BYTES_MAX + 1))

    assert str(PAYLOAD_BYTES_MAX + 1) in str(caught.value)
    assert str(PAYLOAD_BYTES_MAX) in str(caught.value)


async def test_the_most_and_longest_headers_are_kept(queue: Queue) -> None:
    many = {f"h{n:02}": "v" for n in range(HEADERS_COUNT_MAX)}
    long = {"k" * 4: "v" * (HEADERS_BYTES_MAX - 4)}
    await queue.enqueue("emails", b"", EnqueueOptions(headers=many))
    await queue.enqueue("emails", b"", EnqueueOptions(headers=long))

    assert [claim.headers for claim in await drain(queue, "emails")] == [many, long]


@pytest.mark.parametrize(
    "headers",
    [
        {f"h{n:02}": "v" for n in range(HEADERS_COUNT_MAX + 1)},
        {"k" * 4: "v" * (HEADERS_BYTES_MAX - 3)},
        # Bytes count, not characters.
        {"k": "ü" * (HEADERS_BYTES_MAX // 2)},
    ],
    ids=["one header more", "one byte more", "two bytes per character"],
)
async def test_one_header_or_byte_more_is_refused(queue: Queue, headers: dict[str, str]) -> None:
    with pytest.raises(HeadersTooLargeError, match=str(HEADERS_COUNT_MAX)):
        await queue.enqueue("emails", b"", EnqueueOptions(headers=headers))


@pytest.mark.parametrize("headers", [{"k": 1}, {1: "v"}, {"k": b"v"}, {"k": None}])
async def test_headers_that_are_not_text_are_refused(queue: Queue, headers: Any) -> None:
    with pytest.raises(TypeError):
        await queue.enqueue("emails", b"", EnqueueOptions(headers=headers))


async def test_the_longest_dedup_key_works(queue: Queue) -> None:
    options = EnqueueOptions(dedup_key="k" * DEDUP_KEY_BYTES_MAX)

    first = await queue.enqueue("emails", b"", options)

    assert await queue.enqueue("emails", b"", options) == first


@pytest.mark.parametrize("key", ["", "k" * (DEDUP_KEY_BYTES_MAX + 1), "ü" * 513])
async def test_an_empty_or_longer_dedup_key_is_refused(queue: Queue, key: str) -> None:
    with pytest.raises(InvalidDedupKeyError, match=str(DEDUP_KEY_BYTES_MAX)):
        await queue.enqueue("emails", b"", EnqueueOptions(dedup_key=key))


async def test_the_largest_batch_is_one_commit_and_complete(queue: Queue) -> None:
    before = (await queue.stats()).commit_count

    ids = await queue.enqueue_batch("emails", [b"x"] * BATCH_COUNT_MAX)

    stats = await queue.stats()
    assert len(set(ids)) == BATCH_COUNT_MAX
    assert stats.queues["emails"].pending_count == BATCH_COUNT_MAX
    assert stats.commit_count == before + 1


async def test_a_batch_of_one_job_more_is_refused_whole(queue: Queue) -> None:
    with pytest.raises(BatchTooLargeError, match=str(BATCH_COUNT_MAX)):
        await queue.enqueue_batch("emails", [b"x"] * (BATCH_COUNT_MAX + 1))

    assert await queue.claim_batch("emails", 1, lease=1.0) == []


@pytest.mark.parametrize("max_attempts", [1, MAX_ATTEMPTS_MAX])
async def test_attempts_at_the_edges_are_accepted(queue: Queue, max_attempts: int) -> None:
    await queue.enqueue("emails", b"", EnqueueOptions(max_attempts=max_attempts))

    assert (await claim_one(queue, "emails")).max_attempts == max_attempts


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("max_attempts", lambda: EnqueueOptions(max_attempts=0)),
        ("max_attempts", lambda: EnqueueOptions(max_attempts=-1)),
        ("max_attempts", lambda: EnqueueOptions(max_attempts=MAX_ATTEMPTS_MAX + 1)),
        ("priority", lambda: EnqueueOptions(priority=-1)),
        ("priority", lambda: EnqueueOptions(priority=PRIORITY_MAX + 1)),
    ],
)
async def test_a_job_option_outside_its_bounds_is_refused_by_name(
    queue: Queue, name: str, make: Callable[[], EnqueueOptions]
) -> None:
    with pytest.raises(InvalidArgumentError, match=name) as caught:
        await queue.enqueue_batch("emails", [b"fine", NewJob(b"", make())])

    assert isinstance(caught.value, ValueError)
    assert await queue.claim_batch("emails", 1, lease=1.0) == []


@pytest.mark.parametrize("lease", [0, -1, float("nan"), float("inf"), timedelta.max])
async def test_a_lease_outside_its_bounds_is_refused_by_name(
    queue: Queue, lease: float | timedelta
) -> None:
    await queue.enqueue("emails", b"x")

    with pytest.raises(InvalidArgumentError, match="lease"):
        await queue.claim_batch("emails", 1, lease=lease)

    assert len(await queue.claim_batch("emails", 1, lease=1.0)) == 1


def test_the_settings_of_a_queue_are_those_of_the_specification() -> None:
    config = QueueConfig()

    assert {field.name: getattr(config, field.name) for field in fields(config)} == {
        "max_attempts": 3,
        "lease_duration": timedelta(seconds=30),
        "default_priority": 1000,
        "retry_backoff_base": timedelta(seconds=1),
        "retry_backoff_max": timedelta(seconds=300),
        "retry_jitter": RetryJitter.FULL,
        "keep_done_jobs": None,
        "dead_retention": timedelta(days=7),
    }


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("max_attempts", lambda: QueueConfig(max_attempts=0)),
        ("lease_duration", lambda: QueueConfig(lease_duration=0)),
        ("retry_backoff_base", lambda: QueueConfig(retry_backoff_base=-1)),
        ("retry_backoff_max", lambda: QueueConfig(retry_backoff_max=float("nan"))),
        ("default_priority", lambda: QueueConfig(default_priority=-1)),
        ("dead_retention", lambda: QueueConfig(dead_retention=timedelta.max)),
        ("keep_done_jobs", lambda: QueueConfig(keep_done_jobs=timedelta.max)),
        ("keep_done_jobs", lambda: QueueConfig(keep_done_jobs=-1)),
    ],
)
async def test_a_queue_setting_outside_its_bounds_is_refused_by_name(
    open_queue: OpenQueue, name: str, make: Callable[[], QueueConfig]
) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        await open_queue(queue_configs={"emails": make()})


async def test_settings_for_a_queue_name_that_breaks_the_rule_are_refused() -> None:
    with pytest.raises(TaqubaError, match="a b"):
        await Queue.open("memory://", options=OpenOptions(queue_configs={"a b": QueueConfig()}))
