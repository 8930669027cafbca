"""The event loop behind the blocking calls: one thread for the whole process.

Invariants:
    1. The thread starts with the first call, not with the import, and ends before the interpreter
       does: a thread that is caught inside a compiled function by the end could abort the process.
    2. A forked child has no thread; its first call starts one of its own.
    3. A call that is interrupted, by Ctrl-C for example, is cancelled; what it had taken by then is
       given back.
"""

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, final

from taquba import queue as _queue  # noqa: F401 - registers its own end first

__all__ = ["begin", "loop", "run"]

_T = TypeVar("_T")

_END_TIMEOUT_SECONDS: Final = 5.0
_CANCEL_TIMEOUT_SECONDS: Final = 2.0


@final
class _LoopThread:
    """A daemon thread that runs an event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="taquba-sync", daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Stop the loop and wait for the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(_END_TIMEOUT_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
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
        self._has_ended = False

    def thread(self) -> _LoopThread:
        """Return the thread, started by the first caller."""
        with self._lock:
            if self._has_ended:
                message = "the process is ending: a blocking call could wait for ever"
                raise RuntimeError(message)
            if self._thread is None:
                self._thread = _LoopThread()
            return self._thread

    def hold_if_ended(self) -> None:
        """Keep a thread that waits for ever from going on while the process ends.

        It is a daemon thread: others have been waited for.
        """
        if self._has_ended:
            threading.Event().wait()

    def end(self) -> None:
        """End the thread, if there is one."""
        with self._lock:
            self._has_ended = True
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


def run(coroutine: Coroutine[Any, Any, _T], give_back: Callable[[_T], None] | None = None) -> _T:
    """Run a coroutine over there, and wait for its result.

    Args:
        coroutine: What to run.
        give_back: Undoes a result that came when the wait was just being interrupted.
    """
    future: concurrent.futures.Future[_T] = concurrent.futures.Future()
    try:
        begin(coroutine, future, give_back)
        return future.result()
    except concurrent.futures.CancelledError:
        _process.hold_if_ended()
        raise
    except BaseException:
        future.cancel()
        raise


def begin(
    coroutine: Coroutine[Any, Any, _T],
    future: "concurrent.futures.Future[_T]",
    give_back: Callable[[_T], None] | None = None,
) -> None:
    """Run a coroutine over there. Cancelling the future cancels it, at any time.

    Not `asyncio.run_coroutine_threadsafe`: interrupted before it returns, nobody would have what
    cancels the coroutine.

    Args:
        coroutine: What to run.
        future: Gets its result.
        give_back: Undoes a result that came after the future was cancelled.
    """
    try:
        loop().call_soon_threadsafe(_start, coroutine, future, give_back)
    except RuntimeError:
        coroutine.close()
        raise


def _start(
    coroutine: Coroutine[Any, Any, _T],
    future: "concurrent.futures.Future[_T]",
    give_back: Callable[[_T], None] | None,
) -> None:
    if future.cancelled():
        coroutine.close()
        return
    here = asyncio.get_running_loop()
    task = here.create_task(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    task.add_done_callback(lambda task: _hand_over(task, future, give_back))

    def cancel_task(future: "concurrent.futures.Future[_T]") -> None:
        if future.cancelled() and not here.is_closed():
            here.call_soon_threadsafe(task.cancel)

    future.add_done_callback(cancel_task)


def _hand_over(
    task: "asyncio.Task[_T]",
    future: "concurrent.futures.Future[_T]",
    give_back: Callable[[_T], None] | None,
) -> None:
    if task.cancelled():
        future.cancel()
        return
    error = task.exception()
    if not future.set_running_or_notify_cancel():
        if error is None and give_back is not None:
            give_back(task.result())
    elif error is None:
        future.set_result(task.result())
    else:
        future.set_exception(error)
