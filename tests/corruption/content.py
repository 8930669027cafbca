"""What a store of these tests holds, and how it is written.

Each payload is a text of its own, so one that was changed, mixed up or delivered twice is seen.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from taquba import EnqueueOptions, MemoStore, OpenOptions, Queue, QueueConfig
from taquba.exceptions import MemoCorruptedError
from taquba.store import StoreLike
from taquba.workflow import RunSpec, Step, StepError, StepOutcome, TerminalStatus, WorkflowRuntime

OFFLOAD_BYTES = 1024
OPTIONS = OpenOptions(
    fsync=False,
    store_timeout=8.0,
    payload_offload_threshold=OFFLOAD_BYTES,
    default_queue_config=QueueConfig(retry_backoff_base=0.001, retry_backoff_max=0.001),
    queue_configs={"kept": QueueConfig(keep_done_jobs=3600.0)},
)

MEMO_PREFIX = "memory"
MEMO_RUNS = ("alpha", "beta")
MARKED_AT_MS = 1_700_000_000_000
# Its last commits may be lost with the end of the log: see `docs/durability.md`.
FREE_KEY = "last"
CANCELLED = b"a job whose holder was asked to stop"


def small(number: int) -> bytes:
    """A payload that is kept in its record."""
    return b"small payload %03d " % number * 4


def large(number: int) -> bytes:
    """A payload that becomes an object."""
    return b"large payload %03d " % number * 150


def memo_value(run_id: str, key: str) -> bytes:
    """The value of a memo, in the log or beside it."""
    size = 150 if key == "large" else 2
    return f"memo {key} of {run_id} ".encode() * size


@dataclass
class Content:
    """What a sound store gives back.

    Args:
        jobs: Payloads of jobs that are delivered.
        waiting: Payloads of jobs that are looked at, not delivered: scheduled, dead, done.
        keys: The key-value space, but for `FREE_KEY`.
        results: Of runs that have ended, and of the one that ends when it is read.
    """

    jobs: set[bytes] = field(default_factory=set)
    waiting: set[bytes] = field(default_factory=set)
    keys: dict[str, bytes] = field(default_factory=dict)
    results: dict[str, tuple[TerminalStatus, bytes | None]] = field(default_factory=dict)


async def remember(step: Step) -> StepOutcome:
    """Ends a run as its input says; of the live one, writes memos and fails."""
    if step.payload == b"fails":
        raise StepError.permanent("it was asked to")
    if step.run_id != "live":
        return StepOutcome.Succeed(step.payload)
    for key in ("small", "large"):
        await step.memo.put(key, memo_value("live", key))
    raise StepError.transient("not yet", retry_after=0.001)


async def recall(step: Step) -> StepOutcome:
    """Ends the live run with what its memos say, or with how they are damaged."""
    try:
        found = [await step.memo.get(key) for key in ("small", "large")]
    except MemoCorruptedError as error:
        return StepOutcome.Fail(str(error))
    return StepOutcome.Succeed(b"|".join(value or b"nothing" for value in found))


async def write(store: StoreLike, *, owner_count: int) -> tuple[Queue, Content]:
    """Write a store with records and objects of every kind, by several owners, one after another.

    Returns:
        The last owner, who is alive: whoever copies the store now has that of a killed process.
    """
    content = Content()
    queue = await Queue.open(store, options=OPTIONS)
    for number in range(1, owner_count + 1):
        await _write_jobs(queue, content, number * 100)
        if number == 1:
            await _write_runs(queue, content)
            await _write_ended_jobs(queue, content)
        if number < owner_count:
            await queue.close()
            queue = await Queue.open(store, options=OPTIONS)
    await _leave_claims(queue, content)
    for value in (b"one", b"two", b"three"):
        await queue.kv_put(FREE_KEY, value)
    return queue, content


async def write_memos(directory: Path) -> None:
    """Write memos and a mark of a run's end as objects beside the queue."""
    async with MemoStore(directory, MEMO_PREFIX, fsync=False) as memos:
        for run_id in MEMO_RUNS:
            memo = memos.new_memo(run_id, 0)
            for key in ("small", "large"):
                await memo.put(key, memo_value(run_id, key))
        await memos.write_terminal_marker("alpha", MARKED_AT_MS)


async def _write_jobs(queue: Queue, content: Content, first: int) -> None:
    for number in range(first, first + 12):
        await queue.enqueue("emails", small(number))
        content.jobs.add(small(number))
    for number in range(first, first + 3):
        await queue.enqueue("reports", large(number))
        content.jobs.add(large(number))
    for number in range(first, first + 4):
        key, value = f"key-{number}", b"value %03d" % number
        await queue.kv_put(key, value)
        content.keys[key] = value


async def _write_ended_jobs(queue: Queue, content: Content) -> None:
    await queue.enqueue("kept", b"done and kept")
    claim = await queue.claim("kept", lease=30.0)
    assert claim is not None
    await queue.ack(claim)
    await queue.enqueue("buried", b"dead")
    claim = await queue.claim("buried", lease=30.0)
    assert claim is not None
    await queue.dead_letter(claim, "it was asked to")
    await queue.enqueue("later", b"scheduled", EnqueueOptions(delay=86_400.0, dedup_key="once"))
    content.waiting |= {b"done and kept", b"dead", b"scheduled"}


async def _write_runs(queue: Queue, content: Content) -> None:
    async with WorkflowRuntime(queue, remember, queue_name="flows") as runtime:
        for run_id in ("good", "fails"):
            handle = await runtime.submit(RunSpec(run_id.encode(), run_id=run_id))
            await handle.outcome(timeout=20)
        await runtime.submit(RunSpec(b"live", run_id="live", max_attempts=1_000))
        async with asyncio.timeout(20):
            while (await queue.get_run("live")).last_error is None:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.001)
    live = b"|".join(memo_value("live", key) for key in ("small", "large"))
    content.results = {
        "good": (TerminalStatus.Succeeded, b"good"),
        "fails": (TerminalStatus.Failed, None),
        "live": (TerminalStatus.Succeeded, live),
    }


async def _leave_claims(queue: Queue, content: Content) -> None:
    """Leaves two jobs claimed; the holder of one was asked to stop."""
    await queue.enqueue("held", b"held")
    content.jobs.add(b"held")
    job_id = await queue.enqueue("held", CANCELLED)
    claims = await queue.claim_batch("held", 2, lease=600.0)
    assert len(claims) == 2
    await queue.cancel(job_id)
