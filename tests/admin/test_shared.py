"""Work that several wait for is done once."""

import asyncio

import pytest

from taquba.admin._shared import Shared


async def test_all_who_ask_meanwhile_get_the_same() -> None:
    begun = 0

    async def work() -> object:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        return object()

    shared = Shared(work)

    assert len(set(await asyncio.gather(*(shared.get() for _ in range(5))))) == 1
    await shared.get()
    assert begun == 2


async def test_a_failure_is_told_to_all_and_the_next_try_is_a_new_one() -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        raise OSError("the store is gone")

    shared = Shared(work)

    results = await asyncio.gather(*(shared.get() for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [OSError] * 5
    assert begun == 1
    with pytest.raises(OSError, match="gone"):
        await shared.get()
    assert begun == 2


async def test_work_goes_on_for_others_when_one_is_cancelled() -> None:
    may_end = asyncio.Event()

    async def work() -> str:
        await may_end.wait()
        return "done"

    shared = Shared(work)
    first = asyncio.ensure_future(shared.get())
    second = asyncio.ensure_future(shared.get())
    await asyncio.sleep(0)

    first.cancel()
    await asyncio.wait([first])
    may_end.set()

    assert first.cancelled()
    assert await second == "done"
