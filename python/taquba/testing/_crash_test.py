"""`crash_test`: a run, once without a crash and once for each instant at which one may happen.

Invariants:
    1. Each trial begins from nothing: an empty store, time at its beginning, effects reset.
    2. In each trial the process dies once, as by a kill: none of its code runs after that, and what
       was not durable is lost. A second process opens what is left and brings the run to its end.
    3. A trial that has ended leaves nothing running.

Not here:
    What a point is, `_points.py`; how code is stopped there, `_watching.py`; what a process does,
    `_process.py`; what counts as a difference, `_report.py`.
"""

import copy
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, final

from taquba import _taquba
from taquba._checks import Seconds, check_count, check_instance, optional_duration, refuse
from taquba._taquba import MockClock, fork_memory
from taquba.options import OPEN_DEFAULTS, OpenOptions, RetryJitter
from taquba.queue import Queue
from taquba.store import MemoryStore
from taquba.testing._points import CrashPoint, Script
from taquba.testing._process import QUEUE_NAME, Plan, Process, awaited
from taquba.testing._report import CrashReport, Ending, Finding, compare
from taquba.testing._watching import watched_tasks
from taquba.workflow import NoopTerminalHook, RunSpec
from taquba.workflow._hooks import AnyHook
from taquba.workflow._runner import Runner

__all__ = ["crash_test"]

_NO_HOOK: Final = NoopTerminalHook()
_TIMEOUT: Final = timedelta(seconds=10)
_POINT_COUNT_MAX: Final = 1_000_000
_PAGE_COUNT: Final = 1_000


async def crash_test(  # noqa: PLR0913 - keyword arguments, each with a default
    runner: Runner,
    spec: RunSpec | bytes,
    *,
    hook: AnyHook = _NO_HOOK,
    observe: Callable[[], object | Awaitable[object]] | None = None,
    setup: Callable[[], object | Awaitable[object]] | None = None,
    on_start: Callable[[Queue], object | Awaitable[object]] | None = None,
    options: OpenOptions = OPEN_DEFAULTS,
    step_timeout: Seconds | None = None,
    inside_memos: bool = True,
    points_max: int = 2_000,
    timeout: Seconds = _TIMEOUT,  # noqa: ASYNC109 - as elsewhere
) -> CrashReport:
    """Run a workflow with a crash at each instant, and say where it is not idempotent.

    First the run is done once without a crash. Then once for each crash point that it passed: the
    process dies there, another one opens the store and brings the run to its end, and outcome,
    effects, and jobs in other queues have to be what they were without a crash. Points are:
    before the submission; before the first line of each step; at the beginning and at the end of
    each await, in tasks that the step starts too; before the commit of each outcome; the same in
    the hook; after the end. A plain function has no awaits.

    Everything is in memory, and time is virtual: delays and backoffs take none. `asyncio.sleep`
    and what else the runner waits for takes as long as it takes, in each trial.

    Memory of the process, such as caches and locks of a module, does not vanish by itself when a
    simulated process dies: make it anew in `on_start`. What was left standing is cancelled after
    `observe`. Threads cannot be stopped.

    Args:
        runner: The runner under test, or a function.
        spec: The run; bytes stand for `RunSpec(input)`.
        hook: The hook under test.
        observe: Returns what the run has done in the world outside, such as a list of charges.
            It is compared by value. Needs `setup`.
        setup: Makes the world outside as it was before the run. Called before each trial.
        on_start: Called in each new process, with its queue, before it works.
        options: How the store is opened. Retries are not jittered, whatever is said here, and the
            clock is virtual. The steps are in queue `workflow`.
        step_timeout: As for `WorkflowRuntime`.
        inside_memos: Whether a process also dies between a memo's computation and the commit of
            its value, where `Memo.get_or_compute` computes twice.
        points_max: Most points to try, 1 to 1,000,000; of more, as many are taken at even
            distances.
        timeout: How long one process may take, in real time.

    Returns:
        What was found; see `CrashReport.raise_if_failed`.

    Raises:
        TimeoutError: The run does not end, even without a crash.
        InvalidArgumentError: A value is outside its bounds; the message names both.
        Exception: What `setup`, `observe` and `on_start` raise.

    Example:
        >>> report = await crash_test(
        ...     runner, RunSpec(b"order 7"), setup=charges.clear, observe=lambda: charges
        ... )
        >>> report.raise_if_failed()
    """
    if observe is not None and setup is None:
        refuse("setup", setup, "give a function that undoes what `observe` looks at")
    check_count("points_max", points_max, _POINT_COUNT_MAX)
    plan = Plan(
        runner=runner,
        spec=_named(spec),
        hook=hook,
        options=_without_jitter(options),
        step_timeout=optional_duration("step_timeout", step_timeout),
        on_start=on_start,
        timeout=_taquba.duration("timeout", timeout).total_seconds(),
    )
    trials = _Trials(plan, setup, observe, sees_memos=inside_memos)
    with watched_tasks():
        return await trials.run(points_max)


@final
class _Trials:
    """The trials of one crash test."""

    def __init__(
        self,
        plan: Plan,
        setup: Callable[[], object] | None,
        observe: Callable[[], object] | None,
        *,
        sees_memos: bool,
    ) -> None:
        self._plan = plan
        self._setup = setup
        self._observe = observe
        self._sees_memos = sees_memos

    async def run(self, points_max: int) -> CrashReport:
        baseline, script = await self._trial(None)
        if baseline.outcome is None:
            raise TimeoutError(baseline.trouble)
        total = len(script.points)
        count = min(total, points_max)
        tried: list[CrashPoint] = []
        findings: list[Finding] = []
        last_good: CrashPoint | None = None
        for index in (number * total // count for number in range(count)):
            seen, script = await self._trial(index)
            point = script.death
            if point is None:
                continue
            tried.append(point)
            same = last_good is not None and last_good.delivery == point.delivery
            finding = compare(baseline, seen, point, last_good if same else None)
            if finding is None:
                last_good = point
            else:
                findings.append(finding)
        return CrashReport(
            points=tuple(tried),
            findings=tuple(findings),
            outcome=baseline.outcome,
            effects=baseline.effects,
            unreached_count=count - len(tried),
            left_out_count=total - count,
        )

    async def _trial(self, dies_at: int | None) -> tuple[Ending, Script]:
        """Bring the run to its end, with one crash or none."""
        if self._setup is not None:
            await awaited(self._setup())
        store, clock = MemoryStore(), MockClock()
        left: list[MemoryStore] = []
        sees_memos = self._sees_memos
        script = Script(dies_at, lambda: left.append(fork_memory(store)), sees_memos=sees_memos)
        processes = [Process(self._plan, script, store, clock)]
        try:
            try:
                outcome = await processes[0].live()
                if left:
                    processes.append(Process(self._plan, Script(), left[0], clock))
                    outcome = await processes[1].live()
            except TimeoutError as error:
                return Ending(None, None, (), str(error)), script
            effects = None if self._observe is None else await awaited(self._observe())
            jobs = await _other_jobs(processes[-1].queue)
            return Ending(outcome, copy.deepcopy(effects), jobs), script
        finally:
            for process in reversed(processes):
                await process.end()


async def _other_jobs(queue: Queue | None) -> tuple[tuple[str, bytes], ...]:
    """Return the jobs of all queues but the one of the steps, in an order of their own."""
    assert queue is not None, "a process that came to its end has opened it"  # noqa: S101 - ours
    found: list[tuple[str, bytes]] = []
    for name in await queue.list_queues():
        cursor: str | None = None
        while name != QUEUE_NAME:
            page = await queue.list_jobs(name, None, cursor, _PAGE_COUNT)
            jobs = [await queue.get_job(job.job_id) for job in page.jobs]
            found += ((name, job.payload or b"") for job in jobs)
            cursor = page.cursor
            if cursor is None:
                break
    return tuple(sorted(found))


def _named(spec: RunSpec | bytes) -> RunSpec:
    check_instance("spec", spec, (RunSpec, bytes))
    if isinstance(spec, bytes):
        spec = RunSpec(spec)
    return spec if spec.run_id is not None else dataclasses.replace(spec, run_id="crash-test")


def _without_jitter(options: OpenOptions) -> OpenOptions:
    config = options.queue_configs.get(QUEUE_NAME, options.default_queue_config)
    steady = dataclasses.replace(config, retry_jitter=RetryJitter.NONE)
    configs = {**options.queue_configs, QUEUE_NAME: steady}
    return dataclasses.replace(options, queue_configs=configs)
