"""The dispatcher: one task per delivery.

Invariants:
    1. Every delivery is settled, or released: by what it returned or raised, or because its task
       was cancelled or collected.
    2. Nothing a runner, hook or worker does ends the dispatcher: its errors become verdicts. But
       too many abandoned threads end the work; see `_threads.py`.
       `SystemExit` and `KeyboardInterrupt` of a coroutine end the event loop, as everywhere.
    3. A running task is held here, because asyncio holds tasks weakly.

Not here:
    What a delivery does is in `workflow/_dispatcher.py` and `worker/_dispatcher.py`; what a verdict
    leads to (retry, dead letter, end of the run) is the engine's decision.
"""

import asyncio
import functools
import logging
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, Never, TypeVar

from taquba._delivery._failure import describe
from taquba._delivery._threads import AbandonedCallsError
from taquba._port import Port
from taquba._taquba import Claim, Notification, Step

__all__ = ["Dispatcher", "Work", "is_interruption", "settled_as_failed"]

Work = Step | Notification | Claim
"""One delivery."""

_W = TypeVar("_W", Step, Notification, Claim)

_logger = logging.getLogger("taquba.delivery")

# A runner that does not end when cancelled must not hold up the shutdown for ever.
_INTERRUPT_TIMEOUT_SECONDS: Final = 5.0

# Turns that hand back what waits for one. 128 deliveries each: a full subscription needs 782.
_HAND_BACK_TURN_COUNT_MAX: Final = 1_000


class Dispatcher:
    """Runs the deliveries of one subscription. A subclass says what each of them does.

    Args:
        port: The loop's door to the engine.
    """

    def __init__(self, port: Port) -> None:
        self.port = port
        self._native = port.native
        self._new_task = _task_maker(port.loop)
        self._running: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[Never] = port.loop.create_future()
        """Fails when the work cannot go on."""

    def start(self, work: Work) -> None:
        """Begin one delivery. Its first part runs at once, inside this call."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """Have the work end with an error."""
        if not self.failed.done():
            _logger.error("the work ends: %s", error)
            self.failed.set_exception(error)

    async def drain(self, limit: timedelta) -> None:
        """Wait for the deliveries under way; after the limit, interrupt them.

        Called when the subscription is forgotten: what waits for a turn is handed back by it.

        Args:
            limit: How long they may take. Interrupted ones are delivered again.
        """
        try:
            async with asyncio.timeout(limit.total_seconds()):
                await self._finish()
        except TimeoutError:
            _logger.warning("shutdown interrupts %d deliveries", len(self._running))
        finally:
            await self._interrupt()

    async def _finish(self) -> None:
        # Not for as long as there are any: most may be those of another subscription.
        for _ in range(_HAND_BACK_TURN_COUNT_MAX):
            if not self._native.has_backlog():
                break
            await asyncio.sleep(0)
        while self._running:
            self._forget(await asyncio.wait(self._running.copy()))

    async def _interrupt(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            tasks = self._running.copy()
            self._forget(await asyncio.wait(tasks, timeout=_INTERRUPT_TIMEOUT_SECONDS))
        if self._running:
            _logger.error("%d deliveries ignore their cancellation", len(self._running))
        self._native.flush()

    def _forget(self, waited: "tuple[set[asyncio.Task[None]], set[asyncio.Task[None]]]") -> None:
        # A task that was cancelled before it began could not remove itself.
        self._running -= waited[0]

    def _settle_broken(
        self,
        work: _W,
        error: BaseException,
        task: "asyncio.Task[None] | None",
        settle_failed: Callable[[_W, BaseException], bool],
    ) -> bool:
        """Settle a delivery that raised. What came from outside is raised again.

        Args:
            work: The delivery.
            error: What came out of it.
            task: Its task.
            settle_failed: Settles one whose runner, hook or worker has failed.

        Returns:
            Whether a flush is due.
        """
        if type(error) is AbandonedCallsError:
            is_due = self._native.unclaim(work)
            self.fail(error)
            return is_due
        if is_interruption(error, task):
            self._flush_if(self._native.release(work))
            _logger.debug("a delivery was interrupted: %r", work)
            try:
                raise error
            finally:
                # The traceback holds this frame.
                del error
        return settled_as_failed(self.port, work, error, settle_failed)

    def _flush_if(self, is_due: bool) -> None:  # noqa: FBT001 - what the native port returned
        if is_due:
            self.port.arrange_flush()


def settled_as_failed(
    port: Port, work: _W, error: BaseException, settle_failed: Callable[[_W, BaseException], bool]
) -> bool:
    """Settle a delivery that has failed, also if saying how fails as well.

    Args:
        port: The loop's door to the engine.
        work: The delivery.
        error: What came out of it.
        settle_failed: Settles it.

    Returns:
        Whether a flush is due.
    """
    try:
        return settle_failed(work, error)
    except Exception as broken:  # noqa: BLE001 - an odd error, or a log filter that raises
        port.arrange_flush()
        return port.native.nack(None, work, describe(broken))


def is_interruption(error: BaseException, task: "asyncio.Task[None] | None") -> bool:
    """Return whether a delivery ended from outside, and not by what its worker did.

    A worker that awaits a task that somebody else cancelled gets a `CancelledError` too: that is a
    failure like any other.

    Args:
        error: What came out of the worker.
        task: The task of the delivery.
    """
    if isinstance(error, Exception):
        return False
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return True
    if task is None or task.cancelling() > 0:
        return True
    return isinstance(error, GeneratorExit) and _current_task() is not task


def _current_task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        # The task is collected after its loop.
        return None


def _task_maker(
    loop: asyncio.AbstractEventLoop,
) -> Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]:
    if loop.get_task_factory() is not None:
        return loop.create_task
    if sys.version_info >= (3, 12):
        # A delivery that never waits then costs no trip through the loop. Not `loop.create_task`:
        # not every loop takes `eager_start` there (MagicStack/uvloop#754).
        return functools.partial(asyncio.Task, loop=loop, eager_start=True)
    return functools.partial(asyncio.Task, loop=loop)
