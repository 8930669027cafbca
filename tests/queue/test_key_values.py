"""The key-value space: reads its own writes, keeps them, and never loses a conditional one."""

import asyncio

import pytest

from taquba import Queue
from taquba.exceptions import (
    InvalidArgumentError,
    InvalidKeyError,
    ValueTooLargeError,
)
from tests.conftest import OpenQueue

KV_KEY_BYTES_MAX = 1024
KV_VALUE_BYTES_MAX = 256 * 1024
LIST_COUNT_MAX = 1_000
CALLER_COUNT = 100

NAMES = ["a", "a/1", "a/10", "a/2", "b", "b/1", "ä", "☃"]
"""In the order of their bytes."""


async def fill(queue: Queue, names: list[str]) -> None:
    """Puts each name under itself."""
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(queue.kv_put(name, name.encode()))


async def test_a_key_that_was_never_written_has_no_value(queue: Queue) -> None:
    assert await queue.kv_get("unknown") is None


@pytest.mark.parametrize("value", [b"", b"\x00", bytes(range(256)), bytes(KV_VALUE_BYTES_MAX)])
async def test_a_value_is_kept_byte_for_byte(open_queue: OpenQueue, value: bytes) -> None:
    queue = await open_queue()
    await queue.kv_put("key", b"before")
    await queue.kv_put("key", value)
    assert await queue.kv_get("key") == value
    await queue.close()

    again = await open_queue()

    assert await again.kv_get("key") == value


@pytest.mark.parametrize("key", ["k", "ü", "a/b c", "\x00", "k" * KV_KEY_BYTES_MAX])
async def test_any_text_is_a_key(open_queue: OpenQueue, key: str) -> None:
    queue = await open_queue()
    await queue.kv_put(key, b"v")
    await queue.close()

    again = await open_queue()

    assert await again.kv_get(key) == b"v"
    assert list((await again.kv_scan()).entries) == [(key, b"v")]


async def test_a_deleted_key_is_gone_for_good(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    await queue.kv_put("key", b"v")

    await queue.kv_delete("key")
    await queue.kv_delete("never was")

    assert await queue.kv_get("key") is None
    await queue.close()
    again = await open_queue()
    assert await again.kv_get("key") is None
    assert not (await again.kv_scan()).entries


async def test_a_conditional_write_happens_only_if_the_value_is_as_expected(queue: Queue) -> None:
    assert await queue.kv_compare_put("key", b"x", b"no") is False
    assert await queue.kv_get("key") is None
    assert await queue.kv_compare_put("key", None, b"one") is True
    assert await queue.kv_compare_put("key", None, b"no") is False
    assert await queue.kv_compare_put("key", b"two", b"no") is False
    assert await queue.kv_compare_put("key", b"one", b"two") is True
    assert await queue.kv_get("key") == b"two"

    assert await queue.kv_compare_delete("key", b"one") is False
    assert await queue.kv_get("key") == b"two"
    assert await queue.kv_compare_delete("key", b"two") is True
    assert await queue.kv_get("key") is None
    assert await queue.kv_compare_delete("key", b"two") is False


async def test_an_empty_value_is_not_an_absent_one(queue: Queue) -> None:
    await queue.kv_put("key", b"")

    assert await queue.kv_compare_put("key", None, b"no") is False
    assert await queue.kv_compare_put("key", b"", b"yes") is True


async def test_of_concurrent_conditional_writes_none_is_lost(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    refused_count = 0

    async def add_one() -> None:
        nonlocal refused_count
        while True:
            found = await queue.kv_get("counter")
            value = b"%d" % (int(found or b"0") + 1)
            if await queue.kv_compare_put("counter", found, value):
                return
            refused_count += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLER_COUNT):
            group.create_task(add_one())
    await queue.close()

    again = await open_queue()
    assert await again.kv_get("counter") == b"%d" % CALLER_COUNT
    assert refused_count > 0, "the callers did not meet"


async def test_of_many_who_want_one_key_one_gets_it(queue: Queue) -> None:
    won = await asyncio.gather(
        *(queue.kv_compare_put("lock", None, b"%d" % n) for n in range(CALLER_COUNT))
    )

    assert won.count(True) == 1
    assert await queue.kv_get("lock") == b"%d" % won.index(True)


@pytest.mark.parametrize(
    ("prefix", "options", "expected"),
    [
        ("", {}, NAMES),
        ("", {"reverse": True}, NAMES[::-1]),
        ("a/", {}, ["a/1", "a/10", "a/2"]),
        ("a/", {"reverse": True}, ["a/2", "a/10", "a/1"]),
        ("a", {"limit": 2}, ["a", "a/1"]),
        ("", {"start": "a/10", "end": "b/1"}, ["a/10", "a/2", "b"]),
        ("", {"start": "a/10", "end": "b/1", "reverse": True}, ["b", "a/2", "a/10"]),
        ("a/", {"start": "a/2"}, ["a/2"]),
        ("a/", {"end": "a/10"}, ["a/1"]),
        ("", {"start": "b", "end": "a"}, []),
        ("zzz", {}, []),
        ("☃", {}, ["☃"]),
    ],
)
async def test_keys_are_read_in_the_order_of_their_bytes(
    open_queue: OpenQueue, prefix: str, options: dict[str, object], expected: list[str]
) -> None:
    queue = await open_queue()
    await fill(queue, NAMES)

    for opening in range(2):
        page = await queue.kv_scan(prefix, **options)  # type: ignore[arg-type]

        assert list(page.entries) == [(name, name.encode()) for name in expected], opening
        await queue.close()
        queue = await open_queue()


@pytest.mark.parametrize("reverse", [False, True])
async def test_pages_continue_where_the_one_before_ended(queue: Queue, reverse: bool) -> None:
    names = [f"key/{n:03}" for n in range(25)]
    await fill(queue, [*names, "other"])

    found: list[str] = []
    cursor = None
    page_count = 0
    while True:
        page = await queue.kv_scan("key/", reverse=reverse, cursor=cursor, limit=10)
        found += [name for name, _ in page.entries]
        page_count += 1
        # What has been read does not come back, whatever happens to it meanwhile.
        await queue.kv_delete(found[-1])
        cursor = page.cursor
        if cursor is None:
            break

    assert found == (names[::-1] if reverse else names)
    assert page_count in (3, 4)


async def test_a_page_of_large_values_may_end_early_and_loses_nothing(queue: Queue) -> None:
    names = [f"key/{n:03}" for n in range(50)]
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(queue.kv_put(name, name.encode() * 30_000))

    found: list[str] = []
    cursor = None
    while True:
        page = await queue.kv_scan("key/", cursor=cursor, limit=LIST_COUNT_MAX)
        for name, value in page.entries:
            assert value == name.encode() * 30_000
            found.append(name)
        cursor = page.cursor
        if cursor is None:
            break

    assert found == names


@pytest.mark.parametrize("key", ["", "k" * (KV_KEY_BYTES_MAX + 1), "ü" * 513])
async def test_an_empty_or_longer_key_is_refused_by_every_call(queue: Queue, key: str) -> None:
    for call in (
        lambda: queue.kv_get(key),
        lambda: queue.kv_put(key, b""),
        lambda: queue.kv_delete(key),
        lambda: queue.kv_compare_put(key, None, b""),
        lambda: queue.kv_compare_delete(key, b""),
    ):
        with pytest.raises(InvalidKeyError, match=str(KV_KEY_BYTES_MAX)) as caught:
            await call()
        assert isinstance(caught.value, ValueError)
        assert str(len(key.encode())) in str(caught.value)


async def test_a_larger_value_is_refused_and_nothing_is_written(queue: Queue) -> None:
    large = bytes(KV_VALUE_BYTES_MAX + 1)
    for call in (
        lambda: queue.kv_put("key", large),
        lambda: queue.kv_compare_put("key", None, large),
    ):
        with pytest.raises(ValueTooLargeError, match=str(KV_VALUE_BYTES_MAX)) as caught:
            await call()
        assert str(KV_VALUE_BYTES_MAX + 1) in str(caught.value)

    assert await queue.kv_get("key") is None


@pytest.mark.parametrize("limit", [0, -1, LIST_COUNT_MAX + 1])
async def test_a_page_of_no_or_too_many_keys_is_refused(queue: Queue, limit: int) -> None:
    with pytest.raises(InvalidArgumentError, match="limit") as caught:
        await queue.kv_scan(limit=limit)

    assert str(LIST_COUNT_MAX) in str(caught.value)


async def test_a_cursor_that_is_none_of_ours_is_refused(queue: Queue) -> None:
    await fill(queue, NAMES)

    with pytest.raises(InvalidArgumentError, match="cursor"):
        await queue.kv_scan(cursor="")


@pytest.mark.parametrize("value", ["text", 1, None, bytearray(b"x")])
async def test_a_value_that_is_not_bytes_is_refused(queue: Queue, value: object) -> None:
    with pytest.raises(TypeError):
        await queue.kv_put("key", value)  # type: ignore[arg-type]


async def test_keys_and_jobs_do_not_mix(queue: Queue) -> None:
    await queue.enqueue("emails", b"x")
    await queue.kv_put("emails", b"v")

    assert list((await queue.kv_scan()).entries) == [("emails", b"v")]
    assert set((await queue.stats()).queues) == {"emails"}
    await queue.kv_delete("emails")
    assert (await queue.stats()).queues["emails"].pending_count == 1
