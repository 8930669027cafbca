"""What the deliveries of a workflow's queue do: steps, and ends of runs for the hook."""

import asyncio
import logging
from typing import final

from taquba import _tracing
from taquba._context import current
from taquba._delivery import CoroutineFunction, Dispatcher, Work, describe, message
from taquba._port import Port
from taquba._taquba import Notification, Step
from taquba.workflow._errors import StepError
from taquba.workflow._telling import Telling

__all__ = ["StepDispatcher"]

_logger = logging.getLogger("taquba.workflow")


@final
class StepDispatcher(Dispatcher):
    """Runs steps and tells the hook.

    Args:
        port: The loop's door to the engine.
        run_step: Does a step.
        telling: Tells the hook that a run has ended.
    """

    def __init__(self, port: Port, run_step: CoroutineFunction, telling: Telling) -> None:
        super().__init__(port)
        self._run_step = run_step
        self._telling = telling

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
        task = asyncio.current_task()
        # In the task's own context: nobody else sees it.
        current.set(step)
        try:
            tracer, run_step = _tracing.active, self._run_step
            if tracer is None or step.header(tracer.field) is None:
                outcome = await run_step(step)
            else:
                outcome = await tracer.step(step, run_step)
        except BaseException as error:  # noqa: BLE001 - a runner may raise anything
            flush = self._settle_broken(step, error, task, self._settle_failed)
        else:
            flush = self._native.complete(step, outcome)
        finally:
            self._running.discard(task)
        if flush:
            self.port.arrange_flush()

    async def _notification(self, notification: Notification) -> None:
        task = asyncio.current_task()
        try:
            flush = await self._telling.tell(notification)
        except BaseException as error:  # noqa: BLE001 - a hook may raise anything
            failed = self._telling.settle_failed
            flush = self._settle_broken(notification, error, task, failed)
        finally:
            self._running.discard(task)
        self._flush_if(flush)

    def _settle_failed(self, step: Step, error: BaseException) -> bool:
        native = self._native
        if isinstance(error, StepError):
            if error.is_permanent:
                return native.dead_letter(None, step, message(error))
            return native.nack(None, step, message(error), None, error.retry_after)
        _logger.warning(
            "step %d of run %s failed on attempt %d",
            step.step_number,
            step.run_id,
            step.attempts,
            exc_info=error,
        )
        return native.nack(None, step, describe(error))
