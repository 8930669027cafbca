"""Telling the hook that a run has ended: by the runtime that works, or by whoever cancelled.

Invariants:
    1. The hook is called before its notification is settled, so a crash between the two repeats it.
    2. What the hook stages happens in the commit that settles the notification, or not at all.
    3. A hook that fails changes nothing of the run: it is told again, with backoff.
    4. The end is noted for the sweep of memos whatever the hook does, and the hook is told whatever
       becomes of that: it needs another store. If it fails, both are done again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final, final

from taquba import _tracing
from taquba._checks import refuse_type
from taquba._context import current
from taquba._counters import HOOK_CALLS
from taquba._delivery import (
    CoroutineFunction,
    ack_with,
    describe,
    is_interruption,
    settled_as_failed,
)
from taquba._port import Port
from taquba._taquba import Notification
from taquba.queue import Effects
from taquba.workflow._status import TerminalStatus

__all__ = ["Telling"]

# What metrics call the end of a call.
_ENDS: Final = {asyncio.CancelledError: "interrupted", GeneratorExit: "interrupted"}

_logger = logging.getLogger("taquba.workflow")


@final
class NotMarkedError(Exception):
    """The end of a run could not be noted for the sweep of its memos."""

    def __str__(self) -> str:
        """Say what it comes to."""
        return f"the end is not marked in the store of memos ({self.__cause__})"


@final
class Telling:
    """What a notification does.

    Args:
        port: The loop's door to the engine.
        tell_hook: Calls the hook.
        observed: The ends that the hook hears of. Others are only noted.
        note_end: Notes that a run has ended; `None` for no need.
    """

    def __init__(
        self,
        port: Port,
        tell_hook: CoroutineFunction,
        observed: Collection[TerminalStatus],
        note_end: Callable[[str], Awaitable[None]] | None,
    ) -> None:
        self._port = port
        self._tell_hook = tell_hook
        self._observed = observed
        self._note_end = note_end

    async def tell(self, notification: Notification) -> bool:
        """Tell the hook and settle, and return whether a flush is due.

        Raises:
            BaseException: What the hook raised, or that it returned nonsense.
        """
        outcome = notification.outcome
        failed = await self._try_note(outcome.run_id)
        effects = None
        if outcome.status in self._observed:
            with HOOK_CALLS.measured(_ENDS):
                tracer, tell = _tracing.active, self._tell_hook
                if tracer is None or tracer.field not in outcome.headers:
                    effects = await tell(outcome)
                else:
                    effects = await tracer.hook(outcome, tell)
        elif self._note_end is None:
            # Somebody asked for it, and this runtime took it.
            text = "nobody is told that run %s has ended (%s): the hook does not observe that"
            _logger.warning(text, outcome.run_id, outcome.status)
        if failed is not None:
            raise NotMarkedError from failed
        if effects is None:
            return self._port.native.ack(None, notification)
        if not isinstance(effects, Effects):
            refuse_type("effects", effects, "return `None` or `Effects` from the hook")
        if not await ack_with(self._port, notification, effects):
            _logger.warning("the hook staged effects too late: run %s", outcome.run_id)
        return False

    async def _try_note(self, run_id: str) -> Exception | None:
        if self._note_end is None:
            return None
        try:
            await self._note_end(run_id)
        except Exception as error:  # noqa: BLE001 - raised when the hook has been told
            return error
        return None

    def settle_failed(self, notification: Notification, error: BaseException) -> bool:
        """Have it told again later, and return whether a flush is due."""
        run_id = notification.outcome.run_id
        if isinstance(error, NotMarkedError):
            _logger.warning("%s: run %s", error, run_id, exc_info=error.__cause__)
        else:
            _logger.warning("terminal hook failed: run %s", run_id, exc_info=error)
        return self._port.native.nack(None, notification, describe(error))

    async def tell_once(self, notification: Notification) -> None:
        """Tell the hook, whatever comes of it; if it fails, a runtime tells it again.

        Cancellation: the notification is handed back, and the hook told by a runtime.
        """
        # Whoever cancels may be a runner: the hook is not part of its step.
        token = current.set(None)
        try:
            is_due = await self.tell(notification)
        except BaseException as error:
            if is_interruption(error, asyncio.current_task()):
                if self._port.native.release(notification):
                    self._port.arrange_flush()
                raise
            is_due = settled_as_failed(self._port, notification, error, self.settle_failed)
        finally:
            current.reset(token)
        if is_due:
            self._port.arrange_flush()
