"""The event loop's side of the bridge: calls out, replies and deliveries in.

The engine never enters Python. It fills a mailbox and makes a descriptor readable; the loop watches
the descriptor and runs a turn: calls are answered, deliveries started, and what they left behind is
sent, once for all of them.

Invariants:
    1. One port per event loop; its methods run on that loop's thread.
    2. A call, once made, is sent: cancelling the task that awaits it changes nothing.
    3. After every request a flush follows, at the end of the turn or of the loop's tick.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Concatenate, Never, ParamSpec, TypeVar, final

from taquba import _taquba

__all__ = ["Port"]

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
        descriptor = self.native.fileno()
        assert descriptor is not None, "a new port is open"  # noqa: S101 - an invariant of ours
        self.loop.add_reader(descriptor, self._turn)

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
        future: asyncio.Future[_T] = self.loop.create_future()
        if method(future, *args, **kwargs):
            self.arrange_flush()
        return future

    def watch(self) -> "asyncio.Future[Never]":
        """Return a future that fails when the engine ends, whatever ends it."""
        future: asyncio.Future[Never] = self.loop.create_future()
        self.native.watch(future)
        return future

    def arrange_flush(self) -> None:
        """Send what was left behind outside a turn, with all else of this tick."""
        self.loop.call_soon(self.native.flush)

    def close(self, path: str) -> None:
        """End the door: unsettled deliveries go back, calls under way fail as closed."""
        descriptor = self.native.fileno()
        if descriptor is not None and not self.loop.is_closed():
            self.loop.remove_reader(descriptor)
        self.native.detach(path)

    def _turn(self) -> None:
        try:
            for start, works in self.native.begin_turn():
                for work in works:
                    start(work)
        finally:
            if self.native.end_turn():
                self.loop.call_soon(self._turn)
