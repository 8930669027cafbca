"""The workflow runtime: submitting runs, and working on their steps.

Invariants:
    1. A runtime that has ended holds no delivery: each was settled or handed back.
    2. Submitting needs no running runtime; the runs wait in the queue.

Not here:
    What starts a step and settles it is `_dispatcher.py`, what pushes it here is
    `_delivery/_subscription.py`; every decision is the engine's.
"""

import asyncio
import secrets
from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType
from typing import Final, Self, final

from taquba import _taquba
from taquba._checks import Seconds, check_batch, check_count, check_instance, optional_duration
from taquba._delivery import (
    Subscription,
    Threads,
    as_coroutine_function,
    function_of,
    limited,
    work_until,
)
from taquba.queue import Queue
from taquba.workflow._dispatcher import StepDispatcher
from taquba.workflow._errors import StepError
from taquba.workflow._hooks import NoopTerminalHook, TerminalHook, observes_runs
from taquba.workflow._run import RunHandle, RunSpec
from taquba.workflow._runner import Runner

__all__ = ["WorkflowRuntime"]

_DAY: Final = timedelta(days=1)
_NO_HOOK: Final = NoopTerminalHook()

# As unlikely to meet as a random UUID.
_RUN_ID_BYTES: Final = 16


@final
class WorkflowRuntime:
    """Runs workflows: durable sequences of steps that a runner decides one by one.

    Use it with `async with`, or call `run`. A runtime that only submits needs neither.

    Args:
        queue: An open queue.
        runner: What does the steps: an object with `run_step`, or a function. A plain function
            runs in a thread, of which there are as many as `concurrency`, and one for each
            function that outlived `step_timeout`.
        hook: Is told of the end of each run, at least once.
        queue_name: The queue of the steps. Two runtimes with one name share the work.
        concurrency: Most steps in flight, 1 to 100,000.
        step_timeout: How long one delivery of a step may take before it is interrupted and tried
            again; `None` for as long as it takes. A plain function goes on; 4 x `concurrency` of
            these end the work.
        run_retention: How long the end of a run stays known; `None` keeps it for good.
        shutdown_timeout: How long steps in flight may take to end at shutdown; then they are
            interrupted, and delivered again later.

    Raises:
        InvalidQueueNameError: `queue_name` is not a queue name.
        InvalidArgumentError: A value is outside its bounds; the message names both.

    Example:
        >>> async def runner(step: Step) -> StepOutcome:
        ...     return Succeed(step.payload.upper())
        >>> async with WorkflowRuntime(queue, runner) as runtime:
        ...     handle = await runtime.submit(RunSpec(b"hello"))
        ...     outcome = await handle.outcome()
    """

    def __init__(  # noqa: PLR0913 - keyword arguments are the builder
        self,
        queue: Queue,
        runner: Runner,
        hook: TerminalHook = _NO_HOOK,
        *,
        queue_name: str = "workflow",
        concurrency: int = 64,
        step_timeout: Seconds | None = None,
        run_retention: Seconds | None = _DAY,
        shutdown_timeout: Seconds = 30.0,
    ) -> None:
        check_instance("queue", queue, Queue)
        _taquba.check_queue_name(queue_name)
        check_count("concurrency", concurrency, _taquba.CONCURRENCY_MAX)
        self._queue = queue
        self._run_step = function_of("runner", runner, "run_step")
        self._tell_hook = function_of("hook", hook, "on_termination")
        self._queue_name = queue_name
        self._concurrency = concurrency
        self._observes_runs = observes_runs(hook)
        self._step_timeout = optional_duration("step_timeout", step_timeout)
        self._run_retention = optional_duration("run_retention", run_retention)
        self._shutdown_timeout = _taquba.duration("shutdown_timeout", shutdown_timeout)
        self._work: Subscription | None = None
        self._threads: Threads | None = None

    async def submit(self, spec: RunSpec) -> RunHandle:
        """Submit a run.

        Durable: when this returns, the run is in the object store and will be worked on.

        Cancellation: the commit finishes even if the awaiting task is cancelled. Give a `run_id`
        to make calling again safe.

        Args:
            spec: Input, id, headers, priority, attempts, start.

        Returns:
            The handle of the run; of the first one if the id was there with the same input.

        Raises:
            InputMismatchError: The id was there with another input.
            PayloadTooLargeError: The input is over 64 MiB.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        handles = await self.submit_many((spec,))
        return handles[0]

    async def submit_many(self, specs: Iterable[RunSpec]) -> list[RunHandle]:
        """Submit runs, all or none.

        Durable: when this returns, all runs are in the object store; when it raises, none is.

        Cancellation: as for `submit`.

        Args:
            specs: At most 10,000 runs.

        Returns:
            The handles, in order.

        Raises:
            BatchTooLargeError: Too many runs. Split the batch.
            InputMismatchError: An id was there with another input.
            PayloadTooLargeError: An input is over 64 MiB.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        runs = [_with_id(spec) for spec in specs]
        check_batch(len(runs))
        port = await self._queue.room()
        submitted = await port.call(
            port.native.submit,
            self._queue_name,
            runs,
            observed=self._observes_runs,
            retention=self._run_retention,
        )
        return [RunHandle(self._queue, run_id, newly_submitted=new) for run_id, new in submitted]

    def handle(self, run_id: str) -> RunHandle:
        """Return the handle of a run that was submitted earlier, by any runtime.

        Args:
            run_id: The run's id. Whether it exists is found out by `RunHandle.outcome`.

        Raises:
            InvalidRunIdError: It is not a run id.
        """
        _taquba.check_run_id(run_id)
        return RunHandle(self._queue, run_id, newly_submitted=False)

    async def run(self, shutdown: asyncio.Event | None = None) -> None:
        """Work on steps until `shutdown` is set, then drain.

        Cancellation: ends the work as `shutdown` does, then raises `CancelledError`.

        Args:
            shutdown: Ends the work; without one it goes on until cancelled.

        Raises:
            FencedError: Another process owns this store now.
            StoreUnavailableError: A commit did not succeed.
            ClosedError: The queue was closed meanwhile.
            RuntimeError: Too many plain functions go on after `step_timeout`.
        """
        with self._queue.port().watching() as lost:
            async with self:
                assert self._work is not None  # noqa: S101 - an invariant of ours
                await work_until(shutdown, lost, self._work.failed)

    async def __aenter__(self) -> Self:
        """Begin to work on steps."""
        if self._work is not None:
            message = "this runtime works already: make a second one to work twice"
            raise RuntimeError(message)
        port = self._queue.port()
        threads = Threads(self._queue_name, self._concurrency)
        run_step = as_coroutine_function(self._run_step, threads)
        try:
            self._work = await Subscription.begin(
                StepDispatcher(
                    port,
                    limited(run_step, self._step_timeout, _out_of_time),
                    as_coroutine_function(self._tell_hook, threads),
                ),
                self._queue_name,
                self._concurrency,
                observes_runs=self._observes_runs,
                job_timeout=self._step_timeout,
                shutdown_timeout=self._shutdown_timeout,
            )
        except BaseException:
            threads.close()
            raise
        self._threads = threads
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take no new steps, finish those in flight within `shutdown_timeout`.

        Raises:
            RuntimeError: The work had ended, as `run` says.
        """
        work, self._work = self._work, None
        threads, self._threads = self._threads, None
        try:
            if work is not None:
                await work.end()
        finally:
            if threads is not None:
                threads.close()
        if work is not None and exc is None and work.failed.done():
            work.failed.result()

    def __repr__(self) -> str:
        """Show what it works on."""
        state = "idle" if self._work is None else "working"
        return f"WorkflowRuntime(queue_name={self._queue_name!r}, {state})"


def _with_id(spec: RunSpec) -> tuple[str, RunSpec]:
    check_instance("spec", spec, RunSpec)
    return spec.run_id or secrets.token_hex(_RUN_ID_BYTES), spec


def _out_of_time(seconds: float) -> StepError:
    return StepError.transient(f"the step took longer than `step_timeout` ({seconds} s)")
