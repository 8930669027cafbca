"""One simulated process: it opens the store, submits the run, works, and dies or sees the end.

Invariants:
    1. A process that dies leaves a copy of the store as it was in that instant; what it still
       writes goes elsewhere.
    2. A process that was ended holds nothing: no task of its run, no open queue.
"""

import asyncio
import contextlib
import dataclasses
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, final

from taquba._checks import Seconds
from taquba._delivery import (
    CoroutineFunction,
    Threads,
    as_coroutine_function,
    function_of,
    is_coroutine_function,
)
from taquba._taquba import MockClock, RunOutcome, Step
from taquba.options import OpenOptions
from taquba.queue import Queue, QueueStats
from taquba.store import MemoryStore
from taquba.testing._places import first_line
from taquba.testing._points import Delivery, Moment, Script
from taquba.testing._settling import due_times, under_way
from taquba.testing._watching import Watch
from taquba.workflow import RunSpec, WorkflowRuntime
from taquba.workflow._hooks import AnyHook
from taquba.workflow._runner import Runner

__all__ = ["QUEUE_NAME", "Plan", "Process", "awaited"]

QUEUE_NAME: Final = "workflow"
_PAUSE_SECONDS_MIN: Final = 0.0001
_PAUSE_SECONDS_MAX: Final = 0.01


@final
@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What each process does.

    Args:
        runner: The runner under test.
        spec: The run, with its id.
        hook: The hook under test.
        options: How the store is opened.
        step_timeout: As for `WorkflowRuntime`.
        on_start: Is called with the queue of each new process.
        timeout: How long one process may take, in seconds of real time.
    """

    runner: Runner
    spec: RunSpec
    hook: AnyHook
    options: OpenOptions
    step_timeout: Seconds | None
    on_start: Callable[[Queue], object] | None
    timeout: float


@final
class Process:
    """A process that owns the store for as long as it lives.

    Args:
        plan: What it does.
        script: When it dies.
        store: What it opens.
        clock: The time, which goes on from process to process.
    """

    def __init__(self, plan: Plan, script: Script, store: MemoryStore, clock: MockClock) -> None:
        self.queue: Queue | None = None
        self._plan = plan
        self._script = script
        self._store = store
        self._clock = clock
        self._watches: list[Watch] = []
        self._threads = Threads(QUEUE_NAME, 1)
        self._stack = contextlib.AsyncExitStack()
        self._stack.callback(self._threads.close)

    async def live(self) -> RunOutcome | None:
        """Work until the run has ended and its hook was told.

        Returns:
            How the run ended; `None` if the process has died.

        Raises:
            TimeoutError: The run does not come to its end.
        """
        try:
            async with asyncio.timeout(self._plan.timeout) as scope:
                return await self._live()
        except TimeoutError:
            if not scope.expired():
                raise
        busy = [] if self.queue is None else list(under_way(self.queue))
        what = "; ".join(busy) or "nothing is under way"
        message = f"the run has not ended after {self._plan.timeout} s of real time: {what}"
        raise TimeoutError(message)

    async def end(self) -> None:
        """Cancel what stands still, and close everything."""
        # Closed first: what is cancelled afterwards would else be delivered again at once.
        if self.queue is not None:
            await self.queue.close()
        for watch in self._watches:
            await watch.bury()
        await self._stack.aclose()

    async def _live(self) -> RunOutcome | None:
        plan, script = self._plan, self._script
        options = dataclasses.replace(plan.options, clock=self._clock)
        self.queue = queue = await Queue.open(self._store, options=options)
        if plan.on_start is not None:
            await awaited(plan.on_start(queue))
        script.reach(Moment.SUBMIT)
        if script.death is not None:
            return None
        runtime = WorkflowRuntime(
            queue,
            self._run_step(plan.runner),
            _WatchedHook(plan.hook, self._tell(plan.hook)),
            queue_name=QUEUE_NAME,
            step_timeout=plan.step_timeout,
            shutdown_timeout=0,
        )
        await self._stack.enter_async_context(runtime)
        handle = await runtime.submit(plan.spec)
        await self._work(queue)
        script.reach(Moment.END)
        return None if script.death is not None else await handle.outcome()

    async def _work(self, queue: Queue) -> None:
        """Wait until nothing is left to do, and move the clock to what falls due."""
        pause = 0.0
        seen: QueueStats | None = None
        while self._script.death is None:
            counts = (await queue.stats()).queues[QUEUE_NAME]
            # A job that is being committed is counted nowhere. Its commit is durable before a look
            # is answered, so of two that are equal the second one has seen everything.
            is_steady, seen = counts == seen, counts
            if is_steady and counts.pending_count + counts.claimed_count == 0:
                if counts.scheduled_count + counts.live_run_count == 0:
                    return
                for due in (await due_times(queue))[:1]:
                    self._clock.advance(max(due - self._clock.now(), timedelta()))
                    pause = 0.0
            await asyncio.sleep(pause)
            pause = min(2 * pause + _PAUSE_SECONDS_MIN, _PAUSE_SECONDS_MAX)

    def _run_step(self, runner: Runner) -> CoroutineFunction:
        function = function_of("runner", runner, "run_step")
        begins = first_line(function)

        async def run_step(step: Step) -> object:
            watch = self._watch(Delivery("step", step.step_number, step.attempts, begins))
            return await self._call(watch, function, step)

        return run_step

    def _tell(self, hook: AnyHook) -> CoroutineFunction:
        function = function_of("hook", hook, "on_termination")
        begins = first_line(function)

        async def tell(outcome: RunOutcome) -> object:
            told_count = sum(watch.delivery.kind == "hook" for watch in self._watches)
            delivery = Delivery("hook", outcome.final_step, told_count + 1, begins)
            return await self._call(self._watch(delivery), function, outcome)

        return tell

    async def _call(self, watch: Watch, function: Callable[[Any], Any], work: object) -> object:
        if is_coroutine_function(function):
            return await watch.run(lambda: watch.watched(function(work)))

        def in_thread(work: object) -> object:
            # One that only makes a coroutine has it run in the event loop.
            made = function(work)
            return watch.watched(made) if inspect.isawaitable(made) else made

        call = as_coroutine_function(in_thread, self._threads)
        return await watch.run(lambda: call(work))

    def _watch(self, delivery: Delivery) -> Watch:
        watch = Watch(self._script, delivery)
        self._watches.append(watch)
        return watch


@final
class _WatchedHook:
    """A hook that says what another one says, and is called as this process has it."""

    def __init__(self, hook: AnyHook, tell: CoroutineFunction) -> None:
        self.on_termination = tell
        for name in ("observes", "check_submission"):
            if hasattr(hook, name):
                setattr(self, name, getattr(hook, name))


async def awaited(made: object) -> object:
    """Return what a function made, which may be `async`."""
    return await made if inspect.isawaitable(made) else made
