"""What is in a store, as the subjects of `history.py` have it; and what workloads put there."""

import hashlib
from pathlib import Path

from taquba import JobState, Queue, QueueConfig

QUEUES = ("jobs", "kept")
KEPT = QueueConfig(keep_done_jobs=86_400)

_STATES = {
    JobState.PENDING: "live",
    JobState.CLAIMED: "live",
    JobState.SCHEDULED: "later",
    JobState.DEAD: "dead",
    JobState.DONE: "done",
}
_PAGE = 1_000


def memos_of(store: Path) -> Path:
    """Where the memos are that are objects: beside the store."""
    return store.with_name("memos")


def payload_of(tag: str, size: int) -> bytes:
    """The payload of a job: `size` bytes that no other job has."""
    return hashlib.shake_128(tag.encode()).digest(size)


def value_of(tag: str) -> bytes:
    """The value of a key: what tells it from others, then what fills it."""
    return tag.encode() + b"|" + payload_of(tag, size_of(tag))


def size_of(tag: str) -> int:
    """Bytes of a job's payload, or of what fills a value: its tag ends with them."""
    return int(tag.rpartition("-")[2])


def result_of(run_id: str) -> bytes:
    """What a run of the workload ends with."""
    return f"{run_id} is done".encode()


def _tag_of(value: bytes) -> str:
    try:
        tag = value.partition(b"|")[0].decode()
        if value == value_of(tag):
            return tag
    except ValueError:
        pass
    return f"{len(value)} bytes that nobody wrote"


async def look(queue: Queue) -> dict[str, str]:
    """Reads everything that is there."""
    found: dict[str, str] = {}
    for name in QUEUES:
        cursor = None
        while True:
            page = await queue.list_jobs(name, cursor=cursor, limit=_PAGE)
            found |= {f"job:{job.headers['tag']}": _STATES[job.state] for job in page.jobs}
            cursor = page.cursor
            if cursor is None:
                break
    cursor = None
    while True:
        keys = await queue.kv_scan(cursor=cursor)
        found |= {f"kv:{key}": _tag_of(value) for key, value in keys.entries}
        cursor = keys.cursor
        if cursor is None:
            break
    cursor = None
    while True:
        runs = await queue.list_runs(cursor=cursor, limit=_PAGE)
        for run in runs.runs:
            live = f"step {run.step_number}"
            found[f"run:{run.run_id}"] = str(run.state) if run.state.is_terminal else live
        cursor = runs.cursor
        if cursor is None:
            return found
