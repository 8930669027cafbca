"""The workflow runtime: submitting runs, stopping them, and working on their steps.

Invariants:
    1. A runtime that has ended holds no delivery: each was settled or handed back.
    2. Submitting, looking and cancelling need no running runtime; the runs wait in the queue.
    3. What sweeps memos never ends the work, and ends with it.

Not here:
    What starts a step and settles it is `_dispatcher.py`, what a hook is told `_telling.py`, what
    pushes steps here `_delivery/_subscription.py`; every decision is the engine's.
"""

import asyncio
import contextlib
import functools
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self, final

from taquba import _taquba, _tracing
from taquba._checks import Seconds, check_batch, check_count, check_instance, optional_duration
from taquba._delivery import (
    Subscription,
    Threads,
    as_coroutine_function,
    function_of,
    limited,
    work_until,
)
from taquba._port import Port
from taquba._taquba import Notification, Step
from taquba.exceptions import RunNotFoundError
from taquba.memo import MemoStore
from taquba.memo._rows import row_memos
from taquba.memo._sweeper import sweep_forever
from taquba.options import SHUTDOWN_TIMEOUT
from taquba.queue import Queue, RunPage, RunState, RunStatus
from taquba.queue._queue import wall_clock
from taquba.workflow._dispatcher import StepDispatcher
from taquba.workflow._errors import StepError
from taquba.workflow._hooks import (
    AnyHook,
    NoopTerminalHook,
    check_hook,
    check_submission,
    observed_by,
)
from taquba.workflow._lease import StepLease
from taquba.workflow._run import RunHandle, RunSpec
from taquba.workflow._runner import Runner
from taquba.workflow._status import TerminalStatus
from taquba.workflow._telling import Telling

__all__ = ["WorkflowRuntime"]

_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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
        hook: Is told of the end of each run, at least once: an object with `on_termination`, or a
            function.
        queue_name: The queue of the steps. Two runtimes with one name share the work.
        concurrency: Most steps in flight, 1 to 100,000.
        step_timeout: How long one delivery of a step may take before it is interrupted and tried
            again; `None` for as long as it takes. A plain function goes on; 4 x `concurrency` of
            these end the work.
        memo_store: Where `Step.memo` keeps its values; in the queue's own store, with the runs, if
            absent.
        memo_retention: How long the memos of a run are kept after its end; `None` keeps them for
            good.
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
        hook: AnyHook = _NO_HOOK,
        *,
        queue_name: str = "workflow",
        concurrency: int = 64,
        step_timeout: Seconds | None = None,
        memo_store: MemoStore | None = None,
        memo_retention: Seconds | None = _DAY,
        run_retention: Seconds | None = _DAY,
        shutdown_timeout: Seconds = SHUTDOWN_TIMEOUT,
    ) -> None:
        check_instance("queue", queue, Queue)
        _taquba.check_queue_name(queue_name)
        check_count("concurrency", concurrency, _taquba.CONCURRENCY_MAX)
        if memo_store is not None:
            check_instance("memo_store", memo_store, MemoStore)
        self._queue = queue
        self._run_step = function_of("runner", runner, "run_step")
        self._hook = hook
        self._tell_hook = function_of("hook", hook, "on_termination")
        self._observed = observed_by(hook)
        check_hook(hook)
        self._queue_name = queue_name
        self._concurrency = concurrency
        self._memo_store = memo_store
        self._memo_retention = optional_duration("memo_retention", memo_retention)
        self._step_timeout = optional_duration("step_timeout", step_timeout)
        self._run_retention = optional_duration("run_retention", run_retention)
        self._shutdown_timeout = _taquba.duration("shutdown_timeout", shutdown_timeout)
        self._is_entered = False
        self._work: Subscription | None = None
        self._threads: Threads | None = None
        self._sweeping: asyncio.Task[None] | None = None

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
            Exception: What `check_submission` of the hook raised.
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
            Exception: What `check_submission` of the hook raised.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_instance("specs", specs, Iterable)
        runs = [_with_id(spec) for spec in specs]
        check_batch(len(runs))
        await check_submission(self._hook, [spec for _, spec in runs])
        port = await self._queue.room()

        def call(runs: list[tuple[str, RunSpec]]) -> "asyncio.Future[list[tuple[str, bool]]]":
            return port.call(
                port.native.submit,
                self._queue_name,
                runs,
                observed=self._announced(),
                retention=self._run_retention,
                memo_retention=self._memo_retention,
            )

        tracer, name = _tracing.active, self._queue_name
        submitted = await (call(runs) if tracer is None else tracer.submit(name, runs, call))
        return [self._handle(run_id, newly_submitted=new) for run_id, new in submitted]

    def handle(self, run_id: str) -> RunHandle:
        """Return the handle of a run that was submitted earlier, by any runtime.

        Args:
            run_id: The run's id. Whether it exists is found out by `RunHandle.outcome`.

        Raises:
            InvalidRunIdError: It is not a run id.
        """
        _taquba.check_run_id(run_id)
        return self._handle(run_id, newly_submitted=False)

    async def cancel(self, run_id: str) -> bool:
        """Stop a run for good. It may have been submitted by another runtime, or process.

        A run that waits ends `Cancelled` at once, without an error, and this runtime's hook has
        been called when this returns, whether the runtime works or not; a hook that fails is told
        again by a runtime that works. Of a run whose step is being delivered, `Step.cancel_token`
        fires; the run ends `Cancelled` when the step returns, raises or is lost, whatever it
        returns. Only a reason of its own, `Cancel(reason)`, is kept.

        Of several at once for a run that waits one ends it, and the others find it ended; for a
        step that is being delivered each returns `True`.

        Durable: when this returns `True`, the run never ends otherwise, not even after a crash.

        Cancellation: the run is stopped all the same; a runtime that works tells the hook.

        Args:
            run_id: The run's id, of any workflow queue.

        Returns:
            Whether the run is stopped; `False` if there is no such run, or if it had ended.

        Raises:
            InvalidRunIdError: It is not a run id.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self._queue.port()
        tells_hook = TerminalStatus.Cancelled.value in self._announced()
        answer = port.call(port.native.cancel_run, run_id, tells_hook=tells_hook)
        try:
            became = await answer
        except asyncio.CancelledError:
            _give_back(port, answer)
            raise
        if isinstance(became, bool):
            return became
        for notification in became:
            # Not the threads of the runtime: those belong to the loop in which it works.
            with contextlib.closing(Threads(self._queue_name, 1)) as threads:
                await self._telling(port, threads).tell_once(notification)
        return True

    async def status(self, run_id: str) -> RunStatus:
        """Read where a run is in its life; see `Queue.get_run`.

        Args:
            run_id: The run's id, of any workflow queue.

        Raises:
            RunNotFoundError: No such run, or its retention has passed.
            InvalidRunIdError: It is not a run id.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        return await self._queue.get_run(run_id)

    async def list_runs(
        self,
        state: RunState | Iterable[RunState] | None = None,
        *,
        run_id_prefix: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> RunPage:
        """List the runs of this runtime's queue, the latest submission first.

        See `Queue.list_runs`.
        """
        return await self._queue.list_runs(
            self._queue_name, state, run_id_prefix=run_id_prefix, cursor=cursor, limit=limit
        )

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
        if shutdown is not None:
            check_instance("shutdown", shutdown, asyncio.Event)
        with self._queue.port().watching() as lost:
            async with self:
                assert self._work is not None  # noqa: S101 - an invariant of ours
                await work_until(shutdown, lost, self._work.failed)

    async def __aenter__(self) -> Self:
        """Begin to work on steps."""
        if self._is_entered:
            message = "this runtime works already: make a second one to work twice"
            raise RuntimeError(message)
        port = self._queue.port()
        threads = Threads(self._queue_name, self._concurrency)
        run_step = as_coroutine_function(self._run_step, threads)
        store, retention = self._memo_store, self._memo_retention
        self._is_entered = True
        try:
            self._work = await Subscription.begin(
                StepDispatcher(
                    port,
                    limited(run_step, self._step_timeout, _out_of_time, _begin_lease),
                    self._telling(port, threads),
                ),
                self._queue_name,
                self._concurrency,
                observes_runs=self._announced(),
                memos=row_memos(self._queue) if store is None else store.memos_for(self._queue),
                leases=functools.partial(StepLease, self._queue, port.loop, self._step_timeout),
                job_timeout=self._step_timeout,
                shutdown_timeout=self._shutdown_timeout,
            )
        except BaseException:
            self._is_entered = False
            threads.close()
            raise
        self._threads = threads
        if store is not None and retention is not None:
            sweeping = sweep_forever(store, retention, self._is_live, self._now_ms)
            self._sweeping = port.loop.create_task(sweeping)
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
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            sweeping.cancel()
        try:
            if work is not None:
                await work.end()
        finally:
            self._is_entered = False
            if threads is not None:
                threads.close()
            if sweeping is not None:
                await asyncio.wait((sweeping,))
        if work is not None and exc is None and work.failed.done():
            work.failed.result()

    def __repr__(self) -> str:
        """Show what it works on."""
        state = "idle" if self._work is None else "working"
        return f"WorkflowRuntime(queue_name={self._queue_name!r}, {state})"

    def _handle(self, run_id: str, *, newly_submitted: bool) -> RunHandle:
        new = newly_submitted
        return RunHandle(self._queue, run_id, newly_submitted=new, cancel=self.cancel)

    def _marks_ends(self) -> bool:
        """Return whether ends of runs are noted for the sweep of their memos."""
        return self._memo_store is not None and self._memo_retention is not None

    def _announced(self) -> list[str]:
        """Return the names of the ends that this runtime has to hear of."""
        return [
            status.value
            for status in TerminalStatus
            if status in self._observed or self._marks_ends()
        ]

    def _telling(self, port: Port, threads: Threads) -> Telling:
        tell_hook = as_coroutine_function(self._tell_hook, threads)
        mark = self._mark_end if self._marks_ends() else None
        return Telling(port, tell_hook, self._observed, mark)

    async def _mark_end(self, run_id: str) -> None:
        assert self._memo_store is not None, "who marks has a store"  # noqa: S101 - ours
        ended_at: datetime | None = None
        # The same instant each time it is told. Without retention the end is not known any more.
        with contextlib.suppress(RunNotFoundError):
            ended_at = (await self._queue.get_run(run_id)).ended_at
        ended_at_ms = self._now_ms() if ended_at is None else _milliseconds(ended_at)
        await self._memo_store.write_terminal_marker(run_id, ended_at_ms)

    def _now_ms(self) -> int:
        return _milliseconds(wall_clock(self._queue))

    async def _is_live(self, run_id: str) -> bool:
        try:
            status = await self._queue.get_run(run_id)
        except RunNotFoundError:
            return False
        return not status.state.is_terminal


def _with_id(spec: RunSpec) -> tuple[str, RunSpec]:
    check_instance("spec", spec, RunSpec)
    return spec.run_id or secrets.token_hex(_RUN_ID_BYTES), spec


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _give_back(port: Port, answer: "asyncio.Future[bool | list[Notification]]") -> None:
    """Hand back the notification of an answer that came when its caller was being cancelled."""
    if answer.done() and not answer.cancelled() and answer.exception() is None:
        became = answer.result()
        for notification in () if isinstance(became, bool) else became:
            if port.native.unclaim(notification):
                port.arrange_flush()


def _begin_lease(step: Step, deadline: asyncio.Timeout) -> None:
    lease: StepLease = step.lease
    lease.begin(step.job_id, deadline)


def _out_of_time(seconds: float) -> StepError:
    return StepError.transient(f"the step took longer than `step_timeout` ({seconds} s)")
