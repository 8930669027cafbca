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


async def test_who_comes_while_a_computation_is_given_up_waits_and_begins_a_new_one(
    memo: Memo,
) -> None:
    slow_end = asyncio.Event()
    began = asyncio.Event()
    ended: list[str] = []

    async def hard_to_stop() -> bytes:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await slow_end.wait()
            ended.append("old")
        raise AssertionError

    def anew() -> bytes:
        ended.append("new")
        return b"value"

    given_up = asyncio.create_task(memo.get_or_compute("k", hard_to_stop))
    await began.wait()
    given_up.cancel()
    await asyncio.sleep(0)
    next_ones = [asyncio.create_task(memo.get_or_compute("k", anew)) for _ in range(3)]
    impatient = asyncio.create_task(memo.get_or_compute("k", anew))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    assert impatient.cancelled()
    for _ in range(5):
        assert await memo.get("other") is None
    assert ended == []

    slow_end.set()
    assert await asyncio.gather(*next_ones) == [b"value"] * 3
    await asyncio.wait([given_up])
    assert given_up.cancelled()
    assert ended == ["old", "new"]


async def test_a_function_that_ignores_its_cancellation_gives_its_value_to_the_next(
    memo: Memo,
) -> None:
    began = asyncio.Event()
    may_end = asyncio.Event()

    async def stubborn() -> bytes:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await may_end.wait()
        return b"of the first"

    given_up = asyncio.create_task(memo.get_or_compute("k", stubborn))
    await began.wait()
    given_up.cancel()
    await asyncio.sleep(0)
    next_one = asyncio.create_task(memo.get_or_compute("k", lambda: b"of the second"))
    await asyncio.sleep(0)
    may_end.set()

    assert await next_one == b"of the first"
    assert await memo.get("k") == b"of the first"
    await asyncio.wait([given_up])
    assert given_up.cancelled()


class SlowRows:
    """Keeps values in a dict; a write lands, whoever awaits it, when it is let go."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.writing = asyncio.Event()
        self.may_land = asyncio.Event()
        self.landing: set[asyncio.Task[None]] = set()

    async def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    async def put(self, key: bytes, value: bytes) -> None:
        # As in the engine: what was sent is done.
        task = asyncio.create_task(self._land(key, value))
        self.landing.add(task)
        await asyncio.shield(task)

    async def _land(self, key: bytes, value: bytes) -> None:
        self.writing.set()
        await self.may_land.wait()
        self.rows[key] = value


@pytest.mark.parametrize("cancel_count", [1, 3])
async def test_a_value_that_is_being_written_is_the_value_whoever_gives_up(
    cancel_count: int,
) -> None:
    rows = SlowRows()
    memo = Memo(rows)
    calls: list[bytes] = []

    def compute() -> bytes:
        calls.append(b"%d" % len(calls))
        return calls[-1]

    given_up = asyncio.create_task(memo.get_or_compute("k", compute))
    await rows.writing.wait()
    for _ in range(cancel_count):
        given_up.cancel()
        await asyncio.sleep(0)
    next_one = asyncio.create_task(memo.get_or_compute("k", compute))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not next_one.done()
    rows.may_land.set()

    assert await next_one == b"0"
    await asyncio.wait([given_up, *rows.landing])
    assert given_up.cancelled()
    assert await memo.get("k") == b"0"
    assert calls == [b"0"]


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


async def test_a_child_task_that_asks_for_the_key_of_its_function_is_told_so(memo: Memo) -> None:
    async def circle() -> bytes:
        [value] = await asyncio.gather(memo.get_or_compute("k", circle))
        return value

    with pytest.raises(RuntimeError, match="wait for itself"):
        await memo.get_or_compute("k", circle)
    assert await memo.get_or_compute("k", lambda: b"value") == b"value"


async def test_a_circle_of_keys_is_told_so(memos: MemoStore, memo: Memo) -> None:
    other = memos.new_memo("run", 1)

    async def a() -> bytes:
        return await other.get_or_compute("b", b)

    async def b() -> bytes:
        return await memo.get_or_compute("c", c)

    async def c() -> bytes:
        return await memo.get_or_compute("a", a)

    with pytest.raises(RuntimeError, match="wait for itself"):
        await memo.get_or_compute("a", a)


async def test_a_circle_that_two_callers_close_is_told_so(memo: Memo) -> None:
    both_began = asyncio.Barrier(2)

    async def a() -> bytes:
        await both_began.wait()
        return b"a" + await memo.get_or_compute("b", b)

    async def b() -> bytes:
        await both_began.wait()
        return b"b" + await memo.get_or_compute("a", a)

    results = await asyncio.gather(
        memo.get_or_compute("a", a), memo.get_or_compute("b", b), return_exceptions=True
    )

    assert [type(result) for result in results] == [RuntimeError] * 2
    assert "wait for itself" in str(results[0])


async def test_a_task_that_outlives_its_function_may_ask_for_the_key(memo: Memo) -> None:
    ended = asyncio.Event()
    left_behind: list[asyncio.Task[bytes]] = []

    async def later() -> bytes:
        await ended.wait()
        return await memo.get_or_compute("k", lambda: b"second")

    async def fail() -> bytes:
        left_behind.append(asyncio.create_task(later()))
        raise LookupError("first")

    with pytest.raises(LookupError, match="first"):
        await memo.get_or_compute("k", fail)
    ended.set()

    assert await left_behind[0] == b"second"


async def test_asking_twice_for_a_key_of_another_is_no_circle(memo: Memo) -> None:
    inner = Computation()

    async def outer() -> bytes:
        both = [memo.get_or_compute("inner", inner) for _ in range(2)]
        return b" ".join(await asyncio.gather(*both))

    asked = asyncio.create_task(memo.get_or_compute("outer", outer))
    await inner.began.wait()
    inner.may_end.set()

    assert await asked == b"value value"


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
