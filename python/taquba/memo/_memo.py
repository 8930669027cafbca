"""A memo: durable values of one step, found by their keys.

Invariants:
    1. Whatever the key, it is stored as its SHA-256: no two keys meet, and none leads elsewhere.
    2. Of those who ask for one key at a time, in one event loop, one computation is made. It goes
       on while one of them waits, and is cancelled, and seen to its end, by the last who gives up.
    3. What was computed is written, whoever gives up. Nobody computes anew beside a computation, or
       a write, that has been given up and has not ended.
    4. A failure is told to all who wait, and nothing is remembered of it.
    5. Computations that would wait for each other in a circle are refused.

Not here:
    Where values are kept is `_rows.py` and `_store.py`; who waits for whom `_circle.py`.
"""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias, final

from taquba._checks import check_instance, refuse_type
from taquba.memo._circle import Computing

__all__ = ["Memo", "Placement", "Value"]

Value: TypeAlias = bytes | bytearray | memoryview
"""What a memo takes; it gives `bytes`."""


class Placement(Protocol):
    """Where the values of one step are kept."""

    async def get(self, key: bytes) -> bytes | None:
        """Read a value."""

    async def put(self, key: bytes, value: bytes) -> None:
        """Write a value. It is durable when this returns."""


@final
class Memo:
    """Durable values of one step, found by their keys. Got from `Step.memo`.

    A step that is delivered again, after a failure or in a new process, finds what it put before.
    Keys are any `str`: empty, long, or with what UTF-8 cannot encode. Two texts that only look
    the same are two keys.

    Example:
        >>> async def runner(step: Step) -> StepOutcome:
        ...     answer = await step.memo.get_or_compute("answer", ask_the_model)
        ...     return Continue(answer)
    """

    __slots__ = ("__weakref__", "_flights", "_placement")

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._flights: dict[tuple[asyncio.AbstractEventLoop, bytes], _Flight] = {}

    async def get(self, key: str) -> bytes | None:
        """Read a value.

        Args:
            key: Any text.

        Returns:
            The value, or `None` if there is none.

        Raises:
            ClaimLostError: The step's claim is over.
            MemoCorruptedError: What is stored is not what was written.
            StoreUnavailableError: The store did not answer in time.
            ClosedError: The queue, or the store of memos, is closed.
        """
        return await self._placement.get(_encoded(key))

    async def put(self, key: str, value: Value) -> None:
        """Write a value, over one that is there.

        Durable: when this returns, the value is in the object store.

        Cancellation: the write finishes even if the awaiting task is cancelled.

        Args:
            key: Any text.
            value: Up to 64 MiB.

        Raises:
            ArgumentTypeError: The value is no bytes.
            MemoTooLargeError: Over 64 MiB. Store it as an object and keep its name.
            ClaimLostError: The step's claim is over: nothing was written.
            StoreUnavailableError: The store did not answer in time.
            FencedError: Another process owns the queue now.
            ClosedError: The queue, or the store of memos, is closed.
        """
        encoded = _encoded(key)
        await self._placement.put(encoded, _as_bytes("value", value, "give"))

    async def get_or_compute(self, key: str, fn: Callable[[], Awaitable[Value] | Value]) -> bytes:
        """Read a value; if there is none, compute and write it.

        Whoever asks for the same key meanwhile, through the same memo and in the same event loop,
        waits for that computation instead of making another one. If it fails, all of them get its
        exception, and the next call computes again.

        Durable: when this returns, the value is in the object store. A process that dies between
        the computation and that moment computes again.

        Cancellation: the computation goes on while somebody waits for it; it is cancelled with
        the last one who does, who waits until it has ended. Once `fn` has returned, the value is
        written all the same. Whoever asks meanwhile waits for that end: for the value, if there
        is one, or to compute anew.

        Args:
            key: Any text.
            fn: Returns the value, up to 64 MiB, or an awaitable of it. It runs in a task of its
                own in this event loop, so a plain function must not take long.

        Returns:
            The value.

        Raises:
            ArgumentTypeError: What `fn` returned is no bytes.
            RuntimeError: `fn` asked for its own key, itself or by way of others. Tasks that it
                starts count as `fn`, also if it does not await them.
            Exception: Whatever `fn` raises, and what `get` and `put` raise.
        """
        if not callable(fn):
            refuse_type("fn", fn, "give a function without arguments")
        place = (asyncio.get_running_loop(), _encoded(key))
        while (flight := self._flights.get(place)) is not None and flight.is_abandoned:
            await flight.end()
            self._forget(place, flight)
            if (value := flight.value()) is not None:
                return value
        if flight is None:
            flight = _Flight(functools.partial(self._compute, place[1], fn))
            self._flights[place] = flight
            flight.task.add_done_callback(functools.partial(self._landed, place, flight))
        return await flight.join()

    def __repr__(self) -> str:
        """Show where it is."""
        return f"Memo({self._placement!r})"

    async def _compute(self, key: bytes, fn: Callable[[], Awaitable[Value] | Value]) -> bytes:
        found = await self._placement.get(key)
        if found is not None:
            return found
        made = fn()
        computed = await made if inspect.isawaitable(made) else made
        value = _as_bytes("fn()", computed, "return")
        # A write that was sent cannot be taken back, so whoever comes next has to know its end.
        await _to_its_end(asyncio.ensure_future(self._placement.put(key, value)))
        return value

    def _forget(self, place: "tuple[asyncio.AbstractEventLoop, bytes]", flight: "_Flight") -> None:
        # Somebody may have begun anew behind one that has ended.
        if self._flights.get(place) is flight:
            del self._flights[place]

    def _landed(
        self,
        place: "tuple[asyncio.AbstractEventLoop, bytes]",
        flight: "_Flight",
        task: "asyncio.Task[bytes]",
    ) -> None:
        self._forget(place, flight)
        # Of one that has failed, asyncio wants to know that somebody looked.
        if not task.cancelled():
            task.exception()


@final
class _Flight:
    """One computation, and how many wait for it."""

    __slots__ = ("_computing", "is_abandoned", "task", "waiting_count")

    def __init__(self, compute: "Callable[[], Awaitable[bytes]]") -> None:
        self._computing = Computing()
        self.task = asyncio.create_task(self._run(compute))
        self.waiting_count = 0
        self.is_abandoned = False

    async def join(self) -> bytes:
        """Wait for it with the others.

        Raises:
            RuntimeError: It waits for whoever calls this.
        """
        # Refused before it counts: who is refused keeps nothing going.
        with self._computing.awaited():
            self.waiting_count += 1
            try:
                # Unlike an `await` of the task, this does not cancel it.
                await asyncio.wait((self.task,))
            except asyncio.CancelledError:
                if self.waiting_count == 1:
                    await self._abandon()
                raise
            finally:
                self.waiting_count -= 1
        return self.task.result()

    async def end(self) -> None:
        """Wait until it has ended, without having it go on.

        Raises:
            RuntimeError: It waits for whoever calls this.
        """
        with self._computing.awaited():
            await asyncio.wait((self.task,))

    def value(self) -> bytes | None:
        """Return the value, if it has ended with one."""
        if self.task.cancelled() or self.task.exception() is not None:
            return None
        return self.task.result()

    async def _run(self, compute: "Callable[[], Awaitable[bytes]]") -> bytes:
        self._computing.begin()
        return await compute()

    async def _abandon(self) -> None:
        """Cancel it, and see it to its end: nobody else does."""
        self.is_abandoned = True
        self.task.cancel()
        await asyncio.wait((self.task,))


async def _to_its_end(writing: "asyncio.Future[None]") -> None:
    """Wait for a write, however often its computation is cancelled."""
    while not writing.done():
        # Who cancelled it waits for its end: see `_Flight._abandon`.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((writing,))
    writing.result()


def _encoded(key: str) -> bytes:
    check_instance("key", key, str)
    return key.encode("utf-8", "surrogatepass")


def _as_bytes(name: str, value: object, verb: str) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        refuse_type(name, value, f"{verb} `bytes`; encode text with `.encode()`")
    # The same object if it is exactly `bytes`.
    return bytes(value)
