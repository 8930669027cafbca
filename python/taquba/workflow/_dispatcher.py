"""What the deliveries of a workflow's queue do: steps, and ends of runs for the hook."""

import asyncio
import logging
from typing import final

from taquba._delivery import (
    AbandonedCallsError,
    CoroutineFunction,
    Dispatcher,
    Work,
    describe,
    is_interruption,
    message,
)
from taquba._port import Port
from taquba._taquba import Notification, Step
from taquba.workflow._errors import StepError

__all__ = ["StepDispatcher"]

_logger = logging.getLogger("taquba.workflow")


@final
class StepDispatcher(Dispatcher):
    """Runs steps and tells the hook.

    Args:
        port: The loop's door to the engine.
        run_step: Does a step.
        tell_hook: Tells the hook that a run has ended.
    """

    def __init__(
        self, port: Port, run_step: CoroutineFunction, tell_hook: CoroutineFunction
    ) -> None:
        super().__init__(port)
        self._run_step = run_step
        self._tell_hook = tell_hook

    def start(self, work: Work) -> None:
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

    async def _step(self, step: Step) -> None:
        native, task = self._native, asyncio.current_task()
        try:
            outcome = await self._run_step(step)
        except AbandonedCallsError as error:
            flush = native.unclaim(step)
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - a runner may raise anything
            flush = self._fail_step(step, error)
        except BaseException as error:
            if is_interruption(error, task):
                self._flush_if(native.release(step))
                raise
            flush = self._fail_step(step, error)
        else:
            flush = native.complete(step, outcome)
        finally:
            self._running.discard(task)
        if flush:
            self.port.arrange_flush()

    async def _notification(self, notification: Notification) -> None:
        native, task = self._native, asyncio.current_task()
        try:
            await self._tell_hook(notification.outcome)
        except AbandonedCallsError as error:
            flush = native.unclaim(notification)
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - a hook may raise anything
            flush = self._fail_notification(notification, error)
        except BaseException as error:
            if is_interruption(error, task):
                self._flush_if(native.release(notification))
                raise
            flush = self._fail_notification(notification, error)
        else:
            flush = native.ack(None, notification)
        finally:
            self._running.discard(task)
        self._flush_if(flush)

    def _fail_notification(self, notification: Notification, error: BaseException) -> bool:
        _logger.warning("terminal hook failed", exc_info=error)
        return self._native.nack(None, notification, describe(error))

    def _fail_step(self, step: Step, error: BaseException) -> bool:
        if isinstance(error, StepError):
            settle = self._native.dead_letter if error.is_permanent else self._native.nack
            return settle(None, step, message(error))
        _logger.warning(
            "step %d of run %s failed on attempt %d",
            step.step_number,
            step.run_id,
            step.attempts,
            exc_info=error,
        )
        return self._native.nack(None, step, describe(error))
