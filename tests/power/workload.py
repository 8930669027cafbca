"""A process that works on a local store and writes down, in marks, what it does and is told.

    python -m tests.power.workload STORE MARKS SEED NAME ENDING

| `ENDING` | what the process does |
|---|---|
| `close` | works, and closes the store in order |
| `kill` | kills itself, at a place that the seed says |
| `takeover` | opens the store a second time while it works, goes on, closes it in order |
| `large` | as `close`, with so much data that the log needs a second file |
| `rest` | as `close`, with a pause in which tables are compacted |
| `forever` | works until somebody ends it |

`--no-fsync` opens the store as nobody should.

Marks are one write each, to a file outside the store, so a tracer sees their place among the writes
to the store.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taquba import Claim, Effects, EnqueueOptions, NewJob, OpenOptions, Queue
from taquba.exceptions import ClaimLostError, ClosedError, FencedError
from taquba.memo import Memo, MemoStore
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.power import history
from tests.power.looking import KEPT, look, memos_of, payload_of, result_of, size_of, value_of

STEP_COUNT = 3
ROUNDS = 6
LATER = 86_400.0
# Above the threshold it becomes an object of its own.
OBJECT_BYTES = 300 * 1024
OBJECTS_AT_ONCE = 3
LARGE_BYTES = 4 * 1024 * 1024
LARGE_COUNT = 18
# A process is killed, or followed by another owner, at one of its marks up to this one.
MARKS_MAX = 220
# Longer than the storage engine waits between two looks for tables to compact.
REST_SECONDS = 2.0
ENDINGS = ("close", "kill", "takeover", "large", "rest", "forever")


class Notes:
    """Writes marks."""

    def __init__(self, path: Path, name: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._numbers = itertools.count()
        self._name = name
        self._enough: tuple[int, asyncio.Event] | None = None
        self.left: int | None = None

    def note(self, kind: str, **fields: Any) -> None:
        """Adds one mark, or dies instead."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        if self._enough is not None:
            count, reached = self._enough
            self._enough = (count - 1, reached)
            if count <= 1:
                reached.set()
        os.write(self._file, (json.dumps({"kind": kind, **fields}) + "\n").encode())

    async def reach(self, count: int) -> None:
        """Waits for so many marks."""
        reached = asyncio.Event()
        self._enough = (count, reached)
        await reached.wait()

    def begin(self, states: dict[str, history.State]) -> str:
        """Says what is about to be done."""
        op = f"{self._name}-{next(self._numbers)}"
        self.note("do", op=op, set=states)
        return op

    async def do(self, states: dict[str, history.State], work: Coroutine[Any, Any, Any]) -> None:
        """Says what is about to be done, does it, says that it was answered."""
        op = self.begin(states)
        await work
        self.note("ok", op=op)


class Work:
    """What one owner does."""

    def __init__(
        self, queue: Queue, objects: MemoStore, notes: Notes, rng: random.Random, name: str
    ) -> None:
        self.queue = queue
        self.objects = objects
        self.notes = notes
        self.rng = rng
        self.name = name
        self.numbers = itertools.count()
        self.runtime = WorkflowRuntime(queue, self, concurrency=8, run_retention=None)

    def job(self, size: int) -> tuple[str, NewJob]:
        """A job that there was never before."""
        tag = f"{self.name}-{next(self.numbers)}-{size}"
        options = EnqueueOptions(headers={"tag": tag}, max_attempts=1_000)
        return tag, NewJob(payload_of(tag, size), options)

    async def enqueue_some(self, rounds: int) -> None:
        """One by one, and in batches; payloads of all sizes."""
        for _ in range(rounds):
            size = self.rng.choice((20, 300, 3_000, OBJECT_BYTES))
            tag, job = self.job(size)
            queue = self.rng.choice(("jobs", "kept"))
            one = self.queue.enqueue(queue, job.payload, job.options)
            await self.notes.do({f"job:{tag}": "live"}, one)
            size, count = self.rng.choice(((50, 3), (200, 12), (2_000, 25), (40_000, 3)))
            batch = [self.job(size) for _ in range(count)]
            states: dict[str, history.State] = {f"job:{tag}": "live" for tag, _ in batch}
            many = self.queue.enqueue_batch(queue, [job for _, job in batch])
            await self.notes.do(states, many)

    async def enqueue_objects(self) -> None:
        """Several large payloads at once: the first ones make their directory."""

        async def one() -> None:
            tag, job = self.job(OBJECT_BYTES)
            work = self.queue.enqueue("jobs", job.payload, job.options)
            await self.notes.do({f"job:{tag}": "live"}, work)

        await asyncio.gather(*(one() for _ in range(OBJECTS_AT_ONCE)))

    async def set_keys(self, first: int, rounds: int) -> None:
        """Sets and removes keys that nobody else touches."""
        for number in range(rounds):
            key = f"key-{first + self.rng.randrange(4)}"
            value = f"{self.name}-{number}-{self.rng.choice((0, 100, 5_000))}"
            if self.rng.random() < 0.2:
                await self.notes.do({f"kv:{key}": None}, self.queue.kv_delete(key))
            else:
                await self.notes.do({f"kv:{key}": value}, self.queue.kv_put(key, value_of(value)))

    async def settle_some(self, rounds: int) -> None:
        """Claims jobs and ends their deliveries in every way."""
        for _ in range(rounds):
            name = self.rng.choice(("jobs", "kept"))
            for claim in await self.queue.claim_batch(name, 4, lease=600.0):
                tag = claim.headers["tag"]
                if claim.payload != payload_of(tag, size_of(tag)):
                    raise history.BrokenPromiseError(f"job:{tag} has another payload")
                self.notes.note("saw", set={f"job:{tag}": "live"})
                await self.settle(claim, tag)
            await asyncio.sleep(0.002)

    async def settle(self, claim: Claim, tag: str) -> None:
        """Ends one delivery."""
        subject, done = f"job:{tag}", "done" if claim.queue == "kept" else None
        match self.rng.randrange(6):
            case 0 | 1:
                await self.notes.do({subject: done}, self.queue.ack(claim))
            case 2:
                later = self.queue.nack(claim, "not now", retry_after=LATER)
                await self.notes.do({subject: "later"}, later)
            case 3:
                await self.notes.do({subject: "dead"}, self.queue.dead_letter(claim, "never"))
            case 4:
                follow_up, job = self.job(100)
                effects = Effects().enqueue("jobs", job.payload, job.options)
                value = f"{tag}-20"
                effects.kv_put(f"ack-{tag}", value_of(value))
                states = {subject: done, f"job:{follow_up}": "live", f"kv:ack-{tag}": value}
                await self.notes.do(states, self.queue.ack_with(claim, effects))
            case _:
                pass

    async def run_step(self, step: Step) -> StepOutcome:
        """Remembers something, then goes on."""
        run, number = f"run:{step.run_id}", step.step_number
        self.notes.note("saw", set={run: f"step {number}"})
        name = f"{step.run_id}:{number}"
        await asyncio.gather(
            self.remember(f"row:{name}", step.memo),
            self.remember(f"object:{name}", self.objects.new_memo(step.run_id, number)),
        )
        if number + 1 < STEP_COUNT:
            self.notes.begin({run: f"step {number + 1}"})
            return StepOutcome.Continue(f"{step.run_id}:{number + 1}".encode())
        self.notes.begin({run: "succeeded"})
        return StepOutcome.Succeed(result_of(step.run_id))

    async def remember(self, name: str, memo: Memo) -> None:
        """Keeps a memo."""
        await memo.put("note", name.encode())
        self.notes.note("memo", memo=name)

    async def run_some(self, rounds: int) -> None:
        """Submits runs and waits for some of them; cancels others before they start."""
        for number in range(rounds):
            ids = [f"{self.name}-{number}-{n}" for n in range(self.rng.randint(1, 3))]
            specs = [RunSpec(f"{run}:0".encode(), run_id=run, max_attempts=1_000) for run in ids]
            states: dict[str, history.State] = {f"run:{run}": "step 0" for run in ids}
            await self.notes.do(states, self.runtime.submit_many(specs))
            waiting = f"{self.name}-{number}-waits"
            tomorrow = datetime.now(UTC) + timedelta(days=1)
            spec = RunSpec(f"{waiting}:0".encode(), run_id=waiting, run_at=tomorrow)
            await self.notes.do({f"run:{waiting}": "step 0"}, self.runtime.submit(spec))
            await self.notes.do({f"run:{waiting}": "cancelled"}, self.runtime.cancel(waiting))
            for run in ids[:1]:
                outcome = await self.runtime.handle(run).outcome(timeout=60)
                self.notes.note("saw", set={f"run:{run}": str(outcome.status)})
                # Directories go with their last memo, while others are made.
                self.notes.note("forget", run=f"object:{run}")
                await self.objects.clear_memos_for_run(run)

    async def fill(self) -> None:
        """More than fits into one file of the log."""
        for _ in range(LARGE_COUNT):
            tag, job = self.job(LARGE_BYTES)
            one = self.queue.enqueue("jobs", job.payload, job.options)
            await self.notes.do({f"job:{tag}": "live"}, one)
            value = f"{tag}-20"
            await self.notes.do({"kv:large": value}, self.queue.kv_put("large", value_of(value)))

    async def all_kinds(self, rounds: int) -> None:
        """All of it at once, so that commits hold something of everything."""
        async with self.runtime, asyncio.TaskGroup() as group:
            group.create_task(self.enqueue_objects())
            group.create_task(self.enqueue_some(rounds))
            group.create_task(self.settle_some(2 * rounds))
            group.create_task(self.run_some(rounds))
            for first in (0, 4):
                group.create_task(self.set_keys(first, 2 * rounds))


class Process:
    """One process on the store."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.rng = random.Random(f"{arguments.seed}-{arguments.name}")
        known = arguments.marks.read_text() if arguments.marks.exists() else ""
        self.known = history.History(history.parse(known))
        self.notes = Notes(arguments.marks, arguments.name)
        self.is_given_away = False

    @asynccontextmanager
    async def owner(self, suffix: str, **options: Any) -> AsyncIterator[Work]:
        """Opens the store and says what is there."""
        fsync = not self.arguments.no_fsync
        opened = OpenOptions(fsync=fsync, queue_configs={"kept": KEPT}, **options)
        async with (
            MemoStore(memos_of(self.arguments.store), fsync=fsync) as objects,
            Queue.open(self.arguments.store, options=opened) as queue,
        ):
            yield Work(queue, objects, self.notes, self.rng, self.arguments.name + suffix)

    async def say_what_is_there(self, work: Work) -> None:
        """What is read is promised."""
        self.notes.note("seen", set=await look(work.queue))

    async def run(self) -> None:
        """Does what is asked for."""
        ending = self.arguments.ending
        options = {"payload_offload_threshold": LARGE_BYTES} if ending == "large" else {}
        try:
            async with self.owner("a", **options) as work:
                found = self.known.violations(await look(work.queue))
                if found:
                    raise history.BrokenPromiseError("; ".join(found))
                await self.say_what_is_there(work)
                if ending == "takeover":
                    await self.give_away(work)
                    return
                await self.work_on(work, ending)
        except FencedError:
            # The first owner cannot close any more; the second one has.
            if not self.is_given_away:
                raise

    async def work_on(self, work: Work, ending: str) -> None:
        """Works until the end."""
        if ending == "large":
            await work.fill()
            await asyncio.sleep(REST_SECONDS)
        if ending == "kill":
            self.notes.left = self.rng.randrange(MARKS_MAX)
        await work.all_kinds(ROUNDS)
        if ending == "rest":
            await asyncio.sleep(REST_SECONDS)
            await work.enqueue_some(2)
        for number in itertools.count():
            if ending not in {"kill", "forever"}:
                break
            name = f"{self.arguments.name}n{number}"
            work = Work(work.queue, work.objects, self.notes, self.rng, name)
            await work.all_kinds(ROUNDS)

    async def give_away(self, work: Work) -> None:
        """Works until a second owner comes, which goes on."""
        first = asyncio.create_task(until_fenced(work.all_kinds(10 * ROUNDS)))
        await self.notes.reach(self.rng.randrange(1, MARKS_MAX))
        async with self.owner("b") as second:
            await first
            await self.say_what_is_there(second)
            await second.all_kinds(ROUNDS // 2)
        self.is_given_away = True


async def until_fenced(work: Coroutine[Any, Any, None]) -> None:
    """Works until the store is somebody else's."""
    gone = (FencedError, ClosedError, ClaimLostError)
    with suppress(*gone):
        try:
            await work
        except* gone:
            pass


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("marks", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("name")
    parser.add_argument("ending", choices=ENDINGS)
    parser.add_argument("--no-fsync", action="store_true")
    asyncio.run(Process(parser.parse_args()).run())


if __name__ == "__main__":
    main()
