"""The connection to an open store, shared by the event loops that use it.

Invariants:
    1. Each event loop has a port of its own, made on first use.
    2. A closed connection refuses every call; calls under way still get their answers.
"""

import asyncio
import atexit
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Generic, Self, TypeVar, final

from taquba import _taquba
from taquba._port import Port
from taquba.exceptions import ClosedError

__all__ = ["Connection", "Opening"]

# A queue that nobody closed is closed at exit: what waits is committed, not lost.
atexit.register(_taquba.close_all)


class Connection:
    """What `Queue` and `QueueReader` are on the inside."""

    def __init__(self, engine: _taquba.Engine, port: Port, path: str) -> None:
        self._engine = engine
        self._path = path
        self._ports = {port.loop: port}
        self._is_closed = False

    async def close(self) -> None:
        """Commit what waits, and give the store up. Closing twice is fine.

        Durable: when this returns, everything that was settled or enqueued is in the store, and
        the next open need not recover.

        Cancellation: the closing finishes even if the awaiting task is cancelled.

        Raises:
            StoreUnavailableError: The last commit did not succeed.
            FencedError: Another process owns this store now.
        """
        if self._is_closed:
            return
        port = self.port()
        closing: asyncio.Future[None] = port.loop.create_future()
        port.native.close(closing, self._engine)
        try:
            await closing
        except ClosedError:
            # Somebody else closed it meanwhile.
            pass
        finally:
            # If cancelled, the closing goes on; calls under way still get their answers.
            if not closing.cancelled():
                self._detach()

    async def __aenter__(self) -> Self:
        """Use it in `async with`."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    def __repr__(self) -> str:
        """Show path and state."""
        state = "closed" if self._is_closed else "open"
        return f"{type(self).__name__}(path={self._path!r}, {state})"

    def port(self) -> Port:
        """Return the running loop's door to the engine. Not for users."""
        if self._is_closed:
            message = f"the queue at `{self._path}` is closed: open it again"
            raise ClosedError(message, path=self._path)
        loop = asyncio.get_running_loop()
        port = self._ports.get(loop)
        return self._add_port(loop) if port is None else port

    async def room(self) -> Port:
        """Wait until waiting work is below its bound. Not for users."""
        port = self.port()
        await port.room()
        return port

    def _add_port(self, loop: asyncio.AbstractEventLoop) -> Port:
        for ended in [other for other in self._ports if other.is_closed()]:
            self._ports.pop(ended).close(self._path)
        port = self._ports[loop] = Port()
        port.native.attach(self._engine)
        return port

    def _detach(self) -> None:
        self._is_closed = True
        ports, self._ports = self._ports, {}
        here = asyncio.get_running_loop()
        for loop, port in ports.items():
            if loop is here or loop.is_closed():
                port.close(self._path)
            else:
                loop.call_soon_threadsafe(port.close, self._path)


_C = TypeVar("_C", bound=Connection)


@final
class Opening(Generic[_C]):
    """What is about to be open: await it, or enter it with `async with`.

    Args:
        path: Where in the store.
        begin: Asks the native port for it; the future is resolved when it is open.
        kind: What the result is.
    """

    def __init__(
        self,
        path: str,
        begin: Callable[[_taquba.Port, "asyncio.Future[_taquba.Engine]"], None],
        kind: Callable[[_taquba.Engine, Port, str], _C],
    ) -> None:
        self._path = path
        self._begin = begin
        self._kind = kind
        self._opened: _C | None = None

    def __await__(self) -> Generator[object, None, _C]:
        """Open it."""
        return self._open().__await__()

    async def __aenter__(self) -> _C:
        """Open it."""
        self._opened = await self._open()
        return self._opened

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._opened is not None:
            await self._opened.close()

    async def _open(self) -> _C:
        port = Port()
        future: asyncio.Future[_taquba.Engine] = port.loop.create_future()
        try:
            self._begin(port.native, future)
            engine = await future
        except BaseException:
            port.close(self._path)
            # Cancelled in the very tick in which the answer came: nobody will take it.
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().abandon()
            raise
        port.native.attach(engine)
        return self._kind(engine, port, self._path)
