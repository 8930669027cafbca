"""Watching code: every await of a delivery becomes a crash point, and the dead stand still.

A watched coroutine runs in its own task as it would anyhow; what is added is a look at each time it
is suspended and resumed. Tasks that it starts are watched too, because they belong to the process.

Invariants:
    1. What is awaited, thrown and returned passes through unchanged.
    2. Once the process is dead, no watched code runs until it is buried; then it is cancelled, so
       that it gives back what it holds.

Not here:
    Threads, and code that a timer of the event loop calls, cannot be stopped.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any, Final, TypeVar, final

from taquba.memo._memo import _Flight
from taquba.testing._places import Place, places
from taquba.testing._points import Delivery, Moment, Script

__all__ = ["Watch", "watched_tasks"]

_T = TypeVar("_T")

_MEMO_CODE: Final = _Flight._run.__code__  # noqa: SLF001 - the package's own
_BURIAL_SECONDS: Final = 1.0


@final
class Watch:
    """One delivery under watch: its code, and the tasks that this starts.

    Args:
        script: The life of the process.
        delivery: What is being called.
    """

    def __init__(self, script: Script, delivery: Delivery) -> None:
        self.script = script
        self.delivery = delivery
        self._await_count = 0
        self._is_buried = False
        self._tasks: set[asyncio.Task[Any]] = set()
        # Where the delivery's own code waits: the place of tasks that show none of their own.
        self._main_places: tuple[Place, ...] = ()

    async def run(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Call runner or hook, from the point before its first line to that before its commit."""
        self.keep(asyncio.current_task())
        token = _current.set((self, True))
        try:
            await self._pass(Moment.BEGIN)
            try:
                return await call()
            finally:
                await self._pass(Moment.RETURN)
        finally:
            _current.reset(token)

    async def bury(self) -> None:
        """Cancel what stands still, and wait for it, within a bound."""
        self._is_buried = True
        tasks = {task for task in self._tasks if not task.done()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_BURIAL_SECONDS)

    async def as_task(self, coroutine: Coroutine[Any, Any, _T], *, counts: bool) -> _T:
        """Run what a task runs that the delivery has started."""
        _current.set((self, counts))
        await self._stand_still()
        return await _Watched(self, coroutine, counts=counts, is_main=False)

    def keep(self, task: "asyncio.Task[Any] | None") -> None:
        """Count a task among those of the delivery."""
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, moment: Moment) -> None:
        self.script.reach(moment, self.delivery)
        await self._stand_still()

    def watched(self, awaitable: Awaitable[_T]) -> Awaitable[_T]:
        """Return what is awaited instead of the delivery's own code."""
        return _Watched(self, awaitable, counts=True, is_main=True)

    @property
    def _is_standing(self) -> bool:
        return self.script.death is not None and not self._is_buried

    def suspended(
        self, code: object, *, counts: bool, is_main: bool
    ) -> tuple[int, tuple[Place, ...]]:
        """Take note of an await that has begun, and return its number and place."""
        if self._is_buried or not counts:
            return 0, ()
        where = places(code)
        if is_main:
            self._main_places = where
        self._await_count += 1
        number, where = self._await_count, where or self._main_places
        self.script.reach(Moment.WAIT, self.delivery, number, where)
        return number, where

    def resumed(self, number: int, where: tuple[Place, ...]) -> None:
        """Take note of an await that has ended."""
        if number > 0 and not self._is_buried:
            self.script.reach(Moment.RESUME, self.delivery, number, where)

    def stand_still(self) -> Generator[Any, Any, None]:
        """Wait for the burial, if the process is dead."""
        if self._is_standing:
            yield from self._stand_still().__await__()

    async def _stand_still(self) -> None:
        while self._is_standing:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                # A timeout of the code itself is nothing that the dead notice.
                if not self._is_standing:
                    raise


_current: contextvars.ContextVar[tuple[Watch, bool] | None] = contextvars.ContextVar(
    "taquba_testing_watch", default=None
)


@final
class _Watched(Awaitable[_T]):
    """A coroutine whose awaits are looked at."""

    def __init__(self, watch: Watch, code: Awaitable[_T], *, counts: bool, is_main: bool) -> None:
        self._watch = watch
        self._code = code
        self._counts = counts
        self._is_main = is_main

    def __await__(self) -> Generator[Any, Any, _T]:
        """Run it."""
        watch = self._watch
        # It is looked for by this name; see `WATCHED_CODE`.
        watched_code = self._code
        steps = watched_code.__await__()
        error: BaseException | None = None
        while True:
            try:
                waited_for = next(steps) if error is None else steps.throw(error)
            except StopIteration as end:
                result: _T = end.value
                return result
            finally:
                # Its traceback holds this frame.
                error = None
            counts, is_main = self._counts, self._is_main
            number, where = watch.suspended(watched_code, counts=counts, is_main=is_main)
            try:
                yield from watch.stand_still()
                yield waited_for
            except GeneratorExit as thrown:
                error = thrown
                continue
            except BaseException as thrown:  # noqa: BLE001 - thrown into the coroutine
                error = thrown
            watch.resumed(number, where)
            try:
                yield from watch.stand_still()
            except BaseException as thrown:  # noqa: BLE001 - the same
                error = thrown


def _plain_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:  # noqa: ANN401 - as asyncio gives them
    return asyncio.Task(coroutine, loop=loop, **options)


@contextlib.contextmanager
def watched_tasks() -> Iterator[None]:
    """Have the tasks that watched code starts be watched, in this event loop, for a while."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    plain: Any = _plain_task if before is None else before

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:  # noqa: ANN401 - options differ between versions of Python
        context: contextvars.Context | None = options.get("context")
        found = _current.get() if context is None else context.get(_current)
        if found is None or not asyncio.iscoroutine(coroutine):
            return plain(loop, coroutine, **options)
        watch, counts = found
        is_memo = getattr(coroutine, "cr_code", None) is _MEMO_CODE
        counts = counts and (watch.script.sees_memos or not is_memo)
        task = plain(loop, watch.as_task(coroutine, counts=counts), **options)
        watch.keep(task)
        # One that is cancelled before it begins would leave its code behind unawaited.
        task.add_done_callback(lambda _: coroutine.close())
        return task

    loop.set_task_factory(make)
    try:
        yield
    finally:
        loop.set_task_factory(before)
