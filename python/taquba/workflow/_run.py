"""Runs: what is submitted, and the handle to what became of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, final

from taquba import _taquba
from taquba._checks import Seconds, check_instance, check_job_fields, keep_headers
from taquba._codec import encode
from taquba._port import Port, Waiting
from taquba._taquba import RunOutcome
from taquba.queue import Queue, RunStatus
from taquba.queue._html import fields

__all__ = [
    "HEADER_RUN_ID",
    "HEADER_STEP",
    "RESERVED_HEADER_PREFIX",
    "RunHandle",
    "RunSpec",
]

RESERVED_HEADER_PREFIX: Final = _taquba.RESERVED_HEADER_PREFIX
"""Header keys that start with this are set by the runtime alone."""
HEADER_RUN_ID: Final = _taquba.HEADER_RUN_ID
"""The header that names a step job's run."""
HEADER_STEP: Final = _taquba.HEADER_STEP
"""The header that numbers a step job."""


@final
@dataclass(frozen=True, slots=True)
class RunSpec:
    """A run to submit.

    Args:
        input: The payload of step 0; at most 64 MiB. What is not bytes is encoded as JSON, with the
            extra `taquba[typed]`; then it is `bytes` here too.
        run_id: 1 to 128 characters of `[A-Za-z0-9_-]`; generated if absent. With an id of your
            own, submitting again is safe: the same input gives the run that is there.
        headers: String metadata that every step and the hook see.
        priority: Lower is claimed first; the queue's default if absent.
        max_attempts: Deliveries of each step before the run fails; the queue's default if absent.
        run_at: When step 0 may start: an aware `datetime`.

    Raises:
        InvalidRunIdError: The id breaks the rule above.
        ReservedHeaderError: A header key starts with `workflow.`.
        HeadersTooLargeError: Too many headers, or too long ones.
        InvalidArgumentError: Another value is outside its bounds; the message names both.
    """

    input: Any = field(repr=False)
    run_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    priority: int | None = None
    max_attempts: int | None = None
    run_at: datetime | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        if type(self.input) is not bytes:
            object.__setattr__(self, "input", encode("input", self.input))
        if self.run_id is not None:
            check_instance("run_id", self.run_id, str)
            _taquba.check_run_id(self.run_id)
        check_job_fields(self.priority, self.run_at, self.max_attempts)
        keep_headers(self, self.headers)


@final
class RunHandle:
    """A submitted run. Made by `WorkflowRuntime.submit` and `WorkflowRuntime.handle`."""

    __slots__ = ("_cancel", "_newly_submitted", "_queue", "_run_id", "_waiting")

    def __init__(
        self,
        queue: Queue,
        run_id: str,
        *,
        newly_submitted: bool,
        cancel: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._queue = queue
        # The runtime's: to cancel is to tell its hook.
        self._cancel = cancel
        self._run_id = run_id
        self._newly_submitted = newly_submitted
        self._waiting: Waiting[RunOutcome] | None = None

    @property
    def run_id(self) -> str:
        """The run's id, the caller's or the generated one."""
        return self._run_id

    @property
    def newly_submitted(self) -> bool:
        """Whether this handle's submission made the run; `False` if it was there already."""
        return self._newly_submitted

    async def outcome(self, timeout: Seconds | None = None) -> RunOutcome:  # noqa: ASYNC109 - spec
        """Wait for the end of the run.

        Durable: when this returns, the end of the run is in the object store.

        Cancellation: the run goes on; calling again waits again.

        Args:
            timeout: For how long; `None` waits as long as it takes.

        Returns:
            How the run ended.

        Raises:
            TimeoutError: The run has not ended in time.
            RunNotFoundError: No such run, or its retention has passed.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed, or was closed while waiting.
        """
        limit = None if timeout is None else _taquba.duration("timeout", timeout).total_seconds()
        waiting = self._ask(self._queue.port())
        try:
            # Not awaited directly: a timeout would cancel it, and the next call would ask again.
            done, _ = await asyncio.wait((waiting.future,), timeout=limit)
        except asyncio.CancelledError:
            # Taken back when nobody holds it any more: another task may wait for it too.
            self._waiting = None
            del waiting
            raise
        if not done:
            message = f"run `{self._run_id}` has not ended after {limit} s: it goes on; wait again"
            raise TimeoutError(message)
        return waiting.future.result()

    async def status(self) -> RunStatus:
        """Read where the run is in its life; see `WorkflowRuntime.status`."""
        return await self._queue.get_run(self._run_id)

    async def cancel(self) -> bool:
        """Stop the run for good; see `WorkflowRuntime.cancel`."""
        return await self._cancel(self._run_id)

    def __repr__(self) -> str:
        """Show the run's id."""
        return f"RunHandle(run_id={self._run_id!r}, newly_submitted={self._newly_submitted})"

    def _repr_html_(self) -> str:
        """Show the run's id in a notebook."""
        return fields(f"run {self._run_id}", {"newly submitted": self._newly_submitted})

    def _ask(self, port: Port) -> Waiting[RunOutcome]:
        waiting = self._waiting
        if (
            waiting is None
            or waiting.future.get_loop() is not port.loop
            or _has_failed(waiting.future)
        ):
            waiting = self._waiting = port.wait(port.native.await_run, self._run_id)
            # A caller that timed out never looks; asyncio would log the error of a closed queue.
            waiting.future.add_done_callback(_has_failed)
        return waiting


def _has_failed(answer: "asyncio.Future[RunOutcome]") -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)
