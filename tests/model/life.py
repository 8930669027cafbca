"""One store and its model: how a life begins, what always holds in it, and how it ends.

Invariants after each rule: each job is in exactly one place, and stats, lists, runs and keys are
the model's; the step in flight is the one that the model says is next.

A rule that finds nothing to act on does nothing: what it is given does not depend on what was
found, so that a life can be lived again.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from taquba import JobState, MockClock, RunState
from taquba.exceptions import FencedError
from taquba.store import MemoryStore
from tests.model.opened import Bench, Store, difference, eventually
from tests.model.plain import FLOW, Model, Run

KEYS = ["a", "a/b", "\u00e9", "e\u0301"]
# Sizes, because a life is printed with all it was given. Of the largest, payloads are objects.
SIZES = [0, 5, 2000]
SIMPLE: dict[str, Any] = {
    "size": 5,
    "priority": None,
    "max_attempts": None,
    "delay": None,
    "dedup_key": None,
    "dedup_scope": "waiting",
    "headers": {},
}
"""A job without wishes."""
TICKETS = st.integers(0, 7)
"""Picks one of what is there: the n-th, counted round."""


class Life(RuleBasedStateMachine):
    """One store, from its first job to its last."""

    on_disk: ClassVar[bool] = False
    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.mkdtemp(prefix="taquba-model-") if self.on_disk else None
        self.due: set[str] = set()
        """Runs that became ready together in this rule: which one comes first is not said."""
        self.later: str | None = None
        """The run that goes on only when its commit is durable."""
        self.ended: set[str] = set()
        self.burst = 0
        self.submitted_count = 0

    @initialize()
    def open(self) -> None:
        store: Store = MemoryStore() if self.folder is None else Path(self.folder) / "store"
        clock = MockClock()
        self.model = Model(clock.now())

        async def begin() -> None:
            self.bench = Bench(store, clock)
            await self.bench.open()
            await self.bench.begin_work()

        self.run(begin())

    def run(self, act: Coroutine[Any, Any, None]) -> None:
        """Carries out one rule."""
        self.counts["rules"] += 1
        self.loop.run_until_complete(act)

    def pick(self, ticket: int, *states: JobState) -> str | None:
        found = [job_id for job_id in self.model.in_states(*states) if self.is_plain(job_id)]
        return found[ticket % len(found)] if found else None

    def is_plain(self, job_id: str) -> bool:
        return self.model.jobs[job_id].queue != FLOW

    def fields(self, queue: str, job: dict[str, Any]) -> dict[str, Any]:
        config = self.model.config(queue)
        priority, max_attempts = job["priority"], job["max_attempts"]
        return {
            "payload_bytes": job["size"],
            "priority": config.default_priority if priority is None else priority,
            "max_attempts": max_attempts or config.max_attempts,
            "headers": job["headers"],
            "dedup_key": job["dedup_key"],
            "dedup_scope": job["dedup_scope"],
            "delay": job["delay"],
        }

    async def adopt_crash(self, burst: dict[str, Any]) -> None:
        """Takes over what nobody can know: whether young claims and unanswered calls count."""
        queue, model = self.bench.queue, self.model
        for job_id in model.in_states(JobState.CLAIMED):
            model.adopt(job_id, await queue.get_job(job_id))
        for job in (await queue.list_jobs("plain", limit=1000)).jobs:
            if job.job_id in model.jobs:
                continue
            answer = burst.pop(job.headers["burst"])
            assert answer == job.job_id or isinstance(answer, FencedError)
            one = {**SIMPLE, "size": 0, "headers": dict(job.headers)}
            model.add(job.job_id, "plain", **self.fields("plain", one))
        lost = {name: answer for name, answer in burst.items() if isinstance(answer, str)}
        assert not lost, f"acknowledged, and gone: {lost}"
        held, model.held = model.held, None
        if held is not None:
            await self.adopt_step(held)
        # What was handed back is not counted as a retry by every way of ending.
        for name, one_queue in (await queue.stats()).queues.items():
            model.totals[name]["retried"] = one_queue.retried_total

    async def adopt_step(self, run_id: str) -> None:
        run, status = self.model.runs[run_id], await self.bench.queue.get_run(run_id)
        if run.state is RunState.CANCELLING:
            assert status.state is RunState.CANCELLED
            run.attempts = status.attempts
            self.model.stop_run(run)
            self.ended.add(run_id)
            return
        assert status.attempts in {run.attempts - 1, run.attempts}, (status, run)
        run.attempts = status.attempts
        if run.attempts < run.max_attempts:
            assert status.state is RunState.PENDING
            run.state, run.at, run.last_error = RunState.PENDING, None, status.last_error
            return
        assert status.state is RunState.FAILED
        dead = (await self.bench.queue.dead_jobs(FLOW, limit=1000)).jobs
        [job_id] = [
            job.job_id for job in dead if job.run_id == run_id and job.job_id not in self.model.jobs
        ]
        self.model.fail_run(run, status.error, job_id)
        self.ended.add(run_id)

    async def begin_work(self) -> None:
        await self.bench.begin_work()
        self.due |= set(self.model.runs_in(RunState.PENDING))

    # What always holds.

    @invariant()
    def agrees(self) -> None:
        """The store shows what the model says."""
        if hasattr(self, "model"):
            self.loop.run_until_complete(self.look())

    async def look(self) -> None:
        await self.await_step()
        await eventually(lambda: difference(self.model, self.bench.queue))
        for run_id in sorted(self.ended & self.model.runs.keys()):
            run = self.model.runs[run_id]
            if run.state.is_terminal:
                outcome = await self.bench.runtime.handle(run_id).outcome(timeout=20)
                assert (str(outcome.status), outcome.result) == (str(run.state), run.result)
                assert (outcome.error, outcome.final_step) == (run.error, run.step_number)
        self.ended.clear()

    async def await_step(self) -> None:
        """The step in flight is the one that is next."""
        ready = [(r.priority, r.place, name) for name, r in self.model.runs.items() if _waits(r)]
        if self.model.held is None and ready:
            step = await self.bench.delivered()
            # One whose commit was under way could not be taken when the place became free.
            earlier = [one for one in ready if one[2] not in {*self.due, self.later}]
            allowed = {min(earlier)[2]} if earlier else set()
            if not earlier or self.due:
                allowed |= {name for _, _, name in ready} & {*self.due, self.later}
            assert step.run_id in allowed, (step.run_id, allowed)
            self.model.deliver(step.run_id)
            await self.check_step()
        self.due.clear()
        self.later = None

    async def check_step(self) -> None:
        step, run = self.bench.held, self.model.runs[str(self.model.held)]
        assert step is not None
        assert (step.step_number, step.attempts) == (run.step_number, run.attempts)
        assert (step.payload, step.headers) == (run.payload, run.headers)
        for key in KEYS:
            assert await step.memo.get(key) == run.memos.get((run.step_number, key))

    def teardown(self) -> None:
        self.counts["lives"] += 1
        try:
            if hasattr(self, "bench"):
                self.loop.run_until_complete(self.bench.close())
        finally:
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()
            if self.folder is not None:
                shutil.rmtree(self.folder)


def _waits(run: Run) -> bool:
    return run.state is RunState.PENDING
