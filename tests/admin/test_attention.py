"""What needs attention: what is stuck, since when, why, and how it is made to go on."""

from dataclasses import replace
from typing import Any

import pytest

from taquba import (
    EnqueueOptions,
    MockClock,
    Queue,
    QueueReader,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    WorkflowRuntime,
)
from taquba.admin import _attention, create_app
from taquba.admin._attention import Attention
from taquba.admin._sample import Sample
from taquba.store import MemoryStore
from tests.admin.asking import Asker, asking
from tests.waiting import claim_one, eventually

LONG = 3_600.0


async def attention(asker: Asker) -> list[dict[str, Any]]:
    """What needs attention, without what was seen some seconds ago."""
    await asker.post("/api/kv", key="looked", value="")
    items: list[dict[str, Any]] = (await asker.get("/api/overview"))["attention"]
    return items


def facts(item: dict[str, Any], *names: str) -> tuple[object, ...]:
    """Some members of an item."""
    return tuple(item[name] for name in names)


async def test_a_store_in_which_all_is_well_needs_none(owned: Queue, asker: Asker) -> None:
    await owned.enqueue("emails", b"x")
    await owned.enqueue("later", b"x", EnqueueOptions(delay=60))

    assert await attention(asker) == []


async def test_a_queue_without_a_worker_is_told_of(
    owned: Queue, asker: Asker, clock: MockClock
) -> None:
    await owned.enqueue_batch("emails", [b"x"] * 3)
    clock.advance(31)

    [item] = await attention(asker)

    assert facts(item, "kind", "severity", "queue", "count", "since") == (
        "no-worker",
        "error",
        "emails",
        3,
        "2030-01-01T00:00:00.000Z",
    )
    assert "Start a worker" in item["remedy"]


async def test_a_queue_whose_workers_do_not_keep_up_is_told_of(
    owned: Queue, asker: Asker, clock: MockClock
) -> None:
    await owned.enqueue_batch("emails", [b"x"] * 3)
    clock.advance(61)
    await claim_one(owned, "emails", lease=LONG)

    [item] = await attention(asker)

    assert facts(item, "kind", "severity", "queue", "count") == (
        "waiting",
        "warning",
        "emails",
        2,
    )
    assert item["why"].startswith("1 are being delivered")


async def test_a_job_that_waits_for_its_retry_is_told_of_and_woken(
    owned: Queue, asker: Asker, clock: MockClock
) -> None:
    job_id = await owned.enqueue("emails", b"x")
    claim = await claim_one(owned, "emails")
    clock.advance(1)
    await owned.nack(claim, "token=hunter2 is busy", retry_after=600)

    [item] = await attention(asker)

    assert facts(item, "kind", "job_id", "run_id", "action", "since") == (
        "retrying",
        job_id,
        None,
        "wake",
        "2030-01-01T00:00:00.000Z",
    )
    assert item["why"] == (
        "attempt 1 of 3 failed: token=[redacted] is busy; "
        "the next is due at 2030-01-01T00:10:01.000Z"
    )
    await asker.post(f"/api/job/{item['action']}", job_id=job_id)
    assert await attention(asker) == []


async def test_many_retries_are_told_of_together_and_the_worst_alone(
    owned: Queue, asker: Asker
) -> None:
    await owned.enqueue_batch("emails", [b"x"] * 8)
    for claim in await owned.claim_batch("emails", 8):
        await owned.nack(claim, "busy" if claim.job_id.endswith("1") else "slow", retry_after=60)

    items = await attention(asker)

    together = [item for item in items if item["count"] is not None]
    assert [facts(item, "kind", "count") for item in together] == [("retrying", 8)]
    assert "most often (7 of 8): slow" in together[0]["why"]
    assert len(items) == 6


async def test_a_long_delivery_is_told_of_and_cancelled(
    owned: Queue, asker: Asker, clock: MockClock
) -> None:
    job_id = await owned.enqueue("emails", b"x")
    claim = await claim_one(owned, "emails", lease=LONG)
    clock.advance(301)

    [item] = await attention(asker)

    assert facts(item, "kind", "job_id", "action", "since") == (
        "long-delivery",
        job_id,
        "cancel",
        "2030-01-01T00:00:00.000Z",
    )
    await asker.post(f"/api/job/{item['action']}", job_id=job_id)
    assert claim.cancel_token.is_cancelled


async def test_dead_jobs_are_told_of_with_their_commonest_error(
    owned: Queue, asker: Asker, clock: MockClock
) -> None:
    await owned.enqueue_batch("emails", [b"x"] * 3)
    for claim, error in zip(await owned.claim_batch("emails", 3), "aab", strict=True):
        clock.advance(1)
        await owned.dead_letter(claim, error)

    [item] = await attention(asker)

    assert facts(item, "kind", "severity", "queue", "count", "action", "since") == (
        "dead",
        "error",
        "emails",
        3,
        "requeue",
        "2030-01-01T00:00:01.000Z",
    )
    assert item["why"] == "most often (2 of 3): a"
    await asker.post("/api/dead/requeue", queue="emails")
    assert await attention(asker) == []


async def test_a_failed_run_is_told_of_until_it_is_submitted_again(owned: Queue) -> None:
    async def fail(step: Step) -> StepOutcome:
        if step.attempts == 1 and not step.run_id.endswith("-1"):
            raise StepError.permanent("no")
        return StepOutcome.Succeed(b"")

    async with WorkflowRuntime(owned, fail) as runtime:
        await (await runtime.submit(RunSpec(b"", run_id="one"))).outcome(timeout=20)
        async with asking(create_app(owned, runtimes=[runtime])) as asker:
            [item] = await attention(asker)
            answer = await asker.post(f"/api/run/{item['action']}", run_id=item["run_id"])
            assert await attention(asker) == []

    assert facts(item, "kind", "title", "action") == (
        "dead",
        "run `one` has failed for good",
        "retry",
    )
    assert answer == {"run_id": "one-retry-1"}


async def test_what_is_stuck_is_made_to_go_on(owned: Queue) -> None:
    is_fixed = False

    async def call(_step: Step) -> StepOutcome:
        if not is_fixed:
            raise StepError.transient("the model is overloaded", retry_after=600)
        return StepOutcome.Succeed(b"done")

    async with WorkflowRuntime(owned, call) as runtime:
        handle = await runtime.submit(RunSpec(b"", run_id="order-42"))

        async def waits() -> bool:
            return (await handle.status()).last_error is not None

        await eventually(waits, "a run that waits for its retry")
        async with asking(create_app(owned)) as asker:
            [item] = await attention(asker)
            is_fixed = True
            await asker.post(f"/api/run/{item['action']}", run_id=item["run_id"])

        assert (await handle.outcome(timeout=20)).result == b"done"
    assert facts(item, "kind", "run_id") == ("retrying", "order-42")
    assert "the model is overloaded" in item["why"]


async def test_the_worst_comes_first(owned: Queue, asker: Asker, clock: MockClock) -> None:
    await owned.enqueue("slow", b"x")
    await owned.nack(await claim_one(owned, "slow"), "busy", retry_after=600)
    await owned.enqueue("emails", b"x")
    clock.advance(31)
    await owned.enqueue("strict", b"x")
    await owned.nack(await claim_one(owned, "strict"), "no")

    kinds = [item["kind"] for item in await attention(asker)]

    assert kinds == ["no-worker", "dead", "retrying"]


async def test_a_reader_tells_of_a_store_without_an_owner(memory: MemoryStore) -> None:
    async with Queue.open(memory) as queue:
        await queue.enqueue("emails", b"x")

    async with QueueReader.open(memory) as reader, asking(create_app(reader)) as asker:
        overview = await asker.get("/api/overview")

    assert overview["owner"] is None
    [item] = overview["attention"]
    assert facts(item, "kind", "severity", "count") == ("owner-silent", "warning", 1)


async def test_a_queue_whose_oldest_job_was_not_looked_up_is_told_of_after_a_while(
    owned: Queue, clock: MockClock
) -> None:
    await owned.enqueue("emails", b"x")
    earlier = await Sample.take(owned)
    clock.advance(31)
    latest = await Sample.take(owned)
    looking = Attention(owned)

    assert await looking.items(latest, latest, {}, None) == []
    looking.expire()
    [item] = await looking.items(earlier, latest, {}, None)

    assert facts(item, "kind", "queue", "since") == ("no-worker", "emails", None)


async def test_that_nobody_works_is_said_after_half_a_minute_of_looking(
    owned: Queue, clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_attention, "_LOOKED_SECONDS_MIN", 30.0)
    await owned.enqueue("emails", b"x")
    clock.advance(3_600)
    latest = await Sample.take(owned)
    oldest = {"emails": (await owned.list_jobs("emails")).jobs[0]}
    looking = Attention(owned)

    assert await looking.items(latest, latest, oldest, None) == []
    looking.expire()
    earlier = replace(latest, at=latest.at - 30)
    [item] = await looking.items(earlier, latest, oldest, None)

    assert facts(item, "kind", "queue") == ("no-worker", "emails")


async def test_what_was_not_looked_at_is_not_counted(
    owned: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_attention, "_EXAMINED_MAX_OF_OWNER", 8)
    for queue in ("strict", "emails"):
        await owned.enqueue_batch(queue, [b"x"] * 9)
        for claim in await owned.claim_batch(queue, 9):
            await owned.nack(claim, "busy", retry_after=60)

    async with asking(create_app(owned)) as asker:
        items = [item for item in await attention(asker) if item["count"] is not None]

    assert [facts(item, "title", "count", "kind") for item in items] == [
        ("queue `strict` has 9 dead jobs", 9, "dead"),
        ("at least 8 jobs of queue `emails` wait for their next try", 8, "retrying"),
    ]
    assert [item["why"].partition(":")[0] for item in items] == [
        "most often (8 of the 8 looked at)"
    ] * 2


async def test_a_retry_that_is_due_in_a_moment_is_told_of_once_it_fails_for_a_minute(
    owned: Queue, asker: Asker, clock: MockClock
) -> None:
    job_id = await owned.enqueue("emails", b"x", EnqueueOptions(max_attempts=9))
    await owned.nack(await claim_one(owned, "emails"), "busy", retry_after=2)
    at_first = await attention(asker)

    clock.advance(61)
    await owned.nack(await claim_one(owned, "emails"), "busy", retry_after=2)
    [item] = await attention(asker)

    assert at_first == []
    assert facts(item, "kind", "job_id") == ("retrying", job_id)
