"""Every limit of the engine that a caller can cross: the error names value, limit and remedy.

One row per limit; what exactly the limit is fine with is in the tests of each area.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from taquba import Claim, Effects, EnqueueOptions, NewJob, OpenOptions, Queue, QueueConfig
from taquba.exceptions import (
    ResultTooLargeError,
    StoreOwnedError,
    TaqubaError,
    TooManyQueuesError,
    WrongJobStateError,
)
from taquba.store import MemoryStore
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.waiting import claim_one

KIB = 1024
MIB = 1024 * KIB
CENTURY = timedelta(days=100 * 366)
QUEUES_COUNT_MAX = 65_536
RESULT_BYTES_MAX = 4 * MIB


@dataclass(frozen=True)
class Row:
    """One more than allowed."""

    code: str
    words: tuple[str, ...]
    """The value, the limit, and a word of the remedy."""
    call: Callable[[Queue, Claim], Awaitable[object]]


async def as_call(make: Callable[[], object]) -> object:
    """What is refused when it is made, not when it is used."""
    return make()


async def unused(step: Step) -> StepOutcome:
    """A runner that never runs."""
    raise AssertionError("nothing was submitted")


def runtime(queue: Queue, concurrency: int = 1) -> WorkflowRuntime:
    """A runtime that does nothing."""
    return WorkflowRuntime(queue, unused, concurrency=concurrency)


ROWS = {
    "QUEUE_NAME_BYTES_MAX": Row(
        "invalid-queue-name", ("aaaa", "255", "use"), lambda q, _: q.enqueue("a" * 256, b"")
    ),
    "RUN_ID_BYTES_MAX": Row(
        "invalid-run-id",
        ("aaaa", "128", "use"),
        lambda q, _: as_call(lambda: RunSpec(b"", run_id="a" * 129)),
    ),
    "DEDUP_KEY_BYTES_MAX": Row(
        "invalid-dedup-key",
        ("1025", "1024", "hash"),
        lambda q, _: as_call(lambda: EnqueueOptions(dedup_key="k" * 1025)),
    ),
    "HEADERS_COUNT_MAX": Row(
        "headers-too-large",
        ("65", "64", "payload"),
        lambda q, _: as_call(lambda: EnqueueOptions(headers={f"h{n}": "" for n in range(65)})),
    ),
    "HEADERS_BYTES_MAX": Row(
        "headers-too-large",
        (str(64 * KIB + 1), str(64 * KIB), "payload"),
        lambda q, _: as_call(lambda: EnqueueOptions(headers={"k": "v" * 64 * KIB})),
    ),
    "PAYLOAD_BYTES_MAX": Row(
        "payload-too-large",
        (str(64 * MIB + 1), str(64 * MIB), "object"),
        lambda q, _: q.enqueue("emails", bytes(64 * MIB + 1)),
    ),
    "PAYLOAD_INLINE_BYTES_MAX": Row(
        "invalid-argument",
        ("payload_offload_threshold", str(4 * MIB + 1), str(4 * MIB)),
        lambda q, _: as_call(lambda: OpenOptions(payload_offload_threshold=4 * MIB + 1)),
    ),
    "KV_KEY_BYTES_MAX": Row(
        "invalid-key", ("1025", "1024", "hash"), lambda q, _: q.kv_put("k" * 1025, b"")
    ),
    "KV_VALUE_BYTES_MAX": Row(
        "value-too-large",
        (str(256 * KIB + 1), str(256 * KIB), "object"),
        lambda q, _: q.kv_put("k", bytes(256 * KIB + 1)),
    ),
    "EFFECTS_COUNT_MAX": Row(
        "too-many-effects",
        ("1001", "1000", "enqueue"),
        lambda q, claim: q.ack_with(claim, Effects().enqueue_batch("emails", [b""] * 1001)),
    ),
    "LIST_COUNT_MAX of jobs": Row(
        "invalid-argument", ("limit", "1001", "1000"), lambda q, _: q.list_jobs("q", limit=1001)
    ),
    "LIST_COUNT_MAX of dead jobs": Row(
        "invalid-argument", ("limit", "1001", "1000"), lambda q, _: q.dead_jobs("q", limit=1001)
    ),
    "LIST_COUNT_MAX of keys": Row(
        "invalid-argument", ("limit", "1001", "1000"), lambda q, _: q.kv_scan(limit=1001)
    ),
    "HEARTBEAT_MAX": Row(
        "invalid-argument",
        ("heartbeat_interval", "3601", "3600"),
        lambda q, _: as_call(lambda: OpenOptions(heartbeat_interval=3601)),
    ),
    "HEARTBEAT_MIN": Row(
        "invalid-argument",
        ("heartbeat_interval", "0.5", "1 to"),
        lambda q, _: as_call(lambda: OpenOptions(heartbeat_interval=0.5)),
    ),
    "BATCH_COUNT_MAX of jobs": Row(
        "batch-too-large",
        ("10001", "10000", "split"),
        lambda q, _: q.enqueue_batch("emails", [b""] * 10_001),
    ),
    "BATCH_COUNT_MAX of runs": Row(
        "batch-too-large",
        ("10001", "10000", "split"),
        lambda q, _: runtime(q).submit_many([RunSpec(b"")] * 10_001),
    ),
    "CLAIM_COUNT_MAX": Row(
        "invalid-argument",
        ("count_max", "10001", "10000"),
        lambda q, _: q.claim_batch("emails", 10_001),
    ),
    "MAX_ATTEMPTS_MAX of a job": Row(
        "invalid-argument",
        ("max_attempts", "1000001", "1000000"),
        lambda q, _: as_call(lambda: EnqueueOptions(max_attempts=1_000_001)),
    ),
    "MAX_ATTEMPTS_MAX of a queue": Row(
        "invalid-argument",
        ("max_attempts", "1000001", "1000000"),
        lambda q, _: as_call(lambda: QueueConfig(max_attempts=1_000_001)),
    ),
    "CONCURRENCY_MAX": Row(
        "invalid-argument",
        ("concurrency", "100001", "100000"),
        lambda q, _: as_call(lambda: runtime(q, concurrency=100_001)),
    ),
    "DURATION_MAX of a delay": Row(
        "invalid-argument",
        ("delay", "3162240001", "3162240000"),
        lambda q, _: as_call(lambda: EnqueueOptions(delay=CENTURY + timedelta(seconds=1))),
    ),
    "DURATION_MAX of a lease": Row(
        "invalid-argument",
        ("lease", "3162240001", "3162240000"),
        lambda q, _: q.claim("emails", lease=CENTURY + timedelta(seconds=1)),
    ),
    "priority": Row(
        "invalid-argument",
        ("priority", str(2**32), str(2**32 - 1)),
        lambda q, _: as_call(lambda: EnqueueOptions(priority=2**32)),
    ),
}


@pytest.mark.parametrize("limit", ROWS)
async def test_one_more_than_allowed_is_refused_with_value_limit_and_remedy(
    queue: Queue, limit: str
) -> None:
    row = ROWS[limit]
    await queue.enqueue("emails", b"x")
    claim = await claim_one(queue, "emails")

    with pytest.raises(TaqubaError) as caught:
        await row.call(queue, claim)

    error = caught.value
    assert isinstance(error, ValueError)
    assert error.code == row.code
    assert [word for word in row.words if word not in str(error)] == [], str(error)
    # Nothing happened, and the queue works.
    assert (await queue.stats()).queues["emails"].enqueued_total == 1
    await queue.ack(claim)


async def test_a_result_of_one_byte_more_fails_its_run_and_says_so(queue: Queue) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(bytes(RESULT_BYTES_MAX + int(step.payload)))

    async with WorkflowRuntime(queue, runner) as run:
        fits = await (await run.submit(RunSpec(b"0", max_attempts=1))).outcome(timeout=20)
        large = await (await run.submit(RunSpec(b"1", max_attempts=1))).outcome(timeout=20)

    assert len(fits.result or b"") == RESULT_BYTES_MAX
    assert large.result is None
    assert large.error is not None
    for word in (str(RESULT_BYTES_MAX + 1), str(RESULT_BYTES_MAX), "object"):
        assert word in large.error
    assert issubclass(ResultTooLargeError, ValueError)


@pytest.mark.slow
async def test_one_queue_more_than_a_store_holds_is_refused() -> None:
    async with Queue.open(MemoryStore()) as queue:
        for start in range(0, QUEUES_COUNT_MAX, 4096):
            names = [f"queue-{number}" for number in range(start, start + 4096)]
            await asyncio.gather(*(queue.enqueue(name, b"") for name in names))

        with pytest.raises(TooManyQueuesError) as caught:
            await queue.enqueue("one-more", b"")

        for word in ("one-more", str(QUEUES_COUNT_MAX), "headers"):
            assert word in str(caught.value)
        # Those that are there go on.
        await queue.enqueue("queue-0", b"")


async def test_errors_about_jobs_name_the_job_and_what_to_do(queue: Queue) -> None:
    job_id = await queue.enqueue("emails", b"x", EnqueueOptions(delay=3600))

    with pytest.raises(WrongJobStateError) as caught:
        await queue.requeue_dead_job(job_id)

    error = caught.value
    assert (error.job_id, error.state) == (job_id, "scheduled")
    assert error.remedy
    assert error.remedy in str(error)


async def test_an_error_about_an_owner_names_it_and_the_way_out() -> None:
    store = MemoryStore()
    async with Queue.open(store) as queue:
        owner = await queue.owner()
        assert owner is not None

        with pytest.raises(StoreOwnedError) as caught:
            await Queue.open(store, options=OpenOptions(takeover=False))

    # The error knows whole seconds.
    assert caught.value.since == owner.since.replace(microsecond=0)
    day = caught.value.since.date().isoformat()
    for word in (owner.host, str(owner.pid), day, "takeover=True"):
        assert word in str(caught.value)


async def test_a_batch_counts_its_jobs_and_not_its_bytes(queue: Queue) -> None:
    jobs = [NewJob(b"x" * 1000)] * 10_000

    assert len(set(await queue.enqueue_batch("emails", jobs))) == 10_000
