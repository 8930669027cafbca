"""One process of the kill lane: a service that works on a store until something ends it.

| mode | what it does |
|---|---|
| `work` | producers, workers and runs, until it is killed |
| `close` | the same for a moment; then it closes the store in order, and may be killed meanwhile |
| `drain` | no new work: sees everything to its end, closes |
| `list` | tells everything that is in the store, closes |

It tells its parent on a pipe how far it is: `ready` once the store is open, `ended` for each run
whose hook was told, `point` where its trap is, `closing` before it closes.
"""

import asyncio
import logging
import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from taquba import JobState, OpenOptions, Queue, QueueConfig, RetryJitter, RunState
from tests.kill import run_ledger
from tests.kill.jobs_workload import DERIVED, FOLLOWUPS, OFFLOAD_BYTES, PULLED, JobsWorkload
from tests.kill.recording import Appender, Fields, Recorder, Trap
from tests.kill.runs_workload import (
    Ledger,
    RunsWorkload,
    state_fields,
    unfinished_of,
)
from tests.kill.shown import job_fields, run_fields

HISTORY = "history.jsonl"
LEDGER = "runs.ledger"
DONE = "done.jsonl"
BACKOFF_BASE_SECONDS = 0.005
BACKOFF_MAX_SECONDS = 0.05
KEEP_DONE_SECONDS = 3600.0
DRAIN_SECONDS_MAX = 60.0
LOOK_EVERY_SECONDS = 0.01
# Acked jobs of these can be found in the end; the others are gone, as by default.
KEEPING = (PULLED, DERIVED, FOLLOWUPS)
# Counts of a queue, in the words of the history.
COUNTS = ("pending", "scheduled", "claimed", "dead", "done")
# What one store comes to is far below this.
LIST_COUNT_MAX = 1000


@dataclass(frozen=True)
class Order:
    """What a process is to do.

    Args:
        directory: Where the store, the history and the ledger are.
        owner: The process's number.
        mode: See the module.
        seed: What it does is drawn from this.
        closes_after: In mode `close`, after how many seconds.
        trap: Where it dies by itself, or says that it is there.
        progress: The pipe to its parent.
    """

    directory: Path
    owner: int
    mode: str
    seed: int
    closes_after: float
    trap: Trap | None
    progress: int

    @property
    def history(self) -> Path:
        """The history of the store."""
        return self.directory / HISTORY

    @property
    def ledger(self) -> Path:
        """The ledger of its runs."""
        return self.directory / LEDGER

    def say(self, word: str) -> None:
        """Tells the parent."""
        os.write(self.progress, word.encode() + b"\n")


def open_options() -> OpenOptions:
    """How the store is opened: with syncs, and retries that come soon."""
    brief = {
        "retry_backoff_base": BACKOFF_BASE_SECONDS,
        "retry_backoff_max": BACKOFF_MAX_SECONDS,
        "retry_jitter": RetryJitter.NONE,
    }
    keeping = QueueConfig(**brief, keep_done_jobs=KEEP_DONE_SECONDS)  # type: ignore[arg-type]
    return OpenOptions(
        fsync=True,
        payload_offload_threshold=OFFLOAD_BYTES,
        default_queue_config=QueueConfig(**brief),  # type: ignore[arg-type]
        queue_configs=dict.fromkeys(KEEPING, keeping),
    )


class Service:
    """One process's work."""

    def __init__(self, order: Order, queue: Queue, recorder: Recorder, ledger: Ledger) -> None:
        self.order = order
        self.queue = queue
        self.recorder = recorder
        self.jobs = JobsWorkload(queue, recorder, random.Random(order.seed))
        self.known_runs = run_ledger.read(order.ledger)
        told = run_ledger.telling_counts(self.known_runs)
        self.runs = RunsWorkload(queue, ledger, recorder, lambda: order.say("ended"), told)

    async def work(self) -> None:
        """Works until the process is killed, or until it is time to close."""
        unfinished = unfinished_of(self.known_runs)
        calls = [*self.jobs.producers(), self.runs.go_on(f"o{self.order.owner}", unfinished)]
        workers = [asyncio.ensure_future(worker) for worker in self.jobs.workers()]
        async with self.runs.runtime:
            working = [asyncio.ensure_future(call) for call in calls]
            ends = asyncio.gather(*working, *workers)
            if self.order.mode == "work":
                await ends
                return
            await asyncio.wait((ends,), timeout=self.order.closes_after)
            if ends.done():
                ends.result()
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            self.order.say("closing")
        self.jobs.shutdown.set()
        await asyncio.gather(*workers)

    async def drain(self) -> None:
        """Sees everything to its end."""
        self.recorder.tell("calmed", {})
        workers = [asyncio.ensure_future(worker) for worker in self.jobs.workers()]
        try:
            async with asyncio.timeout(DRAIN_SECONDS_MAX), self.runs.runtime:
                await self.runs.finish(self.known_runs)
                await self.await_quiet(workers)
        except TimeoutError:
            self.recorder.tell("stuck", {"left": str(await self.left())})
            raise
        self.recorder.tell("drained", {})
        self.jobs.shutdown.set()
        await asyncio.gather(*workers)

    async def await_quiet(self, workers: list["asyncio.Task[None]"]) -> None:
        """Waits until nothing is left to do; fails with a worker that failed."""
        while await self.left():
            for worker in workers:
                if worker.done():
                    worker.result()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def left(self) -> dict[str, int]:
        """How many jobs wait or run, by queue."""
        queues = (await self.queue.stats()).queues
        counts = {
            name: queue.pending_count + queue.scheduled_count + queue.claimed_count
            for name, queue in queues.items()
        }
        return {name: count for name, count in counts.items() if count}

    async def list(self) -> None:
        """Tells everything that is in the store."""
        recounted: dict[str, Counter[str]] = {}
        for name in await self.queue.list_queues():
            recounted[name] = await self.list_jobs(name)
        live = await self.list_runs()
        await self.list_keys()
        self.recorder.tell("found_all", {})
        told = [
            {"queue": name, "live_runs": queue.live_run_count}
            | {count: getattr(queue, f"{count}_count") for count in COUNTS}
            for name, queue in sorted((await self.queue.stats()).queues.items())
        ]
        counted = [
            {"queue": name, "live_runs": live[name]} | {state: found[state] for state in COUNTS}
            for name, found in sorted(recounted.items())
        ]
        self.recorder.note("counted", "counted", told=told, recounted=counted)
        await self.runs.tell_outcomes(self.queue, self.known_runs)

    async def list_jobs(self, name: str) -> Counter[str]:
        """Tells the jobs of a queue, and counts them by state.

        Some queues keep what was acked and some do not. A history has one setting for all of them,
        and says that none is kept; those that are go to a file beside it.
        """
        found: Counter[str] = Counter()
        done = Appender(self.order.directory / DONE)
        cursor = None
        while True:
            page = await self.queue.list_jobs(name, cursor=cursor, limit=LIST_COUNT_MAX)
            whole = await asyncio.gather(*(self.queue.get_job(job.job_id) for job in page.jobs))
            for job in whole:
                found[job.state.value] += 1
                if job.state is JobState.DONE:
                    done.append("found_job", job_fields(job))
                else:
                    self.recorder.tell("found_job", job_fields(job))
            cursor = page.cursor
            if cursor is None:
                done.close()
                return found

    async def list_runs(self) -> Counter[str]:
        """Tells the runs, and counts the live ones by queue."""
        live: Counter[str] = Counter()
        cursor = None
        while True:
            page = await self.queue.list_runs(cursor=cursor, limit=LIST_COUNT_MAX)
            for run in page.runs:
                self.runs.note("status", run.run_id, **state_fields(run))
                outcome = None
                if run.state in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED):
                    outcome = await self.runs.runtime.handle(run.run_id).outcome()
                else:
                    live[run.queue] += 1
                self.recorder.tell("found_run", run_fields(run, outcome))
            cursor = page.cursor
            if cursor is None:
                return live

    async def list_keys(self) -> None:
        """Tells the keys."""
        cursor = None
        while True:
            page = await self.queue.kv_scan(cursor=cursor, limit=LIST_COUNT_MAX)
            for key, value in page.entries:
                self.recorder.tell("found_value", {"key": key, "value": value.decode()})
            cursor = page.cursor
            if cursor is None:
                return


def profile_fields(seed: int) -> Fields:
    """What stands first in a history of this lane."""
    return {
        "lane": "kill",
        "seed": seed,
        "max_attempts": 3,
        "hook_max_attempts": 25,
        "backoff_base_ms": int(BACKOFF_BASE_SECONDS * 1000),
        "backoff_max_ms": int(BACKOFF_MAX_SECONDS * 1000),
        "has_jitter": False,
        "lease_ms": 30_000,
        "dead_retention_ms": 7 * 86_400_000,
        "done_retention_ms": None,
        "run_retention_ms": None,
        "slack_ms": 1000,
        "call_ms_max": 60_000,
        "drain_ms_max": int(DRAIN_SECONDS_MAX * 1000),
        "is_complete": False,
    }


async def serve(order: Order) -> None:
    """Opens the store and does what is ordered."""
    # Failing hooks and jobs are part of the work; what else is logged goes to the parent.
    logging.basicConfig(level=logging.ERROR)
    recorder = Recorder(order.history, order.owner, order.trap)
    ledger = Ledger(order.ledger)
    ledger.note("start", f"o{order.owner}")
    async with Queue.open(order.directory / "store", options=open_options()) as queue:
        recorder.opened()
        order.say("ready")
        service = Service(order, queue, recorder, ledger)
        if order.mode == "drain":
            await service.drain()
        elif order.mode == "list":
            await service.list()
        else:
            await service.work()
