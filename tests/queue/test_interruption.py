"""Every mutating call, cancelled at every step: afterwards it is wholly done or not done at all.

Each case brings the store into a state, starts its call, lets the event loop take some steps,
cancels, closes, opens again, and looks: it must find exactly the state before the call or the state
after it, and the state after it if the call had returned.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taquba import Claim, Effects, EnqueueOptions, JobState, OpenOptions, Queue, QueueConfig
from taquba.exceptions import JobNotFoundError
from taquba.store import MemoryStore
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.conftest import Store

pytestmark = pytest.mark.timeout(120)

# Steps of the loop before the cancel: each one while the call is being made, then while its commit
# is under way, then some that come too late for most calls, and at last one that comes too late for
# every call.
STEPS = [*range(13), 16, 24, 40, 80, 200, sys.maxsize]
LARGE = bytes(range(256)) * 1500
CONFIG = QueueConfig(retry_backoff_base=3600.0, keep_done_jobs=3600.0)
# For the state of a job that is not there.
GONE = "gone"


@dataclass(frozen=True)
class Case:
    """One mutating call."""

    prepare: Callable[[Queue], Awaitable[Any]]
    """Makes what the call needs, and returns it."""
    call: Callable[[Queue, Any], Awaitable[Any]]
    look: Callable[[Queue, Any], Awaitable[Any]]
    """What can be seen of it."""
    before: Any
    after: Any


async def nothing(queue: Queue) -> None:
    """Needs nothing."""


async def a_job(queue: Queue) -> str:
    """A pending job."""
    return await queue.enqueue("emails", b"x")


async def a_later_job(queue: Queue) -> str:
    """A scheduled job."""
    return await queue.enqueue("emails", b"x", EnqueueOptions(delay=3600))


async def a_claim(queue: Queue) -> Claim:
    """A claimed job, whose claim is in the store."""
    await a_job(queue)
    claim = await queue.claim("emails", lease=3600.0)
    assert claim is not None
    await queue.kv_put("settled", b"")
    return claim


async def dead_jobs(queue: Queue) -> str:
    """Three dead jobs; the first one's id."""
    ids = await queue.enqueue_batch("emails", [b"x"] * 3)
    for claim in await queue.claim_batch("emails", 3):
        await queue.dead_letter(claim, "no")
    return ids[0]


async def a_key(queue: Queue) -> None:
    """A key with a value."""
    await queue.kv_put("key", b"old")


async def waiting_count(queue: Queue, state: Any) -> int:
    """Jobs that wait, of all queues."""
    stats = (await queue.stats()).queues.values()
    return sum(one.pending_count + one.scheduled_count for one in stats)


async def state_of_job(queue: Queue, job: Any) -> str:
    """Where a job is in its life."""
    try:
        info = await queue.get_job(job if isinstance(job, str) else job.job_id)
    except JobNotFoundError:
        return GONE
    return str(info.state.value)


async def job_and_effects(queue: Queue, claim: Claim) -> tuple[str, int, bytes | None]:
    """Where a job is, and what its settlement did besides."""
    follow_ups = (await queue.list_jobs("follow-ups")).jobs
    return await state_of_job(queue, claim), len(follow_ups), await queue.kv_get("flag")


def effects() -> Effects:
    """Two jobs, one of them an object of its own, and a key."""
    return Effects().enqueue_batch("follow-ups", [b"x", LARGE]).kv_put("flag", b"yes")


async def value_of_key(queue: Queue, state: Any) -> bytes | None:
    """The key's value."""
    return await queue.kv_get("key")


async def dead_count(queue: Queue, state: Any) -> int:
    """Dead jobs."""
    return (await queue.stats()).queues["emails"].dead_count


async def no_runner(step: Step) -> StepOutcome:
    """Never runs."""
    raise AssertionError("nothing runs here")


async def live_run_count(queue: Queue, state: Any) -> int:
    """Runs that have not ended."""
    return sum(one.live_run_count for one in (await queue.stats()).queues.values())


def submitting(count: int) -> Callable[[Queue, Any], Awaitable[Any]]:
    """Submits runs."""
    specs = [RunSpec(b"", run_id=f"run-{number}") for number in range(count)]
    return lambda queue, _: WorkflowRuntime(queue, no_runner).submit_many(specs)


PENDING, SCHEDULED = JobState.PENDING.value, JobState.SCHEDULED.value
DONE, DEAD = JobState.DONE.value, JobState.DEAD.value

CASES = {
    "enqueue": Case(nothing, lambda q, _: q.enqueue("emails", b"x"), waiting_count, 0, 1),
    "enqueue large": Case(nothing, lambda q, _: q.enqueue("emails", LARGE), waiting_count, 0, 1),
    "enqueue_batch": Case(
        nothing, lambda q, _: q.enqueue_batch("emails", [b"x", LARGE, b"z"]), waiting_count, 0, 3
    ),
    "ack": Case(a_claim, lambda q, claim: q.ack(claim), state_of_job, PENDING, DONE),
    "nack": Case(a_claim, lambda q, claim: q.nack(claim, "no"), state_of_job, PENDING, SCHEDULED),
    "dead_letter": Case(
        a_claim, lambda q, claim: q.dead_letter(claim, "no"), state_of_job, PENDING, DEAD
    ),
    "ack_with": Case(
        a_claim,
        lambda q, claim: q.ack_with(claim, effects()),
        job_and_effects,
        (PENDING, 0, None),
        (DONE, 2, b"yes"),
    ),
    "nack_with": Case(
        a_claim,
        lambda q, claim: q.nack_with(claim, "no", effects()),
        job_and_effects,
        (PENDING, 0, None),
        (SCHEDULED, 2, b"yes"),
    ),
    "dead_letter_with": Case(
        a_claim,
        lambda q, claim: q.dead_letter_with(claim, "no", effects()),
        job_and_effects,
        (PENDING, 0, None),
        (DEAD, 2, b"yes"),
    ),
    "cancel": Case(a_job, lambda q, job: q.cancel(job), state_of_job, PENDING, GONE),
    # A cancelled claim is not delivered again after the reopening.
    "cancel claimed": Case(
        a_claim, lambda q, claim: q.cancel(claim.job_id), state_of_job, PENDING, GONE
    ),
    "wake_scheduled": Case(
        a_later_job, lambda q, job: q.wake_scheduled(job), state_of_job, SCHEDULED, PENDING
    ),
    "requeue_dead_job": Case(
        dead_jobs, lambda q, job: q.requeue_dead_job(job), state_of_job, DEAD, PENDING
    ),
    "purge_dead": Case(dead_jobs, lambda q, _: q.purge_dead("emails"), dead_count, 3, 0),
    "kv_put": Case(a_key, lambda q, _: q.kv_put("key", b"new"), value_of_key, b"old", b"new"),
    "kv_delete": Case(a_key, lambda q, _: q.kv_delete("key"), value_of_key, b"old", None),
    "kv_compare_put": Case(
        a_key, lambda q, _: q.kv_compare_put("key", b"old", b"new"), value_of_key, b"old", b"new"
    ),
    "kv_compare_delete": Case(
        a_key, lambda q, _: q.kv_compare_delete("key", b"old"), value_of_key, b"old", None
    ),
    "submit_many": Case(nothing, submitting(3), live_run_count, 0, 3),
}


@asynccontextmanager
async def opened(store: Store, path: str) -> AsyncIterator[Queue]:
    """One of the queues of this test's store."""
    options = OpenOptions(fsync=False, default_queue_config=CONFIG)
    async with Queue.open(store, path, options) as queue:
        yield queue


async def cancel_after(steps: int, call: Awaitable[Any]) -> bool:
    """Starts a call, cancels it after some steps of the loop; whether it had returned by then."""
    task = asyncio.ensure_future(call)
    if steps == sys.maxsize:
        await task
    for _ in range(0 if task.done() else steps):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True


@pytest.mark.parametrize("name", CASES)
async def test_a_cancelled_call_is_wholly_done_or_not_done(store: Store, name: str) -> None:
    case = CASES[name]
    seen = []
    for steps in STEPS:
        path = f"after-{steps}"
        async with opened(store, path) as queue:
            state = await case.prepare(queue)
            returned = await cancel_after(steps, case.call(queue, state))

        async with opened(store, path) as queue:
            found = await case.look(queue, state)

        assert found in ([case.after] if returned else [case.before, case.after]), steps
        seen.append(found)

    assert seen[0] == case.before, "cancelled before it began"
    assert seen[-1] == case.after, "not cancelled at all"


@pytest.mark.parametrize("name", CASES)
async def test_a_cancelled_call_leaves_a_queue_that_works(name: str) -> None:
    case = CASES[name]
    for steps in STEPS[:8]:
        async with opened(MemoryStore(), "taquba") as queue:
            state = await case.prepare(queue)
            await cancel_after(steps, case.call(queue, state))

            # Calls are carried out in order, so this one comes after the cancelled one.
            await queue.kv_put("afterwards", b"yes")

            assert await queue.kv_get("afterwards") == b"yes"
            await queue.stats()


CLAIMING: dict[str, Callable[[Queue], Awaitable[Any]]] = {
    "claim": lambda queue: queue.claim("emails", lease=3600.0),
    "claim_batch": lambda queue: queue.claim_batch("emails", 5, lease=3600.0),
    "claim_with_wait": lambda queue: queue.claim_with_wait("emails", lease=3600.0),
}


@pytest.mark.parametrize("name", CLAIMING)
async def test_a_cancelled_claim_loses_no_job(tmp_path: Path, name: str) -> None:
    for steps in STEPS:
        path = f"after-{steps}"
        async with opened(tmp_path, path) as queue:
            await queue.enqueue_batch("emails", [b"%d" % number for number in range(3)])
            await cancel_after(steps, CLAIMING[name](queue))

        async with opened(tmp_path, path) as queue:
            found = [claim.payload for claim in await queue.claim_batch("emails", 10)]

        assert found == [b"0", b"1", b"2"], steps


@pytest.mark.parametrize("call", ["renew", "ensure_at_least"])
async def test_a_cancelled_renewal_leaves_the_claim_alive(call: str) -> None:
    for steps in STEPS:
        async with opened(MemoryStore(), "taquba") as queue:
            claim = await a_claim(queue)
            await cancel_after(steps, getattr(queue, call)(claim, 7200.0))

            await queue.ack(claim)


async def test_a_cancelled_close_closes(tmp_path: Path) -> None:
    for steps in STEPS:
        path = f"after-{steps}"
        queue = await Queue.open(tmp_path, path, OpenOptions(fsync=False))
        await queue.enqueue("emails", b"x")
        await cancel_after(steps, queue.close())
        await queue.close()

        async with opened(tmp_path, path) as again:
            assert len(await again.claim_batch("emails", 10)) == 1, steps
