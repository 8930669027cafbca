"""What the deliveries of a worker's queue do."""

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
from taquba._taquba import Claim
from taquba.exceptions import ClaimLostError, Recovery, TaqubaError
from taquba.queue import Effects
from taquba.queue._effects import staged
from taquba.worker._errors import JobTimeoutError, PermanentFailure

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
            effects = await self._process(job)
            flush = native.ack(None, job) if effects is None else await self._apply(job, effects)
        except PermanentFailure as failure:
            flush = native.dead_letter(None, job, message(failure))
        except JobTimeoutError as error:
            flush = native.nack(None, job, message(error))
        except AbandonedCallsError as error:
            flush = native.unclaim(job)
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - a worker may raise anything
            flush = self._fail_job(job, error)
        except BaseException as error:
            if is_interruption(error, task):
                self._flush_if(native.release(job))
                raise
            flush = self._fail_job(job, error)
        finally:
            self._running.discard(task)
        self._flush_if(flush)

    def _fail_job(self, job: Claim, error: BaseException) -> bool:
        _logger.warning("job %s failed on attempt %d", job.job_id, job.attempts, exc_info=error)
        return self._native.nack(None, job, describe(error))

    async def _apply(self, job: Claim, effects: object) -> bool:
        """Settle with what a worker returned, and hear whether it was accepted."""
        port, native = self.port, self._native
        if not isinstance(effects, Effects):
            kind = type(effects).__name__
            text = f"the worker returned `{kind}`: return `None` or `Effects`"
            return native.dead_letter(None, job, text)
        try:
            # As `Queue.ack_with` does: memory does not grow with effects that wait.
            while not native.has_room():
                await port.call(native.await_room)
            await port.call(native.ack, job, staged(effects))
        except ClaimLostError:
            _logger.warning("job %s was done too late", job.job_id)
        except TaqubaError as error:
            if error.recovery is Recovery.FIX_INPUT:
                raise
            # The store is lost: the loop that runs this worker is told so too.
        return False
