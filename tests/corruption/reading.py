"""Everything that a damaged store still gives.

Each thing is asked for by itself, so that one that is damaged does not hide the others.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from taquba import HEADER_RUN_ID, JobState, MemoStore, Queue
from taquba.exceptions import TaqubaError
from taquba.workflow import TerminalStatus, WorkflowRuntime
from tests.corruption.content import MEMO_PREFIX, MEMO_RUNS, OPTIONS, recall

RUN_IDS = ("good", "fails", "live")
OUTCOME_SECONDS_MAX = 8.0


@dataclass
class Seen:
    """What a store gave.

    Args:
        refusal: Why it could not be opened, or could not be read any further.
        jobs: Payloads that were delivered, and how often.
        waiting: Payloads of jobs that were looked at.
        keys: The key-value space.
        results: Of runs.
        memos: Beside the queue, by run and key; `None` if there is none.
        marks: Of ended runs, beside the queue.
        quarantined_count: Records that were moved aside.
        buried: Why jobs became dead that were not.
        errors: What a single question was answered with, by the question.
    """

    refusal: TaqubaError | None = None
    jobs: Counter[bytes] = field(default_factory=Counter)
    waiting: set[bytes] = field(default_factory=set)
    keys: dict[str, bytes] = field(default_factory=dict)
    results: dict[str, tuple[TerminalStatus, bytes | None, str | None]] = field(
        default_factory=dict
    )
    memos: dict[tuple[str, str], bytes | None] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    quarantined_count: int = 0
    buried: list[str] = field(default_factory=list)
    errors: dict[str, TaqubaError] = field(default_factory=dict)

    @contextlib.contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Note the error that a question is answered with."""
        try:
            yield
        except TaqubaError as error:
            self.errors[what] = error

    def isolated_count(self) -> int:
        """How much was found damaged, with everything else still there."""
        failed = [error for _, _, error in self.results.values() if error and "damaged" in error]
        return self.quarantined_count + len(self.buried) + len(self.errors) + len(failed)


async def read(directory: Path) -> Seen:
    """Open a store as its next owner, and read everything."""
    seen = Seen()
    try:
        async with Queue.open(directory, options=OPTIONS) as queue:
            await _read_queue(queue, seen)
    except TaqubaError as error:
        seen.refusal = error
    if (directory / MEMO_PREFIX).is_dir():
        await _read_memos(directory, seen)
    return seen


async def _read_queue(queue: Queue, seen: Seen) -> None:
    stats = await queue.stats()
    seen.quarantined_count = stats.quarantined_count
    for name in sorted(stats.queues):
        for state in (JobState.SCHEDULED, JobState.DONE, JobState.DEAD):
            await _look_at(queue, name, state, seen)
    # A queue whose record is damaged goes on under a name that says so.
    damaged = [name for name in stats.queues if name.startswith("damaged-")]
    flows = "flows" if "flows" in stats.queues else next(iter(damaged), "flows")
    async with WorkflowRuntime(queue, recall, queue_name=flows) as runtime:
        for run_id in RUN_IDS:
            with seen.asking(f"run {run_id}"):
                outcome = await runtime.handle(run_id).outcome(timeout=OUTCOME_SECONDS_MAX)
                seen.results[run_id] = (outcome.status, outcome.result, outcome.error)
    for name in sorted(stats.queues):
        with seen.asking(f"queue {name}"):
            await _deliver(queue, name, seen)
    cursor = None
    with seen.asking("keys"):
        while True:
            page = await queue.kv_scan(cursor=cursor)
            seen.keys.update(page.entries)
            cursor = page.cursor
            if cursor is None:
                break
    if "keys" in seen.errors:
        await _read_each_key(queue, seen)


async def _look_at(queue: Queue, name: str, state: JobState, seen: Seen) -> None:
    with seen.asking(f"{state.value} of {name}"):
        for job in (await queue.list_jobs(name, state, limit=1_000)).jobs:
            if job.kind == "job":
                with seen.asking(f"job {job.job_id}"):
                    payload = (await queue.get_job(job.job_id)).payload
                    seen.waiting.add(payload or b"")


async def _deliver(queue: Queue, name: str, seen: Seen) -> None:
    before = {job.job_id for job in (await queue.dead_jobs(name, limit=1_000)).jobs}
    while claims := await queue.claim_batch(name, 100, lease=600.0):
        for claim in claims:
            # A step belongs to its runtime, whatever queue it was found in.
            if HEADER_RUN_ID not in claim.headers:
                seen.jobs[claim.payload] += 1
                await queue.ack(claim)
    for job in (await queue.dead_jobs(name, limit=1_000)).jobs:
        if job.job_id not in before:
            seen.buried.append(job.last_error or "")


async def _read_each_key(queue: Queue, seen: Seen) -> None:
    names = [f"key-{first + number}" for first in (100, 200, 300) for number in range(4)]
    for name in names:
        with seen.asking(f"key {name}"):
            value = await queue.kv_get(name)
            if value is not None:
                seen.keys[name] = value
    del seen.errors["keys"]


async def _read_memos(directory: Path, seen: Seen) -> None:
    async with MemoStore(directory, MEMO_PREFIX, fsync=False) as memos:
        for run_id in MEMO_RUNS:
            for key in ("small", "large"):
                with seen.asking(f"memo {run_id} {key}"):
                    seen.memos[run_id, key] = await memos.new_memo(run_id, 0).get(key)
        with seen.asking("marks"):
            seen.marks = [mark.run_id for mark in await memos.list_terminal_markers()]
