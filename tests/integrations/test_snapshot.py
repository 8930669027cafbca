"""What a look leaves out, so that the rest is there: what hangs, what fails, what is too much."""

import asyncio
import logging
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from taquba import Histogram, Queue, StorageMetric
from taquba.exceptions import StoreUnavailableError
from taquba.integrations import _instruments, _ownership, _snapshot
from taquba.integrations._instruments import storage_instruments
from taquba.integrations._snapshot import Snapshot, Source
from taquba.integrations.prometheus import Collector, exposition
from tests.conftest import OpenQueue
from tests.integrations.scrapes import Scrape

AGE = "taquba_oldest_pending_age_seconds"


async def test_a_store_that_hangs_takes_nothing_from_the_others(
    busy_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Queue.metrics
    monkeypatch.setattr(_snapshot, "TIMEOUT_SECONDS", 1.0)
    registry = CollectorRegistry()
    async with Queue.open("memory://") as hung:
        monkeypatch.setattr(
            Queue,
            "metrics",
            lambda queue: asyncio.Event().wait() if queue is hung else take(queue),
        )
        registry.register(Collector({"fine": busy_queue, "hung": hung}))

        scrape = Scrape(await asyncio.to_thread(generate_latest, registry))

    assert scrape.value("taquba_up", store="hung") == 0
    assert scrape.value("taquba_up", store="fine") == 1
    assert scrape.value("taquba_jobs_enqueued_total", store="fine", queue="emails") == 5


@pytest.mark.parametrize("is_slow", [False, True], ids=["fails", "hangs"])
async def test_an_age_that_does_not_read_is_left_out_and_no_more(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, is_slow: bool
) -> None:
    ask = Queue.oldest_pending

    async def broken(asked: Queue, name: str) -> Any:
        if name != "broken":
            return await ask(asked, name)
        if is_slow:
            await asyncio.Event().wait()
        message = "not today"
        raise StoreUnavailableError(message)

    monkeypatch.setattr(Queue, "oldest_pending", broken)
    monkeypatch.setattr(_snapshot, "_AGE_TIMEOUT_SECONDS", 0.05)
    await queue.enqueue_batch("broken", [b"x"] * 2)
    await queue.enqueue("fine", b"x")

    scrape = Scrape(await exposition(queue))

    assert scrape.value("taquba_up") == 1
    assert scrape.value(AGE, queue="fine") >= 0
    assert (AGE, frozenset({("queue", "broken")})) not in scrape.samples
    assert scrape.value("taquba_jobs", queue="broken", state="pending") == 2


async def test_ages_are_read_for_the_longest_lines_one_after_another(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Queue.oldest_pending
    asked: list[str] = []
    under_way = most = 0

    async def counted(of: Queue, name: str) -> Any:
        nonlocal under_way, most
        asked.append(name)
        under_way += 1
        most = max(most, under_way)
        try:
            return await ask(of, name)
        finally:
            under_way -= 1

    monkeypatch.setattr(Queue, "oldest_pending", counted)
    for number in range(20):
        await queue.enqueue_batch(f"q{number}", [b"x"] * (number + 1))

    await exposition(queue)

    assert most == 1
    assert asked == [f"q{number}" for number in range(19, 3, -1)]


async def test_histograms_are_shown_of_the_queues_that_deliver_most(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_instruments, "_HISTOGRAM_QUEUES_MAX", 2)
    for name, count in {"a": 1, "b": 3, "c": 2}.items():
        await queue.enqueue_batch(name, [b"x"] * count)
        await queue.claim_batch(name, count)

    scrape = Scrape(await exposition(queue))

    for name in ("taquba_job_wait_seconds", "taquba_job_run_seconds"):
        assert not scrape.buckets(name, queue="a")
        assert scrape.buckets(name, queue="b")
        assert scrape.buckets(name, queue="c")
    assert scrape.value("taquba_jobs_claimed_total", queue="a") == 1


async def test_a_queue_that_has_delivered_nothing_has_no_histograms(queue: Queue) -> None:
    await queue.enqueue("idle", b"x")

    scrape = Scrape(await exposition(queue))

    assert not scrape.buckets("taquba_job_wait_seconds", queue="idle")
    assert scrape.value("taquba_jobs_claimed_total", queue="idle") == 0


async def test_that_a_store_is_down_is_told_once_also_by_scrapes_of_their_own(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await queue.close()

    await exposition(queue)
    await exposition({"named": queue})

    assert [record.name for record in caplog.records] == ["taquba.metrics"]


def test_where_there_is_no_loop_any_more_no_look_is_left_unawaited(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def ended() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.close()
        return loop

    def refused() -> asyncio.AbstractEventLoop:
        message = "the process is ending"
        raise RuntimeError(message)

    source = Source.__new__(Source)
    source.label_names, source._stores = (), []  # noqa: SLF001 - nothing to look at
    for loop in (ended, refused):
        monkeypatch.setattr(_snapshot, "loop", loop)
        assert source.take_blocking() == []

    assert not recwarn.list


async def test_an_idle_owner_that_was_fenced_is_down_and_says_so_once(
    open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(_ownership, "monotonic", lambda: now)
    first = await open_queue()
    await first.enqueue("emails", b"x")
    before = Scrape(await exposition(first))
    second = await open_queue()
    now += 9
    unasked = Scrape(await exposition(first))
    now += 2
    caplog.set_level(logging.WARNING, "taquba.metrics")

    fenced = [Scrape(await exposition(first)) for _ in range(2)]
    successor = Scrape(await exposition(second))
    await second.close()
    now += 11
    alone = Scrape(await exposition(first))

    assert before.value("taquba_up") == unasked.value("taquba_up") == 1
    assert [scrape.value("taquba_up") for scrape in (*fenced, alone)] == [0, 0, 0]
    assert "taquba_jobs" not in {name for name, _ in fenced[0].samples}
    assert successor.value("taquba_jobs", queue="emails", state="pending") == 1
    told = [record.message for record in caplog.records if record.name == "taquba.metrics"]
    assert len(told) == 1
    assert "another process owns this store" in told[0]


async def test_a_store_of_another_process_is_not_ours_at_the_first_look(
    open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await open_queue()
    with monkeypatch.context() as patched:
        patched.setattr("os.getpid", lambda: 1)
        await open_queue()

    assert Scrape(await exposition(first)).value("taquba_up") == 0


async def test_an_owner_that_cannot_be_read_changes_nothing(
    busy_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Queue) -> Any:
        message = "not today"
        raise StoreUnavailableError(message)

    monkeypatch.setattr(Queue, "owner", broken)

    scrape = Scrape(await exposition(busy_queue))

    assert scrape.value("taquba_up") == 1


async def test_histograms_that_differ_in_a_dropped_label_only_are_added(queue: Queue) -> None:
    def of(worker: str, *counts: int, total: float) -> StorageMetric:
        return StorageMetric(
            name="h",
            labels=(("op", "get"), ("worker_id", worker)),
            kind="histogram",
            value=total,
            histogram=Histogram(bounds=(1.0, 2.0), counts=counts, sum=total),
        )

    shown = [of("a", 1, 2, 3, total=9.0), of("b", 10, 0, 0, total=5.0)]
    snapshot = Snapshot(await queue.metrics(), {}, {"h": shown})

    [instrument] = storage_instruments([snapshot])

    together = Histogram(bounds=(1.0, 2.0), counts=(11, 2, 3), sum=14.0)
    assert list(instrument.read(snapshot)) == [(("get",), together)]
