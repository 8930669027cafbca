"""`get_or_compute`: one computation for all who ask, whoever of them gives up."""

import asyncio
import contextvars
import gc

import pytest

from taquba import MemoStore
from taquba.memo import Memo

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Computation:
    """Counts its calls, and ends when it is let go."""

    def __init__(self, value: bytes = b"value") -> None:
        self.value = value
        self.calls = 0
        self.cancelled = 0
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.error: BaseException | None = None

    async def __call__(self) -> bytes:
        self.calls += 1
        self.began.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return self.value


@pytest.fixture
def memo(memos: MemoStore) -> Memo:
    """The memo of one step."""
    return memos.new_memo("run", 0)


async def ask(memo: Memo, fn: Computation, count: int) -> "list[asyncio.Task[bytes]]":
    """Asks for one key many times at once, and waits until the computation has begun."""
    tasks = [asyncio.create_task(memo.get_or_compute("k", fn)) for _ in range(count)]
    await fn.began.wait()
    return tasks


async def test_a_value_is_computed_once_and_kept(memos: MemoStore, memo: Memo) -> None:
    calls = []

    def compute() -> bytes:
        calls.append(1)
        return b"value"

    assert await memo.get_or_compute("k", compute) == b"value"
    assert await memo.get_or_compute("k", compute) == b"value"
    assert await memos.new_memo("run", 0).get_or_compute("k", compute) == b"value"
    assert await memo.get("k") == b"value"
    assert len(calls) == 1


async def test_a_function_may_be_plain_async_or_return_an_awaitable(memo: Memo) -> None:
    async def coroutine() -> bytearray:
        return bytearray(b"a")

    assert await memo.get_or_compute("a", coroutine) == b"a"
    assert await memo.get_or_compute("b", lambda: coroutine()) == b"a"
    assert type(await memo.get_or_compute("c", lambda: memoryview(b"c"))) is bytes


async def test_an_empty_value_is_a_value(memo: Memo) -> None:
    assert await memo.get_or_compute("k", lambda: b"") == b""
    assert await memo.get_or_compute("k", lambda: b"another") == b""


async def test_those_who_ask_at_once_share_one_computation(memo: Memo) -> None:
    fn = Computation()
    tasks = await ask(memo, fn, 20)
    fn.may_end.set()

    assert await asyncio.gather(*tasks) == [b"value"] * 20
    assert fn.calls == 1


async def test_keys_do_not_wait_for_each_other(memo: Memo) -> None:
    fn = Computation()
    [waiting] = await ask(memo, fn, 1)

    assert await memo.get_or_compute("other", lambda: b"other") == b"other"

    fn.may_end.set()
    assert await waiting == b"value"


async def test_a_failure_is_told_to_all_and_not_remembered(memo: Memo) -> None:
    fn = Computation()
    fn.error = LookupError("no answer")
    tasks = await ask(memo, fn, 5)
    fn.may_end.set()

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert results == [fn.error] * 5
    assert await memo.get("k") is None
    fn.error = None
    assert await memo.get_or_compute("k", fn) == b"value"
    assert fn.calls == 2


async def test_a_plain_function_that_raises_is_no_other_case(memo: Memo) -> None:
    def fail() -> bytes:
        raise LookupError("no answer")

    with pytest.raises(LookupError, match="no answer"):
        await memo.get_or_compute("k", fail)
    assert await memo.get_or_compute("k", lambda: b"value") == b"value"


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_the_computation_goes_on_while_one_waits(memo: Memo, leaver: int) -> None:
    fn = Computation()
    tasks = await ask(memo, fn, 3)
    tasks[leaver].cancel()
    await asyncio.wait([tasks[leaver]])
    fn.may_end.set()

    stayed = [task for task in tasks if task is not tasks[leaver]]
    assert await asyncio.gather(*stayed) == [b"value"] * 2
    assert tasks[leaver].cancelled()
    assert (fn.calls, fn.cancelled) == (1, 0)


async def test_the_last_who_gives_up_sees_the_computation_to_its_end(memo: Memo) -> None:
    fn = Computation()
    tasks = await ask(memo, fn, 3)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

    assert all(task.cancelled() for task in tasks)
    assert (fn.calls, fn.cancelled) == (1, 1)
    fn.may_end.set()
    assert await memo.get_or_compute("k", fn) == b"value"
    assert fn.calls == 2


async def test_who_comes_while_a_computation_is_given_up_begins_a_new_one(memo: Memo) -> None:
    slow_end = asyncio.Event()
    began = asyncio.Event()

    async def hard_to_stop() -> bytes:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await slow_end.wait()
        raise AssertionError

    given_up = asyncio.create_task(memo.get_or_compute("k", hard_to_stop))
    await began.wait()
    given_up.cancel()
    await asyncio.sleep(0)

    assert await memo.get_or_compute("k", lambda: b"value") == b"value"

    slow_end.set()
    await asyncio.wait([given_up])
    assert given_up.cancelled()
    assert await memo.get_or_compute("k", lambda: b"other") == b"value"


async def test_a_timeout_of_one_is_no_timeout_of_the_others(memo: Memo) -> None:
    fn = Computation()
    [patient] = await ask(memo, fn, 1)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(memo.get_or_compute("k", fn), timeout=0.01)

    fn.may_end.set()
    assert await patient == b"value"
    assert fn.calls == 1


async def test_a_function_that_cancels_itself_cancels_those_who_wait(memo: Memo) -> None:
    fn = Computation()
    fn.error = asyncio.CancelledError()
    tasks = await ask(memo, fn, 3)
    fn.may_end.set()

    await asyncio.wait(tasks)

    assert all(task.cancelled() for task in tasks)
    assert await memo.get_or_compute("k", lambda: b"value") == b"value"


async def test_a_failure_that_nobody_waits_for_is_no_noise(memo: Memo) -> None:
    noise: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    began = asyncio.Event()

    async def fail_when_cancelled() -> bytes:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError("late") from None
        raise AssertionError

    task = asyncio.create_task(memo.get_or_compute("k", fail_when_cancelled))
    await began.wait()
    task.cancel()
    await asyncio.wait([task])
    del task
    gc.collect()
    await asyncio.sleep(0)

    assert noise == []


async def test_a_function_that_asks_for_its_own_key_is_told_so(memo: Memo) -> None:
    async def circle() -> bytes:
        return await memo.get_or_compute("k", circle)

    with pytest.raises(RuntimeError, match="wait for itself"):
        await memo.get_or_compute("k", circle)


async def test_a_function_may_ask_for_another_key(memo: Memo) -> None:
    async def outer() -> bytes:
        return b"outer of " + await memo.get_or_compute("inner", lambda: b"inner")

    assert await memo.get_or_compute("outer", outer) == b"outer of inner"


async def test_a_function_sees_the_context_of_its_caller(memo: Memo) -> None:
    variable.set("set")

    assert await memo.get_or_compute("k", lambda: variable.get().encode()) == b"set"


async def test_what_is_no_function_is_refused(memo: Memo) -> None:
    with pytest.raises(TypeError, match=r"`fn`.*without arguments"):
        await memo.get_or_compute("k", b"value")  # type: ignore[arg-type]


async def test_nothing_is_kept_of_a_computation_that_has_ended(memo: Memo) -> None:
    fn = Computation()
    tasks = await ask(memo, fn, 3)
    fn.may_end.set()
    await asyncio.gather(*tasks)
    await asyncio.sleep(0)
    del tasks
    gc.collect()

    assert [found for found in gc.get_referrers(fn) if isinstance(found, dict)] == []
    assert len(asyncio.all_tasks()) == 1
