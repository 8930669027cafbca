"""What a user does to runs, and what happens to all of it: time, closes, crashes."""

import asyncio
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import rule

from taquba import EnqueueOptions, RunSpec, RunState
from taquba.exceptions import InputMismatchError
from taquba.workflow import Step, StepError, StepOutcome
from tests.model.job_rules import JobRules
from tests.model.life import KEYS, SIZES
from tests.model.opened import eventually
from tests.model.plain import FLOW, Run

ENDS = ["continue", "continue", "succeed", "fail", "cancel", "transient", "permanent"]
RUN_IDS = ["run", "run-1", "run-12", "other"]


class LifeOfAStore(JobRules):
    """One store in memory."""

    @rule(
        names=st.lists(st.sampled_from(RUN_IDS), min_size=1, max_size=2, unique=True),
        given=st.sampled_from([b"in", b"other"]),
        priority=st.sampled_from([None, 1]),
        delay=st.sampled_from([None, None, 60]),
        max_attempts=st.sampled_from([None, 1]),
    )
    def submit(
        self,
        names: list[str],
        given: bytes,
        priority: int | None,
        delay: float | None,
        max_attempts: int | None,
    ) -> None:
        self.run(self.add_runs(names, given, priority, delay, max_attempts))

    async def add_runs(
        self,
        names: list[str],
        given: bytes,
        priority: int | None,
        delay: float | None,
        max_attempts: int | None,
    ) -> None:
        """Submits runs: those that are there are found, or refused for another input."""
        run_at = None if delay is None else self.model.now + timedelta(seconds=delay)
        headers = {"tenant": names[0]}
        specs = [RunSpec(given, name, headers, priority, max_attempts, run_at) for name in names]
        known = [self.model.runs[name] for name in names if name in self.model.runs]
        try:
            handles = await self.bench.runtime.submit_many(specs)
        except InputMismatchError:
            assert any(run.input != given for run in known)
            return
        assert all(run.input == given for run in known)
        for name, handle in zip(names, handles, strict=True):
            assert handle.newly_submitted is (name not in self.model.runs)
            if handle.newly_submitted:
                config = self.model.config(FLOW)
                run = Run(
                    given,
                    headers,
                    config.default_priority if priority is None else priority,
                    max_attempts or config.max_attempts,
                    0,
                    given,
                )
                self.model.submit(name, run, delay)
                if delay is None:
                    self.due.add(name)

    async def held(self) -> tuple[Step, str]:
        """The step in flight, and its run; one is submitted if there is none."""
        if self.model.held is None:
            self.submitted_count += 1
            await self.add_runs([f"made-{self.submitted_count}"], b"in", None, None, None)
            await self.await_step()
        assert self.bench.held is not None
        assert self.model.held is not None
        return self.bench.held, self.model.held

    @rule(
        hows=st.lists(st.sampled_from(ENDS), min_size=1, max_size=4),
        size=st.sampled_from(SIZES),
        delay=st.sampled_from([None, None, 0, 45]),
    )
    def settle_step(self, hows: list[str], size: int, delay: float | None) -> None:
        async def act() -> None:
            for how in hows:
                await self.settle_one_step(how, bytes(size), delay)
                await self.await_step()

        self.run(act())

    async def settle_one_step(self, how: str, payload: bytes, delay: float | None) -> None:
        """Has the runner return, or raise."""
        step, run_id = await self.held()
        model, run = self.model, self.model.runs[run_id]
        self.bench.order(order_of(how, payload, delay))
        if how == "continue":
            model.go_on(payload, delay)
        elif how == "succeed":
            model.finish(RunState.SUCCEEDED, payload, None)
        elif how in {"fail", "cancel"}:
            state = RunState.FAILED if how == "fail" else RunState.CANCELLED
            model.finish(state, None, "reason")
        else:
            model.fail_step(
                "broken", step.job_id, is_permanent=how == "permanent", retry_after=delay
            )
        if run.state.is_terminal:
            self.ended.add(run_id)
        self.later = run_id
        await self.settled_step(run_id)

    async def settled_step(self, run_id: str) -> None:
        """Waits until the engine knows: what comes after this comes after it in its order, too."""
        run = self.model.runs[run_id]

        async def unknown() -> str | None:
            status = await self.bench.queue.get_run(run_id)
            is_known = status.state is run.state
            if run.state is RunState.PENDING and status.state is RunState.RUNNING:
                is_known = status.attempts == run.attempts + 1
            is_same = status.step_number == run.step_number
            return None if is_known and is_same else f"{run_id}: {status}, and not {run}"

        await eventually(unknown)

    @rule(key=st.sampled_from(KEYS), size=st.sampled_from(SIZES))
    def keep_memo(self, key: str, size: int) -> None:
        async def act() -> None:
            step, run_id = await self.held()
            run = self.model.runs[run_id]
            await step.memo.put(key, bytes(size))
            run.memos[run.step_number, key] = bytes(size)

        self.run(act())

    @rule(which=st.sampled_from(["held", "waiting", "run", "unknown"]))
    def cancel_run(self, which: str) -> None:
        async def act() -> None:
            name = which
            if which == "held":
                name = (await self.held())[1]
            elif which == "waiting":
                name = await self.waiting()
            run, held = self.model.runs.get(name), self.bench.held
            stopped = await self.bench.runtime.cancel(name)
            assert stopped is (run is not None and not run.state.is_terminal)
            if run is None or not stopped:
                return
            if name != self.model.held:
                self.model.stop_run(run)
                self.ended.add(name)
                return
            run.state = RunState.CANCELLING
            assert held is not None
            async with asyncio.timeout(20):
                await held.cancel_token.wait()

        self.run(act())

    async def waiting(self) -> str:
        """A run whose step is scheduled; one is submitted if there is none."""
        if not self.model.runs_in(RunState.SCHEDULED):
            self.submitted_count += 1
            await self.add_runs([f"made-{self.submitted_count}"], b"in", None, 60, None)
        return self.model.runs_in(RunState.SCHEDULED)[0]

    @rule(
        states=st.sampled_from([None, [RunState.SUCCEEDED, RunState.FAILED], RunState.CANCELLED]),
        prefix=st.sampled_from([None, "run", "run-1", "made"]),
        limit=st.integers(1, 3),
    )
    def page_through_runs(
        self, states: list[RunState] | RunState | None, prefix: str | None, limit: int
    ) -> None:
        """Pages show each run once, the latest submission first."""

        async def act() -> None:
            found: list[str] = []
            cursor = None
            while True:
                page = await self.bench.runtime.list_runs(
                    states, run_id_prefix=prefix, cursor=cursor, limit=limit
                )
                found += [run.run_id for run in page.runs]
                cursor = page.cursor
                if cursor is None:
                    break
            asked = [states] if isinstance(states, RunState) else states or list(RunState)
            runs = [(run.submission, name) for name, run in self.model.runs.items()]
            wanted = [name for _, name in sorted(runs, reverse=True)]
            assert found == [
                name
                for name in wanted
                if self.model.runs[name].state in asked and name.startswith(prefix or "")
            ]

        self.run(act())

    @rule()
    def wake_run(self) -> None:
        async def act() -> None:
            run_id = await self.waiting()
            status = await self.bench.queue.get_run(run_id)
            assert status.job_id is not None
            await self.bench.queue.wake_scheduled(status.job_id)
            run = self.model.runs[run_id]
            run.state, run.at = RunState.PENDING, None

        self.run(act())

    # Time, and ends.

    @rule(seconds=st.sampled_from([1, 20, 45, 400]))
    def let_time_pass(self, seconds: int) -> None:
        async def act() -> None:
            self.bench.clock.advance(seconds)
            self.due |= self.model.advance(seconds)

        self.run(act())

    @rule()
    def close_and_open(self) -> None:
        self.counts["reopenings"] += 1

        async def act() -> None:
            self.hand_back()
            await self.bench.close()
            await self.bench.open()
            self.model.recover(was_closed=True)
            await self.begin_work()

        self.run(act())

    def hand_back(self) -> None:
        """The end of a runtime interrupts its step: delivered again, unless it was its last."""
        step, run_id = self.bench.held, self.model.held
        if run_id is None or step is None:
            return
        text = "interrupted before it was settled"
        self.model.fail_step(text, step.job_id, is_permanent=False, retry_after=0)
        if self.model.runs[run_id].state.is_terminal:
            self.ended.add(run_id)

    @rule(count=st.integers(0, 3))
    def crash(self, count: int) -> None:
        """Another owner comes while some jobs are on their way: they are there, or were refused."""
        self.counts["crashes"] += 1

        async def act() -> None:
            self.burst += 1
            names = [f"{self.burst}.{number}" for number in range(count)]
            calls = [
                asyncio.ensure_future(
                    self.bench.queue.enqueue("plain", b"", EnqueueOptions(headers={"burst": name}))
                )
                for name in names
            ]
            await self.bench.crash()
            answers = await asyncio.gather(*calls, return_exceptions=True)
            self.model.recover(was_closed=False)
            await self.adopt_crash(dict(zip(names, answers, strict=True)))
            await self.begin_work()

        self.run(act())


class LifeOnDisk(LifeOfAStore):
    """The same on a local disk."""

    on_disk = True


def order_of(how: str, payload: bytes, delay: float | None) -> StepOutcome | Exception:
    """What the runner is to return or raise."""
    match how:
        case "continue":
            goes_on = StepOutcome.Continue(payload)
            return goes_on if delay is None else StepOutcome.ContinueAfter(payload, delay)
        case "succeed":
            return StepOutcome.Succeed(payload)
        case "fail":
            return StepOutcome.Fail("reason")
        case "cancel":
            return StepOutcome.Cancel("reason")
        case "transient":
            return StepError.transient("broken", retry_after=delay)
        case _:
            return StepError.permanent("broken")
