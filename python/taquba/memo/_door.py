"""Doors to the runtime for a store of memos, which has no engine.

Invariants:
    1. Each event loop has a port of its own, made on first use; that of a closed loop is ended when
       another one is made.
    2. A call that is under way when the store is closed still gets its answer.
    3. The table of doors is touched under its lock only, because each loop may have a thread of its
       own. A door is ended outside of it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar, final

from taquba import _taquba
from taquba._port import Port
from taquba.exceptions import ClosedError

__all__ = ["Doors"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


@final
class Doors:
    """One door for each event loop that uses a store of memos.

    Args:
        name: What errors call the store.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._doors: dict[asyncio.AbstractEventLoop, _Door] = {}
        self._lock = threading.Lock()
        self.is_closed = False

    def call(
        self,
        method: Callable[Concatenate["asyncio.Future[_T]", _taquba.Port, _P], bool],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> "asyncio.Future[_T]":
        """Ask, and return the future of the answer.

        Args:
            method: A method of the native store.
            *args: Its arguments behind future and port.
            **kwargs: The same.
        """
        door = self._door()
        future = door.port.call(method, door.port.native, *args, **kwargs)
        door.note(future)
        return future

    async def close(self) -> None:
        """Refuse further calls, wait for those of this loop, and give the ports back."""
        with self._lock:
            self.is_closed = True
            doors, self._doors = self._doors, {}
        here = asyncio.get_running_loop()
        for loop, door in doors.items():
            if loop is here or loop.is_closed():
                door.end()
            else:
                # It may be closed by its thread this very moment; then its port goes with it.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(door.end)
        if here in doors:
            await doors[here].ended.wait()

    def _door(self) -> "_Door":
        loop = asyncio.get_running_loop()
        with self._lock:
            if self.is_closed:
                message = f"the memo store at `{self._name}` is closed: make another one"
                raise ClosedError(message, path=self._name)
            if (door := self._doors.get(loop)) is not None:
                return door
            made = self._doors[loop] = _Door(self._name)
            closed = [other for other in self._doors if other.is_closed()]
            ended = [self._doors.pop(other) for other in closed]
        for door in ended:
            door.end()
        return made


@final
class _Door:
    """One loop's port, and the calls that it has under way."""

    def __init__(self, name: str) -> None:
        self.port = Port()
        self.ended = asyncio.Event()
        self._name = name
        self._under_way = 0
        self._is_ending = False

    def note(self, future: "asyncio.Future[_T]") -> None:
        self._under_way += 1
        future.add_done_callback(self._answered)

    def end(self) -> None:
        """End it when the last call has its answer. In a closed loop none will come."""
        self._is_ending = True
        if self._under_way == 0 or self.port.loop.is_closed():
            self.port.close(self._name)
            self.ended.set()

    def _answered(self, _: object) -> None:
        self._under_way -= 1
        if self._is_ending:
            self.end()
