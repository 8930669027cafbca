"""Memos as objects of their own, in any store, and marks of the ends of runs beside them.

`<prefix>/memos/<run id>/<step number>/<SHA-256 of the key, in hex>` holds a value,
`<prefix>/terminals/<milliseconds, 20 digits>_<run id>` says when a run ended. The names, and the
bytes of an object, are the engine's business.

Invariants:
    1. Whoever is made for the same store and prefix sees the same memos.
    2. What was written is found by the whole run id, never by the beginning of one.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, final

from taquba import _taquba
from taquba._checks import check_count, check_instance
from taquba.memo._door import Doors
from taquba.memo._memo import Memo
from taquba.store import StoreLike, resolve

if TYPE_CHECKING:
    from taquba.queue import Queue

__all__ = ["MemoStore", "TerminalMarker"]

_logger = logging.getLogger("taquba.memo")

_STEP_NUMBER_MAX: Final = 2**32 - 1
_INSTANT_MS_MAX: Final = 2**64 - 1

# Shorter than any lease that a delivery can have: asking for it changes none.
_SHORTEST: Final = timedelta(milliseconds=1)


@final
@dataclass(frozen=True, slots=True)
class TerminalMarker:
    """A run has ended.

    Args:
        run_id: Which run.
        terminal_at_ms: When it ended, in milliseconds since 1970 in UTC.

    Raises:
        InvalidRunIdError: `run_id` is not a run id.
        InvalidArgumentError: `terminal_at_ms` is not 0 to 2^64 - 1.
    """

    run_id: str
    terminal_at_ms: int

    def __post_init__(self) -> None:
        """Check both."""
        _taquba.check_run_id(self.run_id)
        check_count("terminal_at_ms", self.terminal_at_ms, _INSTANT_MS_MAX, minimum=0)


@final
class MemoStore:
    """Memos as objects of a store of your choice: `WorkflowRuntime(..., memo_store=...)`.

    Without one, memos are rows of the queue's log, which costs less and needs no care. Take a
    store of memos for large values that the queue's store should not hold, for another retention,
    or to read memos from another process. A re-submitted run id finds the memos of its
    predecessor, if they are still there.

    A prefix belongs to one queue, and to one retention: runtimes sweep what they find there.

    Usable from several event loops. Close it, or use it with `async with`, to give back the
    descriptor that each loop has for it.

    Args:
        store: A URL, a directory, or a store object; see `taquba.store`.
        prefix: Where in the store. The queue's own path is fine.
        fsync: On a local disk: whether files and directories are synced before a call returns.

    Raises:
        InvalidStoreError: The store or the prefix cannot be used as given.

    Example:
        >>> async with MemoStore("s3://bucket/agents") as memos:
        ...     async with WorkflowRuntime(queue, runner, memo_store=memos) as runtime:
        ...         await runtime.submit(RunSpec(b"hello"))
    """

    def __init__(self, store: StoreLike, prefix: str = "taquba", *, fsync: bool = True) -> None:
        _taquba.check_text("prefix", prefix)
        check_instance("fsync", fsync, bool)
        self._native = _taquba.MemoStore(resolve(store), prefix, fsync=fsync)
        self._doors = Doors(self._native.name)

    def new_memo(self, run_id: str, step_number: int) -> Memo:
        """Return the memo of a step, whether or not that is being delivered.

        Nobody checks that what it writes comes from the step: that is yours to see to.

        Args:
            run_id: The step's run.
            step_number: The step, 0 to 2^32 - 1.

        Raises:
            InvalidRunIdError: `run_id` is not a run id.
            InvalidArgumentError: `step_number` is outside its bounds.
        """
        _taquba.check_run_id(run_id)
        check_count("step_number", step_number, _STEP_NUMBER_MAX, minimum=0)
        return Memo(_Objects(self._native, self._doors, run_id, step_number))

    async def clear_memos_for_run(self, run_id: str) -> int:
        """Delete the memos of a run, of all its steps.

        One that cannot be deleted is logged and does not keep the others.

        Cancellation: the deletion goes on even if the awaiting task is cancelled.

        Args:
            run_id: Exactly this run: `run` leaves `run-suffix` alone.

        Returns:
            How many were deleted.

        Raises:
            InvalidRunIdError: `run_id` is not a run id.
            StoreUnavailableError: The store did not list them in time.
            ClosedError: This is closed.
        """
        count, failed = await self._doors.call(self._native.clear, run_id)
        _log_failed(failed)
        return count

    async def write_terminal_marker(self, run_id: str, terminal_at_ms: int) -> None:
        """Mark that a run has ended. Marking it again changes nothing.

        Durable: when this returns, the mark is in the object store.

        Cancellation: the write finishes even if the awaiting task is cancelled.

        Args:
            run_id: Which run.
            terminal_at_ms: When it ended, in milliseconds since 1970 in UTC.

        Raises:
            InvalidRunIdError: `run_id` is not a run id.
            InvalidArgumentError: `terminal_at_ms` is not 0 to 2^64 - 1.
            StoreUnavailableError: The store did not answer in time.
            ClosedError: This is closed.
        """
        marker = TerminalMarker(run_id, terminal_at_ms)
        await self._doors.call(self._native.write_marker, marker.run_id, marker.terminal_at_ms)

    async def list_terminal_markers(self) -> list[TerminalMarker]:
        """Read all marks of ended runs.

        What is no mark is skipped and logged.

        Returns:
            The marks, oldest first.

        Raises:
            StoreUnavailableError: The store did not answer in time.
            ClosedError: This is closed.
        """
        found, skipped = await self._doors.call(self._native.list_markers)
        for place in skipped:
            _logger.warning("%s marks no end of a run: skipped", place)
        return [TerminalMarker(run_id, terminal_at_ms) for run_id, terminal_at_ms in found]

    async def delete_terminal_marker(self, marker: TerminalMarker) -> None:
        """Delete a mark. One that is not there is as good as deleted.

        Cancellation: the deletion goes on even if the awaiting task is cancelled.

        Args:
            marker: Which one.

        Raises:
            StoreUnavailableError: The store did not answer in time.
            ClosedError: This is closed.
        """
        check_instance("marker", marker, TerminalMarker)
        await self._doors.call(self._native.delete_marker, marker.run_id, marker.terminal_at_ms)

    async def close(self) -> None:
        """Give back what the event loops have for it. Closing twice is fine.

        Calls of this loop that are under way get their answers first.
        """
        await self._doors.close()

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
        """Show place and state."""
        state = "closed" if self._doors.is_closed else "open"
        return f"MemoStore({self._native.name!r}, {state})"

    def memos_for(self, queue: "Queue") -> Callable[[_taquba.MemoScope], Memo]:
        """Return what makes the memos of a queue's steps. Not for users.

        Args:
            queue: The steps' queue, which knows whose claim is live.
        """

        def memo(scope: _taquba.MemoScope) -> Memo:
            claim = _LiveClaim(queue, scope)
            objects = _Objects(self._native, self._doors, scope.run_id, scope.step_number, claim)
            return Memo(objects)

        return memo

    async def begin_sweep(self, last: TerminalMarker, due_ms: int) -> _taquba.MemoSweep | None:
        """Look for what may go of a run that has ended. Not for users.

        Whether the run goes on again is to be asked between this and `finish_sweep`.

        Args:
            last: The last mark of the run's end. What is younger than it stays.
            due_ms: What is older than this, in milliseconds since 1970, may go all the same.

        Returns:
            What may go, to be closed; `None` if somebody else sees to it.
        """
        begin = self._native.begin_sweep
        return await self._doors.call(begin, last.run_id, last.terminal_at_ms, due_ms)

    async def finish_sweep(self, sweep: _taquba.MemoSweep) -> bool:
        """Delete what may go, and return whether nothing was left behind. Not for users.

        If a memo of the run was written since the look, or read by a step, all of it stays. Who
        does so meanwhile waits.

        Args:
            sweep: What may go.
        """
        _, failed, kept_count = await self._doors.call(self._native.finish_sweep, sweep)
        _log_failed(failed)
        return not failed and not kept_count


@final
class _LiveClaim:
    """Whether a delivery of a step is still its holder's."""

    __slots__ = ("_queue", "_scope")

    def __init__(self, queue: "Queue", scope: _taquba.MemoScope) -> None:
        self._queue = queue
        self._scope = scope

    async def check(self) -> None:
        """Raise `ClaimLostError` if it is not."""
        port = self._queue.port()
        await port.call(port.native.renew, self._scope, _SHORTEST, at_least=True)


@final
class _Objects:
    """The memos of one step."""

    __slots__ = ("_claim", "_doors", "_native", "_run_id", "_step_number")

    def __init__(
        self,
        native: _taquba.MemoStore,
        doors: Doors,
        run_id: str,
        step_number: int,
        claim: _LiveClaim | None = None,
    ) -> None:
        self._native = native
        self._doors = doors
        self._run_id = run_id
        self._step_number = step_number
        self._claim = claim

    async def get(self, key: bytes) -> bytes | None:
        # Reading with a claim that is over is refused as in a queue's log: the next holder may be
        # writing.
        await self._check()
        get, by_step = self._native.get, self._claim is not None
        return await self._doors.call(get, self._run_id, self._step_number, key, by_step=by_step)

    async def put(self, key: bytes, value: bytes) -> None:
        await self._check()
        put = self._native.put
        await self._doors.call(put, self._run_id, self._step_number, key, value)

    async def _check(self) -> None:
        if self._claim is not None:
            await self._claim.check()

    def __repr__(self) -> str:
        place = f"store={self._native.name!r}, " if self._claim is None else ""
        return f"{place}run_id={self._run_id!r}, step_number={self._step_number}"


def _log_failed(failed: Iterable[tuple[str, str]]) -> None:
    for place, error in failed:
        _logger.warning("the memo at %s could not be deleted: %s", place, error)
