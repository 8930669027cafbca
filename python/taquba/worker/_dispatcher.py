"""What the deliveries of a worker's queue do."""

import asyncio
import logging
from typing import final

from taquba import _tracing
from taquba._delivery import (
    CoroutineFunction,
    Dispatcher,
    Work,
    ack_with,
    describe,
    message,
)
from taquba._port import Port
from taquba._taquba import Claim
from taquba.queue import Effects
from taquba.worker._errors import (
    JobTimeoutError,
    PermanentFailure,
    Postponed,
    TransientFailure,
)

__all__ = ["JobDispatcher"]

_logger = logging.getLogger("taquba.worker")


@final
class JobDispatcher(Dispatcher):
    """Runs jobs.

    Args:
        port: The loop's door to the engine.
        process: Does a job.
    """

    def __init__(self, port: Port, process: CoroutineFunction) -> None:
        super().__init__(port)
        self._process = process

    def start(self, work: Work) -> None:
        """Begin one delivery. Its first part runs at once, inside this call."""
        if type(work) is not Claim:
            text = "it is a step of a run: start a `WorkflowRuntime` on this queue"
            self._flush_if(self._native.nack(None, work, text))
            return
        task = self._new_task(self._job(work))
        if not task.done():
            self._running.add(task)

    async def _job(self, job: Claim) -> None:
        native, task = self._native, asyncio.current_task()
        try:
            tracer, process = _tracing.active, self._process
            if tracer is None or job.header(tracer.field) is None:
                effects = await process(job)
            else:
                effects = await tracer.job(job, process)
            flush = native.ack(None, job) if effects is None else await self._apply(job, effects)
        except BaseException as error:  # noqa: BLE001 - a worker may raise anything
            flush = self._settle_broken(job, error, task, self._settle_failed)
        finally:
            self._running.discard(task)
        self._flush_if(flush)

    def _settle_failed(self, job: Claim, error: BaseException) -> bool:
        native = self._native
        if isinstance(error, PermanentFailure):
            return native.dead_letter(None, job, message(error))
        if isinstance(error, TransientFailure):
            return native.nack(None, job, message(error), None, error.retry_after)
        if isinstance(error, Postponed):
            _logger.debug("job %s is put off: %s", job.job_id, error)
            return native.postpone(job, error.retry_after)
        if isinstance(error, JobTimeoutError):
            return native.nack(None, job, message(error))
        _logger.warning("job %s failed on attempt %d", job.job_id, job.attempts, exc_info=error)
        return native.nack(None, job, describe(error))

    async def _apply(self, job: Claim, effects: object) -> bool:
        """Settle with what a worker returned, and hear whether it was accepted."""
        if not isinstance(effects, Effects):
            kind = type(effects).__name__
            text = f"the worker returned `{kind}`: return `None` or `Effects`"
            return self._native.dead_letter(None, job, text)
        if not await ack_with(self.port, job, effects):
            _logger.warning("job %s was done too late", job.job_id)
        return False
