"""One store of memos in several event loops, and what it holds of the process."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from taquba import MemoStore
from taquba.exceptions import ClosedError
from taquba.store import MemoryStore
from tests.waiting import eventually


@pytest.fixture(scope="module", autouse=True)
def _running() -> None:
    """Starts the threads behind all stores, which have descriptors of their own."""

    async def use() -> None:
        async with MemoStore("memory://") as memos:
            await memos.list_terminal_markers()

    thread = threading.Thread(target=lambda: asyncio.run(use()))
    thread.start()
    thread.join()


def descriptors() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_loops_one_after_the_other_leave_no_descriptors() -> None:
    memos = MemoStore("memory://")

    async def use() -> None:
        await memos.new_memo("run", 0).put("k", b"value")
        assert await memos.new_memo("run", 0).get("k") == b"value"

    asyncio.run(use())
    before = descriptors()
    for _ in range(20):
        asyncio.run(use())

    assert descriptors() <= before


def test_loops_at_the_same_time_see_the_same_memos() -> None:
    memos = MemoStore(MemoryStore())
    barrier = threading.Barrier(4, timeout=20)
    found: list[list[bytes | None]] = []

    async def use(number: int) -> None:
        await memos.new_memo("run", number).put("k", b"%d" % number)
        await asyncio.to_thread(barrier.wait)
        found.append([await memos.new_memo("run", other).get("k") for other in range(4)])

    threads = [threading.Thread(target=lambda n=n: asyncio.run(use(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [[b"0", b"1", b"2", b"3"]] * 4


def test_loops_of_many_threads_come_and_go_at_once() -> None:
    memos = MemoStore(MemoryStore())
    barrier = threading.Barrier(8, timeout=20)
    errors: list[BaseException] = []

    async def use(number: int) -> None:
        await memos.new_memo("run", number).put("k", b"value")

    def come_and_go(number: int) -> None:
        try:
            barrier.wait()
            for _ in range(50):
                asyncio.run(use(number))
        except BaseException as error:  # noqa: BLE001 - told by the assertion
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=come_and_go, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)

    assert errors == []


def test_closing_in_one_loop_closes_for_all() -> None:
    memos = MemoStore("memory://")
    used, closed = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    async def elsewhere() -> None:
        await memos.new_memo("run", 0).put("k", b"value")
        used.set()
        await asyncio.to_thread(closed.wait)
        try:
            await memos.new_memo("run", 0).get("k")
        except ClosedError as error:
            errors.append(error)

    async def close() -> None:
        await asyncio.to_thread(used.wait)
        await memos.close()
        closed.set()

    before = descriptors()
    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    asyncio.run(close())
    thread.join()

    assert [type(error) for error in errors] == [ClosedError]
    assert descriptors() <= before


async def test_a_closed_store_refuses_calls_and_closes_twice() -> None:
    memos = MemoStore("memory://")
    memo = memos.new_memo("run", 0)
    await memo.put("k", b"value")
    await memos.close()
    await memos.close()

    calls = [
        lambda: memo.get("k"),
        lambda: memo.get_or_compute("k", lambda: b""),
        lambda: memos.clear_memos_for_run("run"),
        memos.list_terminal_markers,
    ]
    for call in calls:
        with pytest.raises(ClosedError, match=r"`memory:.*taquba`.*make another one"):
            await call()


async def test_calls_under_way_get_their_answers_before_the_end(tmp_path: Path) -> None:
    memos = MemoStore(tmp_path)
    puts = [asyncio.ensure_future(memos.new_memo("run", n).put("k", b"v")) for n in range(20)]
    await asyncio.sleep(0)

    await memos.close()

    assert await asyncio.gather(*puts) == [None] * 20
    async with MemoStore(tmp_path) as again:
        assert await again.clear_memos_for_run("run") == 20


async def test_a_put_whose_caller_is_cancelled_is_done_all_the_same(tmp_path: Path) -> None:
    async with MemoStore(tmp_path, fsync=False) as memos:
        memo = memos.new_memo("run", 0)
        put = asyncio.ensure_future(memo.put("k", b"value"))
        await asyncio.sleep(0)
        put.cancel()
        await asyncio.wait([put])

        assert await eventually(lambda: memo.get("k"), "the write") == b"value"


async def test_an_unused_store_is_closed_for_nothing() -> None:
    before = descriptors()
    async with MemoStore("memory://"):
        pass

    assert descriptors() == before


async def test_closing_gives_the_descriptors_back() -> None:
    before = descriptors()
    for _ in range(10):
        async with MemoStore("memory://") as memos:
            await memos.new_memo("run", 0).put("k", b"value")

    assert descriptors() <= before
