"""`Step.memo`, in the queue's log and as objects: what a step finds again, and who may write."""

import asyncio
import contextlib
import sys
import unicodedata
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from taquba import (
    Continue,
    Fail,
    Memo,
    MemoStore,
    OpenOptions,
    Queue,
    QueueConfig,
    RetryJitter,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    Succeed,
    WorkflowRuntime,
)
from taquba._taquba import PAYLOAD_BYTES_MAX
from taquba.exceptions import (
    ArgumentTypeError,
    ClaimLostError,
    ClosedError,
    MemoCorruptedError,
    MemoTooLargeError,
)
from taquba.store import MemoryStore
from tests.waiting import eventually

QUICK = QueueConfig(
    max_attempts=3, retry_backoff_base=0.001, retry_backoff_max=0.001, retry_jitter=RetryJitter.NONE
)
HOSTILE_KEYS = [
    "",
    "/",
    "../..",
    "\0",
    "\ud800",
    "%2e%2e",
    "a" * 10_000,
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
]


class Machine:
    """A queue and the place of its memos, which can be closed and opened again."""

    def __init__(self, store: MemoryStore | Path, memo_store: MemoryStore | Path | None) -> None:
        self._store = store
        self._memo_store = memo_store

    @contextlib.asynccontextmanager
    async def open(self) -> "AsyncIterator[Session]":
        """Opens both."""
        async with contextlib.AsyncExitStack() as stack:
            options = OpenOptions(fsync=False, default_queue_config=QUICK)
            queue = await stack.enter_async_context(Queue.open(self._store, options=options))
            memos = None
            if self._memo_store is not None:
                memos = MemoStore(self._memo_store, "memos-of-test", fsync=False)
                await stack.enter_async_context(memos)
            yield Session(queue, memos)


class Session:
    """Both, open."""

    def __init__(self, queue: Queue, memos: MemoStore | None) -> None:
        self.queue = queue
        self.memos = memos

    def runtime(self, runner: Any, **options: Any) -> WorkflowRuntime:
        """A runtime with that place of memos. What its runner asserts is not tried again."""

        async def asserting(step: Step) -> StepOutcome:
            try:
                outcome: StepOutcome = await runner(step)
            except (AssertionError, pytest.fail.Exception) as error:
                raise StepError.permanent(repr(error)) from error
            return outcome

        return WorkflowRuntime(self.queue, asserting, memo_store=self.memos, **options)

    async def run(self, runner: Any, run_id: str | None = None, **options: Any) -> str:
        """Runs one run to its end; returns its result as text."""
        async with self.runtime(runner, **options) as runtime:
            handle = await runtime.submit(RunSpec(b"", run_id=run_id))
            outcome = await handle.outcome(timeout=30)
        assert outcome.error is None, outcome.error
        return (outcome.result or b"").decode()


@pytest.fixture(params=["rows", "objects"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """A queue on disk, with its memos in its log, or in a store of their own."""
    elsewhere = tmp_path / "memos" if request.param == "objects" else None
    return Machine(tmp_path / "queue", elsewhere)


@pytest.fixture
async def session(machine: Machine) -> AsyncIterator[Session]:
    """Both, open."""
    async with machine.open() as opened:
        yield opened


async def test_a_step_finds_what_it_put(session: Session) -> None:
    async def runner(step: Step) -> StepOutcome:
        assert await step.memo.get("k") is None
        for value in (b"first", b"", b"last"):
            await step.memo.put("k", value)
            assert await step.memo.get("k") == value
        assert await step.memo.get("other") is None
        return Succeed(b"done")

    assert await session.run(runner) == "done"


async def test_a_step_has_one_memo(session: Session) -> None:
    async def runner(step: Step) -> StepOutcome:
        assert isinstance(step.memo, Memo)
        assert step.memo is step.memo
        assert f"run_id='{step.run_id}', step_number=0" in repr(step.memo)
        return Succeed(b"done")

    assert await session.run(runner) == "done"


async def test_a_retry_finds_what_the_attempt_before_put(session: Session) -> None:
    async def runner(step: Step) -> StepOutcome:
        found = await step.memo.get("k")
        await step.memo.put("k", (found or b"") + b"%d" % step.attempts)
        if step.attempts < 3:
            message = "again"
            raise StepError.transient(message)
        return Succeed(await step.memo.get("k") or b"")

    assert await session.run(runner) == "123"


async def test_an_expensive_answer_is_paid_for_once(session: Session) -> None:
    calls: list[int] = []

    async def ask() -> bytes:
        calls.append(1)
        return b"42"

    async def runner(step: Step) -> StepOutcome:
        answers = await asyncio.gather(*(step.memo.get_or_compute("q", ask) for _ in range(10)))
        if step.attempts < 3:
            message = "again"
            raise StepError.transient(message)
        return Succeed(b" ".join(answers))

    assert await session.run(runner) == " ".join(["42"] * 10)
    assert len(calls) == 1


async def test_a_memo_survives_the_end_of_the_process_that_wrote_it(machine: Machine) -> None:
    written = asyncio.Event()

    async def interrupted(step: Step) -> StepOutcome:
        await step.memo.put("k", b"before")
        await step.memo.put("large", b"x" * 1024 * 1024)
        written.set()
        await asyncio.Event().wait()
        return Fail("unreachable")

    async def runner(step: Step) -> StepOutcome:
        large = await step.memo.get("large")
        assert large == b"x" * 1024 * 1024
        return Succeed(await step.memo.get("k") or b"nothing")

    async with (
        machine.open() as before,
        before.runtime(interrupted, shutdown_timeout=0.0) as runtime,
    ):
        await runtime.submit(RunSpec(b"", run_id="run"))
        await written.wait()

    async with machine.open() as after, after.runtime(runner) as runtime:
        outcome = await runtime.handle("run").outcome(timeout=30)
    assert outcome.result == b"before"


async def test_any_text_is_a_key_and_no_two_meet(session: Session) -> None:
    async def runner(step: Step) -> StepOutcome:
        for number, key in enumerate(HOSTILE_KEYS):
            await step.memo.put(key, b"%d" % number)
        found = [await step.memo.get(key) for key in HOSTILE_KEYS]
        return Succeed(b" ".join(value or b"-" for value in found))

    assert await session.run(runner) == " ".join(map(str, range(len(HOSTILE_KEYS))))


async def test_a_memo_belongs_to_one_run_and_one_step(session: Session) -> None:
    async def runner(step: Step) -> StepOutcome:
        assert await step.memo.get("k") is None
        await step.memo.put("k", f"{step.run_id} {step.step_number}".encode())
        if step.step_number < 2:
            return Continue(b"")
        return Succeed(await step.memo.get("k") or b"")

    async with session.runtime(runner) as runtime:
        specs = [RunSpec(b"", run_id=run_id) for run_id in ("run", "run-1", "r")]
        handles = await runtime.submit_many(specs)
        outcomes = [await handle.outcome(timeout=30) for handle in handles]

    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert [outcome.result for outcome in outcomes] == [b"run 2", b"run-1 2", b"r 2"]


async def test_who_has_lost_the_claim_neither_writes_nor_reads(session: Session) -> None:
    kept: list[Memo] = []

    async def runner(step: Step) -> StepOutcome:
        if kept:
            assert await step.memo.get("k") == b"of the first"
            return Succeed(b"done")
        kept.append(step.memo)
        await step.memo.put("k", b"of the first")
        message = "over"
        raise StepError.transient(message)

    assert await session.run(runner) == "done"
    [memo] = kept

    with pytest.raises(ClaimLostError):
        await memo.put("k", b"too late")
    with pytest.raises(ClaimLostError):
        await memo.get("k")
    with pytest.raises(ClaimLostError):
        await memo.get_or_compute("k", lambda: b"too late")


async def test_a_late_put_does_not_reach_the_step_that_took_over(session: Session) -> None:
    kept: list[Memo] = []
    refused: list[ClaimLostError] = []

    async def runner(step: Step) -> StepOutcome:
        if not kept:
            kept.append(step.memo)
            message = "over"
            raise StepError.transient(message)
        await step.memo.put("k", b"of the second")
        try:
            await kept[0].put("k", b"of the first")
        except ClaimLostError as error:
            refused.append(error)
        return Succeed(await step.memo.get("k") or b"")

    assert await session.run(runner) == "of the second"
    assert len(refused) == 1


async def test_a_memo_does_not_keep_its_step(session: Session) -> None:
    async def runner(step: Step) -> StepOutcome:
        before = sys.getrefcount(step)
        memo = step.memo
        assert sys.getrefcount(step) == before
        await memo.put("k", b"value")
        return Succeed(b"done")

    assert await session.run(runner) == "done"


async def test_a_large_value_comes_back_and_one_over_the_limit_is_refused(
    session: Session,
) -> None:
    large = bytes(range(256)) * 4096

    async def runner(step: Step) -> StepOutcome:
        await step.memo.put("large", large)
        assert await step.memo.get("large") == large
        with pytest.raises(MemoTooLargeError) as caught:
            await step.memo.put("larger", bytes(PAYLOAD_BYTES_MAX + 1))
        assert caught.value.size_bytes == PAYLOAD_BYTES_MAX + 1
        assert await step.memo.get("larger") is None
        return Succeed(b"done")

    assert await session.run(runner) == "done"


async def test_a_value_that_is_no_bytes_is_refused(session: Session) -> None:
    async def runner(step: Step) -> StepOutcome:
        with pytest.raises(ArgumentTypeError, match="`str`"):
            await step.memo.put("k", "text")  # type: ignore[arg-type]
        return Succeed(await step.memo.get("k") or b"nothing")

    assert await session.run(runner) == "nothing"


async def test_a_damaged_large_value_is_told_and_never_returned(
    session: Session, tmp_path: Path
) -> None:
    large = b"x" * 1024 * 1024

    async def runner(step: Step) -> StepOutcome:
        await step.memo.put("k", large)
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        [file] = [file for file in files if 0 <= file.stat().st_size - len(large) < 100]
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(MemoCorruptedError) as caught:
            await step.memo.get("k")
        assert file.name in str(caught.value)
        await step.memo.put("k", b"again")
        return Succeed(await step.memo.get("k") or b"")

    assert await session.run(runner) == "again"


async def test_many_puts_at_once_are_all_there(session: Session) -> None:
    async def runner(step: Step) -> StepOutcome:
        keys = [str(number) for number in range(200)]
        await asyncio.gather(*(step.memo.put(key, key.encode()) for key in keys))
        found = await asyncio.gather(*(step.memo.get(key) for key in keys))
        assert found == [key.encode() for key in keys]
        return Succeed(b"done")

    assert await session.run(runner) == "done"


async def test_a_memo_of_a_closed_queue_says_so(machine: Machine) -> None:
    kept: list[Memo] = []

    async def runner(step: Step) -> StepOutcome:
        kept.append(step.memo)
        return Succeed(b"done")

    async with machine.open() as session:
        await session.run(runner)

    with pytest.raises(ClosedError):
        await kept[0].get("k")
    with pytest.raises(ClosedError):
        await kept[0].put("k", b"value")


async def resubmit(session: Session, runner: Any) -> str:
    """Submits a run id again when its end is forgotten, and runs it."""
    async with session.runtime(runner, run_retention=timedelta()) as runtime:

        async def submitted() -> Any:
            handle = await runtime.submit(RunSpec(b"again", run_id="run"))
            return handle if handle.newly_submitted else None

        with contextlib.suppress(Exception):
            await runtime.handle("run").outcome(timeout=30)
        handle = await eventually(submitted, "the end of the run to be forgotten")
        outcome = await handle.outcome(timeout=30)
    assert outcome.error is None, outcome.error
    return (outcome.result or b"").decode()


async def test_a_run_that_takes_over_an_id_sees_nothing_of_its_predecessor(tmp_path: Path) -> None:
    async def runner(step: Step) -> StepOutcome:
        found = await step.memo.get("k")
        await step.memo.put("k", b"value")
        return Succeed(found or b"nothing")

    async with Machine(tmp_path, None).open() as session:
        async with session.runtime(runner, run_retention=timedelta()) as runtime:
            await (await runtime.submit(RunSpec(b"again", run_id="run"))).outcome(timeout=30)
        assert await resubmit(session, runner) == "nothing"


async def test_the_runtime_sweeps_memos_of_ended_runs_and_no_others(tmp_path: Path) -> None:
    async def runner(step: Step) -> StepOutcome:
        await step.memo.put("k", b"value")
        return Succeed(b"done")

    async with Machine(tmp_path / "queue", tmp_path / "memos").open() as session:
        memos = session.memos
        assert memos is not None
        await memos.new_memo("unfinished", 0).put("k", b"value")
        await session.run(runner, "run", memo_retention=timedelta(days=1))

        async def is_marked() -> bool:
            return [mark.run_id for mark in await memos.list_terminal_markers()] == ["run"]

        async def is_gone() -> bool:
            return await memos.list_terminal_markers() == []

        async with session.runtime(runner, memo_retention=timedelta(days=1)):
            await eventually(is_marked, "the mark of the end")
        assert await memos.new_memo("run", 0).get("k") == b"value"

        async with session.runtime(runner, memo_retention=timedelta()):
            await eventually(is_gone, "the sweep")
        assert await memos.new_memo("run", 0).get("k") is None
        assert await memos.new_memo("unfinished", 0).get("k") == b"value"
