"""What Prometheus sees: the figures of a queue, under names that stay."""

import asyncio
import math

import prometheus_client
import pytest

from taquba import MockClock, Queue, sync
from taquba.exceptions import ArgumentTypeError, InvalidArgumentError
from taquba.integrations import _snapshot
from taquba.integrations.prometheus import Collector, exposition
from tests.integrations.scrapes import Scrape
from tests.waiting import claim_one


async def test_the_counts_of_a_queue_are_shown(busy_queue: Queue) -> None:
    scrape = Scrape(await exposition(busy_queue))

    states = ("pending", "scheduled", "claimed", "done", "dead")
    shown = [scrape.value("taquba_jobs", queue="emails", state=state) for state in states]
    assert shown == [2, 1, 0, 0, 1]
    assert scrape.value("taquba_jobs_enqueued_total", queue="emails") == 5
    assert scrape.value("taquba_jobs_claimed_total", queue="emails") == 3
    assert scrape.value("taquba_jobs_acked_total", queue="emails") == 1
    assert scrape.value("taquba_jobs_retried_total", queue="emails") == 1
    assert scrape.value("taquba_jobs_dead_lettered_total", queue="emails") == 1
    assert scrape.value("taquba_jobs_cancelled_total", queue="emails") == 0
    assert scrape.value("taquba_leases_expired_total", queue="emails") == 0
    assert scrape.value("taquba_up") == 1


async def test_what_the_store_was_asked_for_is_shown(busy_queue: Queue) -> None:
    before = await busy_queue.stats()

    scrape = Scrape(await exposition(busy_queue))

    after = await busy_queue.stats()
    puts = scrape.value("taquba_store_requests_total", op="put")
    assert 0 < before.put_count <= puts <= after.put_count
    written = scrape.value("taquba_store_transferred_bytes_total", op="put")
    assert before.put_bytes <= written <= after.put_bytes
    commits = scrape.value("taquba_commit_duration_seconds_count")
    # All but that of the opening.
    assert before.commit_count - 1 <= commits < after.commit_count
    rows = scrape.value("taquba_commit_rows_sum")
    assert commits <= rows < after.row_count
    assert scrape.value("taquba_commit_size_bytes_sum") > rows
    assert scrape.value("taquba_store_request_duration_seconds_count", op="get") > 0


@pytest.mark.parametrize("name", ["taquba_job_wait_seconds", "taquba_job_run_seconds"])
async def test_each_delivery_is_in_one_bucket(busy_queue: Queue, name: str) -> None:
    scrape = Scrape(await exposition(busy_queue))

    buckets = scrape.buckets(name, queue="emails")
    bounds, counts = zip(*buckets, strict=True)
    assert bounds[-1] == math.inf
    assert list(counts) == sorted(counts)
    assert counts[-1] == scrape.value(f"{name}_count", queue="emails") == 3
    assert scrape.value(f"{name}_sum", queue="emails") >= 0


async def test_how_long_a_job_waited_is_measured(timed_queue: Queue, clock: MockClock) -> None:
    await timed_queue.enqueue("emails", b"x")
    clock.advance(90.0)
    claim = await claim_one(timed_queue, "emails", lease=600.0)
    clock.advance(30.0)
    await timed_queue.ack(claim)

    scrape = Scrape(await exposition(timed_queue))

    assert scrape.value("taquba_job_wait_seconds_sum", queue="emails") == pytest.approx(90, abs=1)
    assert scrape.value("taquba_job_run_seconds_sum", queue="emails") == pytest.approx(30, abs=1)


async def test_the_age_of_the_oldest_job_is_shown(timed_queue: Queue, clock: MockClock) -> None:
    await timed_queue.enqueue("emails", b"old")
    clock.advance(90.0)
    await timed_queue.enqueue("emails", b"new")
    await timed_queue.enqueue("empty", b"x")
    await claim_one(timed_queue, "empty", lease=600.0)

    scrape = Scrape(await exposition(timed_queue))

    assert scrape.value("taquba_oldest_pending_age_seconds", queue="emails") == pytest.approx(90)
    assert scrape.value("taquba_oldest_pending_age_seconds", queue="empty") == 0


async def test_what_the_storage_engine_counts_is_shown(busy_queue: Queue) -> None:
    scrape = Scrape(await exposition(busy_queue))

    found = [name for name in scrape.family_names() if name.startswith("taquba_slatedb_")]
    assert len(found) >= 10
    assert scrape.get("taquba_slatedb_db_write_batch_count_total") > 0


async def test_names_and_texts_follow_the_rules_of_prometheus(busy_queue: Queue) -> None:
    scrape = Scrape(await exposition(busy_queue))

    assert len(set(scrape.family_names())) == len(list(scrape.family_names()))
    for family in scrape.families:
        assert family.name.startswith("taquba_")
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}
        assert family.name == family.name.lower()
    for line in scrape.text.splitlines():
        if line.startswith("# TYPE") and line.endswith(" counter"):
            assert line.split()[2].endswith("_total")


async def test_a_look_is_taken_once_for_a_scrape(
    busy_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    take = Queue.metrics

    async def counted(queue: Queue) -> object:
        nonlocal looks
        looks += 1
        return await take(queue)

    monkeypatch.setattr(Queue, "metrics", counted)
    registry = prometheus_client.CollectorRegistry(auto_describe=True)

    registry.register(Collector(busy_queue))
    assert looks == 0

    prometheus_client.generate_latest(registry)
    assert looks == 1


async def test_stores_are_told_apart_by_a_label(busy_queue: Queue) -> None:
    async with Queue.open("memory://") as other:
        await other.enqueue("emails", b"x")

        scrape = Scrape(await exposition({"first": busy_queue, 'sec"ond\n\\': other}))

    assert scrape.value("taquba_jobs_enqueued_total", store="first", queue="emails") == 5
    assert scrape.value("taquba_jobs_enqueued_total", store='sec"ond\n\\', queue="emails") == 1
    assert scrape.value("taquba_up", store="first") == 1
    assert len(set(scrape.family_names())) == len(list(scrape.family_names()))


async def test_a_store_that_does_not_answer_takes_nothing_from_the_others(
    busy_queue: Queue,
) -> None:
    closed = await Queue.open("memory://")
    await closed.close()

    scrape = Scrape(await exposition({"open": busy_queue, "closed": closed}))

    assert scrape.value("taquba_up", store="closed") == 0
    assert scrape.value("taquba_up", store="open") == 1
    assert scrape.value("taquba_jobs_enqueued_total", store="open", queue="emails") == 5


async def test_a_look_that_takes_too_long_is_given_up(
    busy_queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_snapshot, "TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(Queue, "metrics", lambda _: asyncio.Event().wait())

    scrape = Scrape(await exposition(busy_queue))

    assert scrape.value("taquba_up") == 0
    assert "no metrics of Queue(path='taquba', open): TimeoutError" in caplog.text


def test_a_queue_of_threads_is_shown_too() -> None:
    with sync.Queue.open("memory://") as queue:
        queue.enqueue("emails", b"x")
        registry = prometheus_client.CollectorRegistry()
        registry.register(Collector(queue))

        scrape = Scrape(prometheus_client.generate_latest(registry))

    assert scrape.value("taquba_jobs_enqueued_total", queue="emails") == 1


def test_what_is_no_queue_is_refused() -> None:
    with pytest.raises(ArgumentTypeError):
        Collector("memory://")  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError):
        Collector({"a": None})  # type: ignore[dict-item]
    with pytest.raises(InvalidArgumentError):
        Collector({})
