"""The event loop behind the blocking calls: one thread for the whole process.

Invariants:
    1. The thread starts with the first call, not with the import, and ends before the interpreter
       does: a thread that is caught inside a compiled function by the end could abort the process.
    2. A forked child has no thread; its first call starts one of its own.
    3. A call that is interrupted, by Ctrl-C for example, is cancelled; what it had taken by then is
       given back.
    4. The thread waits for no caller: an exception of a signal handler may leave a lock of the
       caller's held for ever, so the two share none. What is handed over goes through queues that
       survive an interruption at any moment.
    5. Nothing that runs over there ends the thread.
"""

import asyncio
import atexit
import concurrent.futures
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, Generic, ParamSpec, TypeVar, final

from taquba import queue as _queue  # noqa: F401 - registers its own end first

__all__ = ["Call", "has_ended", "loop", "run", "take"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_logger = logging.getLogger("taquba.sync")

_END_TIMEOUT_SECONDS: Final = 5.0
_CANCEL_TIMEOUT_SECONDS: Final = 2.0


@final
class _LoopThread:
    """A daemon thread that runs an event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="taquba-sync", daemon=True)
        self._is_ending = False
        try:
            self.thread.start()
        except BaseException:
            # Interrupted: nobody will know of this thread.
            self._stop()
            raise

    def end(self) -> None:
        """Stop the loop and wait for the thread."""
        self._stop()
        self.thread.join(_END_TIMEOUT_SECONDS)

    def _stop(self) -> None:
        self._is_ending = True
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._is_ending and not self.loop.is_closed():
            try:
                self.loop.run_forever()
            except BaseException:
                # `sys.exit` in a coroutine: others wait for this loop, so it goes on.
                _logger.exception("an exception came out of the event loop behind taquba.sync")
        # Whoever still waits for one of these waits in a daemon thread.
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=_CANCEL_TIMEOUT_SECONDS))
        self.loop.close()


@final
class _Process:
    """What this process has: no thread yet, one, or none any more."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: after a fork the thread stayed in the parent."""
        self._lock = threading.Lock()
        self._thread: _LoopThread | None = None
        self.has_ended = False

    def thread(self) -> _LoopThread:
        """Return the thread, started by the first caller."""
        with self._lock:
            if self.has_ended:
                message = "the process is ending: a blocking call could wait for ever"
                raise RuntimeError(message)
            if self._thread is None:
                self._thread = _LoopThread()
            return self._thread

    def hold_if_ended(self) -> None:
        """Keep a thread that waits for ever from going on while the process ends.

        It is a daemon thread: others have been waited for.
        """
        if self.has_ended:
            threading.Event().wait()

    def end(self) -> None:
        """End the thread, if there is one."""
        with self._lock:
            self.has_ended = True
            thread = self._thread
        if thread is not None:
            thread.end()


# asyncio holds tasks weakly, and a caller that was interrupted holds nothing.
_tasks: Final[set[asyncio.Task[Any]]] = set()

_process: Final = _Process()
os.register_at_fork(after_in_child=_process.forget)
# Registered after `taquba.queue` has registered the closing of queues, so done before that.
atexit.register(_process.end)


def loop() -> asyncio.AbstractEventLoop:
    """Return the event loop behind the blocking calls."""
    current = _process.thread()
    if threading.current_thread() is current.thread:
        message = "a blocking call inside taquba's own thread would wait for itself"
        raise RuntimeError(message)
    return current.loop


def has_ended() -> bool:
    """Return whether the process is ending: no call is answered any more."""
    return _process.has_ended


def run(function: Callable[_P, Coroutine[Any, Any, _T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a coroutine function over there, and wait for its result.

    Args:
        function: What to run. Called over there as well: a coroutine that the caller made could
            be lost by an interruption.
        *args: Its arguments.
        **kwargs: The same.
    """
    return take(_keep, function, *args, **kwargs)


def take(
    give_back: Callable[[_T], None],
    function: Callable[_P, Coroutine[Any, Any, _T]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _T:
    """Do as `run` does, for a result that is somebody's.

    Args:
        give_back: Undoes a result whose caller was interrupted. Called over there.
        function: What to run.
        *args: Its arguments.
        **kwargs: The same.
    """
    call = Call(lambda: function(*args, **kwargs), give_back)
    try:
        call.begin()
        call.wait()
        # Inside: interrupted before the result is returned, the caller has not got it.
        return call.result()
    except BaseException:
        call.withdraw()
        raise


def _keep(_: object) -> None:
    """Undo nothing."""


@final
class Call(Generic[_T]):
    """A coroutine over there, and what became of it.

    Not `asyncio.run_coroutine_threadsafe`: its future has a lock that an interrupted caller may
    keep, and interrupted before it returns, nobody would have what cancels the coroutine.

    Args:
        make: Makes the coroutine. Called over there.
        give_back: Undoes a result that came after the call was withdrawn. Called over there.
    """

    def __init__(
        self,
        make: Callable[[], Coroutine[Any, Any, _T]],
        give_back: Callable[[_T], None] = _keep,
    ) -> None:
        self._make = make
        self._give_back = give_back
        self._loop = loop()
        # Over there only, and no longer than it runs: tasks are freed by their own thread.
        self._task: asyncio.Task[_T] | None = None
        self._is_withdrawn = False
        # Written over there, read when the caller is told to.
        self._outcome: _Outcome[_T] | None = None
        self._arrivals: SimpleQueue[None] = SimpleQueue()

    def begin(self) -> None:
        """Have it run. Twice is fine."""
        self._loop.call_soon_threadsafe(self._start)

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._outcome is not None

    def wait(self) -> None:
        """Wait for its end, whatever that is. Called once, or again when interrupted."""
        if self._outcome is None:
            self._arrivals.get()

    def result(self) -> _T:
        """Return what it returned, or raise what it raised."""
        outcome = self._outcome
        assert outcome is not None, "the caller has waited"  # noqa: S101 - an invariant of ours
        if isinstance(outcome, _Returned):
            return outcome.result
        if isinstance(outcome.error, asyncio.CancelledError):
            _process.hold_if_ended()
            raise concurrent.futures.CancelledError
        raise outcome.error

    def tell(self, what: Callable[[], object]) -> None:
        """Have something called over there; nothing is, once the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)

    def withdraw(self) -> None:
        """Cancel it, and give back what it has brought."""
        self.tell(self._withdraw)

    def _start(self) -> None:
        if self._is_withdrawn or self._task is not None or self._outcome is not None:
            return
        # In a coroutine of ours, because one may fail to be made.
        self._task = self._loop.create_task(self._run())
        _tasks.add(self._task)
        self._task.add_done_callback(self._arrive)

    async def _run(self) -> _T:
        return await self._make()

    def _arrive(self, task: "asyncio.Task[_T]") -> None:
        _tasks.discard(task)
        self._task = None
        self._outcome = _outcome_of(task)
        if self._is_withdrawn:
            self._undo(self._outcome)
        self._arrivals.put(None)

    def _withdraw(self) -> None:
        if self._is_withdrawn:
            return
        self._is_withdrawn = True
        if self._outcome is not None:
            self._undo(self._outcome)
        elif self._task is not None:
            self._task.cancel()

    def _undo(self, outcome: "_Outcome[_T]") -> None:
        if isinstance(outcome, _Returned):
            self._give_back(outcome.result)


@final
@dataclass(frozen=True, slots=True)
class _Returned(Generic[_T]):
    """A result."""

    result: _T


@final
@dataclass(frozen=True, slots=True)
class _Raised:
    """An error; that of a cancelled coroutine is a `CancelledError`."""

    error: BaseException


_Outcome = _Returned[_T] | _Raised


def _outcome_of(task: "asyncio.Task[_T]") -> _Outcome[_T]:
    if task.cancelled():
        return _Raised(asyncio.CancelledError())
    error = task.exception()
    return _Returned(task.result()) if error is None else _Raised(error)
