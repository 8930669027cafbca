"""The time that one delivery of a step may take, and how a runner gets more of it.

Invariants:
    1. A lease keeps neither its step nor its task: a step that is dropped goes back at once.
    2. Nothing makes a delivery end earlier than it would.
"""

import asyncio
import weakref
from datetime import timedelta
from typing import Final, final

from taquba import _taquba
from taquba._checks import Seconds
from taquba._delivery import BLOCKED_LOOP_GRACE
from taquba._taquba import MemoScope
from taquba.exceptions import ClaimLostError
from taquba.queue import Queue

__all__ = ["StepLease"]

_LEASE_MAX: Final = _taquba.DURATION_MAX - BLOCKED_LOOP_GRACE


@final
class StepLease:
    """How long one delivery of a step may take. Got from `Step.lease`.

    While a step runs, the engine keeps it for the runner, however long it takes; only
    `WorkflowRuntime(step_timeout=...)` ends that.
    """

    __slots__ = ("_deadline", "_duration", "_job_id", "_loop", "_queue", "_scope")

    def __init__(
        self,
        queue: Queue,
        loop: asyncio.AbstractEventLoop,
        duration: timedelta | None,
        scope: MemoScope,
    ) -> None:
        self._queue = queue
        self._duration = duration
        self._scope = scope
        self._loop = loop
        self._job_id = ""
        self._deadline: weakref.ref[asyncio.Timeout] | None = None

    @property
    def duration(self) -> timedelta | None:
        """How long a delivery may take: `step_timeout`; `None` for as long as it takes."""
        return self._duration

    async def ensure_at_least(self, duration: Seconds) -> None:
        """Have the timeout not strike before `duration` from now. It never strikes earlier for it.

        Without a `step_timeout` there is nothing to do. Nothing is stored: this returns at once.

        Args:
            duration: How long the step may go on from now, at least.

        Raises:
            ClaimLostError: The timeout has struck, or the step was settled: stop.
            InvalidArgumentError: `duration` is outside its bounds.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.

        Example:
            >>> async def runner(step: Step) -> StepOutcome:
            ...     for page in pages:
            ...         await step.lease.ensure_at_least(60)
            ...         await fetch(page)
        """
        wanted = min(_taquba.duration("duration", duration), _LEASE_MAX)
        if self._duration is None:
            return
        port = self._queue.port()
        # The task's timeout first: asked for in time, it does not strike while the engine answers.
        if port.loop is self._loop:
            self._extend(wanted)
        else:
            self._extend_from_afar(wanted)
        lease = wanted + BLOCKED_LOOP_GRACE
        await port.call(port.native.renew, self._scope, lease, at_least=True)

    def __repr__(self) -> str:
        """Show how long it is."""
        return f"StepLease(duration={self._duration!r})"

    def begin(self, job_id: str, deadline: asyncio.Timeout) -> None:
        """Note what ends the delivery. Not for users."""
        self._job_id = job_id
        self._deadline = weakref.ref(deadline)

    def _extend(self, wanted: timedelta) -> None:
        if not self._extend_if_running(wanted):
            raise self._lost()

    def _extend_from_afar(self, wanted: timedelta) -> None:
        try:
            self._loop.call_soon_threadsafe(self._extend_if_running, wanted)
        except RuntimeError as error:
            # The loop in which the step ran is closed.
            raise self._lost() from error

    def _lost(self) -> ClaimLostError:
        run_id, number = self._scope.run_id, self._scope.step_number
        message = (
            f"step {number} of run {run_id}: this delivery is over, its `step_timeout` "
            f"({self._duration}) has passed; ask for more time before it does"
        )
        return ClaimLostError(message, job_id=self._job_id, lease=self._duration)

    def _extend_if_running(self, wanted: timedelta) -> bool:
        deadline = None if self._deadline is None else self._deadline()
        if deadline is None or deadline.expired():
            return False
        when = self._loop.time() + wanted.total_seconds()
        if when > (deadline.when() or when):
            try:
                deadline.reschedule(when)
            except RuntimeError:
                # It was left: the delivery is over, and something else still holds its frame.
                return False
        return True
