"""The event loop's side of the bridge: calls out, replies and deliveries in.

The engine never enters Python. It fills a mailbox and makes a descriptor readable; the loop watches
the descriptor and runs a turn: calls are answered, deliveries started, and what they left behind is
sent, once for all of them.

Invariants:
    1. One port per event loop; its methods run on that loop's thread.
    2. A call, once made, is sent: cancelling the task that awaits it changes nothing.
    3. A call that waits for something is taken back once nobody waits for it any more.
    4. After every request a flush follows, at the end of the turn or of the loop's tick.
"""

import asyncio
import contextlib
import contextvars
import os
from collections.abc import Callable, Iterator
from typing import Concatenate, Generic, Never, ParamSpec, TypeVar, final

from taquba import _taquba
from taquba._context import current
from taquba.exceptions import ClosedError

__all__ = ["Port", "Waiting"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

os.register_at_fork(after_in_child=_taquba.after_fork_in_child)


@final
class Port:
    """One event loop's door to the engine.

    Must be made while its loop is running.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.native = _taquba.Port()
        self._closed_path: str | None = None
        descriptor = self.native.fileno()
        assert descriptor is not None, "a new port is open"  # noqa: S101 - an invariant of ours
        # Deliveries inherit the context; one made inside a runner must not pass that step on.
        context = contextvars.copy_context()
        context.run(current.set, None)
        context.run(self.loop.add_reader, descriptor, self._turn)

    def call(
        self,
        method: Callable[Concatenate["asyncio.Future[_T]", _P], bool],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> "asyncio.Future[_T]":
        """Ask the engine, and return the future of its answer.

        Args:
            method: A method of the native port. It takes the future and returns whether the
                request needs a flush.
            *args: Its other arguments.
            **kwargs: The same.
        """
        self._check_open()
        future: asyncio.Future[_T] = self.loop.create_future()
        if method(future, *args, **kwargs):
            self.arrange_flush()
        return future

    def wait(
        self,
        method: Callable[Concatenate["asyncio.Future[_T]", _P], tuple[int, bool]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> "Waiting[_T]":
        """Ask for something that may take long, and return what waits for it.

        Args:
            method: A method of the native port. It takes the future and returns the ticket of the
                call, and whether the request needs a flush.
            *args: Its other arguments.
            **kwargs: The same.
        """
        self._check_open()
        future: asyncio.Future[_T] = self.loop.create_future()
        ticket, is_due = method(future, *args, **kwargs)
        if is_due:
            self.arrange_flush()
        return Waiting(self.native, future, ticket)

    async def room(self) -> None:
        """Wait until waiting work is below its bound, so that memory does not grow with it."""
        while not self.native.has_room():
            await self.call(self.native.await_room)

    @contextlib.contextmanager
    def watching(self) -> "Iterator[asyncio.Future[Never]]":
        """Give a future that fails when the engine ends, whatever ends it."""
        future: asyncio.Future[Never] = self.loop.create_future()
        self.native.watch(future)
        try:
            yield future
        finally:
            # Of one that has failed, asyncio wants to know that somebody looked.
            if not future.cancel() and not future.cancelled():
                future.exception()

    def arrange_flush(self) -> None:
        """Send what was left behind outside a turn, with all else of this tick."""
        self.loop.call_soon(self.native.flush)

    def close(self, path: str) -> None:
        """End the door: unsettled deliveries go back, calls under way fail as closed."""
        descriptor = self.native.fileno()
        if descriptor is not None and not self.loop.is_closed():
            self.loop.remove_reader(descriptor)
        self._closed_path = path
        # Whoever waited in a loop that is closed cannot be told any more.
        with (
            contextlib.suppress(RuntimeError) if self.loop.is_closed() else contextlib.nullcontext()
        ):
            self.native.detach(path)

    def _check_open(self) -> None:
        # Nobody would answer: a task may hold on to a port that was closed under it.
        if self._closed_path is not None:
            message = f"the queue at `{self._closed_path}` is closed: open it again"
            raise ClosedError(message, path=self._closed_path)

    def _turn(self) -> None:
        try:
            for start, works in self.native.begin_turn():
                for work in works:
                    start(work)
        finally:
            if self.native.end_turn():
                self.loop.call_soon(self._turn)


@final
class Waiting(Generic[_T]):
    """A call that waits for something: taken back when this is dropped before the answer."""

    __slots__ = ("_native", "_ticket", "future")

    def __init__(self, native: _taquba.Port, future: "asyncio.Future[_T]", ticket: int) -> None:
        self._native = native
        self._ticket = ticket
        self.future = future

    def withdraw(self) -> None:
        """Take the call back. Of an answered one nothing is left to take."""
        self._native.withdraw(self._ticket)

    def __del__(self) -> None:
        """Take the call back if it was not answered."""
        if not self.future.done():
            self.withdraw()
