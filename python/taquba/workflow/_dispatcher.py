"""The dispatcher: one task per delivery, and what becomes of it.

Invariants:
    1. Every delivery is settled once, or released: by its outcome, by its error, or because its
       task was cancelled or collected.
    2. Nothing a runner or hook does ends the dispatcher: its errors become verdicts.
    3. A running task is held here, because asyncio holds tasks weakly.

Not here:
    What a verdict leads to (retry, dead letter, end of the run) is the engine's decision.
"""

import asyncio
import functools
import logging
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, final

from taquba._port import Port
from taquba._taquba import Claim, Notification, Step
from taquba.workflow._errors import StepError
from taquba.workflow._runner import CoroutineFunction

__all__ = ["Dispatcher"]

_logger = logging.getLogger("taquba.workflow")

# A runner that does not end when cancelled must not hold up the shutdown for ever.
_INTERRUPT_TIMEOUT_SECONDS: Final = 5.0


@final
class Dispatcher:
    """Runs the deliveries of one subscription.

    Args:
        port: The loop's door to the engine.
        run_step: Does a step.
        tell_hook: Tells the hook that a run has ended.
    """

    def __init__(
        self, port: Port, run_step: CoroutineFunction, tell_hook: CoroutineFunction
    ) -> None:
        self._port = port
        self._native = port.native
        self._run_step = run_step
        self._tell_hook = tell_hook
        self._new_task = _task_maker(port.loop)
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Step | Notification | Claim) -> None:
        """Begin one delivery. Its first part runs at once, inside this call."""
        if type(work) is Step:
            task = self._new_task(self._step(work))
        elif type(work) is Notification:
            task = self._new_task(self._notification(work))
        else:
            self._flush_if(self._native.dead_letter(None, work, "it is no step of a run"))
            return
        if not task.done():
            self._running.add(task)

    async def drain(self, limit: timedelta) -> None:
        """Wait for the deliveries under way; after the limit, interrupt them.

        Args:
            limit: How long they may take. Interrupted ones are delivered again.
        """
        try:
            async with asyncio.timeout(limit.total_seconds()):
                await self._finish()
        except TimeoutError:
            _logger.warning("shutdown interrupts %d steps", len(self._running))
        finally:
            await self._interrupt()

    async def _finish(self) -> None:
        # Each tick of the loop starts some of them.
        while self._native.has_backlog():  # noqa: ASYNC110
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
            _logger.error("%d steps ignore their cancellation", len(self._running))
        self._native.flush()

    def _forget(self, waited: "tuple[set[asyncio.Task[None]], set[asyncio.Task[None]]]") -> None:
        # A task that was cancelled before it began could not remove itself.
        self._running -= waited[0]

    async def _step(self, step: Step) -> None:
        native = self._native
        try:
            outcome = await self._run_step(step)
        except Exception as error:  # noqa: BLE001 - a runner may raise anything
            flush = self._fail_step(step, error)
        except BaseException:
            self._flush_if(native.release(step))
            raise
        else:
            flush = native.complete(step, outcome)
        finally:
            self._running.discard(asyncio.current_task())
        if flush:
            self._port.arrange_flush()

    async def _notification(self, notification: Notification) -> None:
        native = self._native
        try:
            await self._tell_hook(notification.outcome)
        except Exception as error:
            _logger.warning("terminal hook failed", exc_info=error)
            flush = native.nack(None, notification, _describe(error))
        except BaseException:
            self._flush_if(native.release(notification))
            raise
        else:
            flush = native.ack(None, notification)
        finally:
            self._running.discard(asyncio.current_task())
        self._flush_if(flush)

    def _fail_step(self, step: Step, error: Exception) -> bool:
        if isinstance(error, StepError):
            settle = self._native.dead_letter if error.is_permanent else self._native.nack
            return settle(None, step, _message(error))
        _logger.warning(
            "step %d of run %s failed on attempt %d",
            step.step_number,
            step.run_id,
            step.attempts,
            exc_info=error,
        )
        return self._native.nack(None, step, _describe(error))

    def _flush_if(self, is_due: bool) -> None:  # noqa: FBT001 - what the native port returned
        if is_due:
            self._port.arrange_flush()


def _describe(error: BaseException) -> str:
    """Return type, message and last frame: what a failed delivery leaves behind."""
    text = f"{type(error).__name__}: {_message(error)}"
    frame = error.__traceback__
    if frame is None:
        return text
    while frame.tb_next is not None:
        frame = frame.tb_next
    code = frame.tb_frame.f_code
    return _storable(f"{text} ({code.co_filename}:{frame.tb_lineno} in {code.co_name})")


def _message(error: BaseException) -> str:
    try:
        return _storable(str(error))
    except Exception:  # noqa: BLE001 - a broken `__str__` must not hide the error
        return "<no message: its __str__ failed>"


def _storable(text: str) -> str:
    """Escape lone surrogates, which no UTF-8 can hold."""
    return text.encode(errors="backslashreplace").decode()


def _task_maker(
    loop: asyncio.AbstractEventLoop,
) -> Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]:
    if loop.get_task_factory() is not None:
        return loop.create_task
    if sys.version_info >= (3, 12):
        # A step that never waits then costs no trip through the loop. Not `loop.create_task`: not
        # every loop takes `eager_start` there (MagicStack/uvloop#754).
        return functools.partial(asyncio.Task, loop=loop, eager_start=True)
    return functools.partial(asyncio.Task, loop=loop)
