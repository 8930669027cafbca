"""What OpenTelemetry sees: the same figures, collected when a reader asks."""

import asyncio
import logging
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader, NumberDataPoint

from taquba import Queue
from taquba.integrations import _otel_metrics, _snapshot
from taquba.integrations._otel_metrics import instrument_metrics
from taquba.integrations.prometheus import exposition
from tests.integrations.scrapes import Scrape

Attributes = frozenset[tuple[str, Any]]


def provider_of(*readers: MetricReader) -> MeterProvider:
    """A meter provider that neither exports nor waits for the end of the process."""
    return MeterProvider(readers, shutdown_on_exit=False)


class Collected:
    """What one collection of a reader gave."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        data = reader.get_metrics_data()
        self.metrics: dict[str, Any] = {}
        self.points: dict[str, dict[Attributes, float]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                self.scope = scope.scope.name
                for metric in scope.metrics:
                    self.metrics[metric.name] = metric
                    self.points[metric.name] = {
                        frozenset((point.attributes or {}).items()): point.value
                        for point in metric.data.data_points
                        if isinstance(point, NumberDataPoint)
                    }

    def value(self, name: str, **attributes: str) -> float:
        """The value with exactly these attributes."""
        return self.points[name][frozenset(attributes.items())]


@pytest.fixture
def reader() -> InMemoryMetricReader:
    """Collects when it is asked."""
    return InMemoryMetricReader()


async def test_the_counts_of_a_queue_are_observed(
    busy_queue: Queue, reader: InMemoryMetricReader
) -> None:
    instrument_metrics(busy_queue, provider_of(reader))

    found = Collected(reader)

    assert found.scope == "taquba"
    assert found.value("taquba.up") == 1
    assert found.value("taquba.jobs", queue="emails", state="pending") == 2
    assert found.value("taquba.jobs_enqueued", queue="emails") == 5
    assert found.value("taquba.jobs_dead_lettered", queue="emails") == 1
    assert found.value("taquba.store_requests", op="put") > 0
    assert found.metrics["taquba.store_transferred"].unit == "By"
    assert found.metrics["taquba.job_run.sum"].unit == "s"
    assert found.metrics["taquba.jobs"].unit == "{job}"


async def test_a_histogram_is_three_counters(
    busy_queue: Queue, reader: InMemoryMetricReader
) -> None:
    instrument_metrics(busy_queue, provider_of(reader))

    found = Collected(reader)

    count = found.value("taquba.job_run.count", queue="emails")
    assert count == 3
    assert found.value("taquba.job_run.bucket", queue="emails", le="+Inf") == count
    bounds = sorted(
        (float(dict(attributes)["le"]), value)
        for attributes, value in found.points["taquba.job_run.bucket"].items()
    )
    counts = [value for _, value in bounds]
    assert counts == sorted(counts)
    assert found.metrics["taquba.job_run.count"].data.is_monotonic


async def test_it_shows_what_prometheus_shows(
    busy_queue: Queue, reader: InMemoryMetricReader
) -> None:
    instrument_metrics(busy_queue, provider_of(reader))
    scrape = Scrape(await exposition(busy_queue))

    found = Collected(reader)

    units = {"s": "_seconds", "By": "_bytes"}
    seen = set()
    for name, metric in found.metrics.items():
        stem, _, part = name.rpartition(".")
        is_part = part in {"bucket", "count", "sum"} and f"{stem}.sum" in found.metrics
        base = (stem if is_part else name).replace(".", "_")
        unit = units.get(found.metrics[f"{stem}.sum"].unit if is_part else metric.unit, "")
        seen.add(base + unit)
    always = set(scrape.family_names()) - {"taquba_build_info"}
    empty = {name for name in always if not any(name in sample for sample, _ in scrape.samples)}
    assert seen == always - empty


async def test_a_look_is_taken_once_for_a_collection(
    busy_queue: Queue, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    take = Queue.metrics

    async def counted(queue: Queue) -> object:
        nonlocal looks
        looks += 1
        return await take(queue)

    monkeypatch.setattr(Queue, "metrics", counted)
    now = 100.0
    monkeypatch.setattr(_otel_metrics, "monotonic", lambda: now)
    other = InMemoryMetricReader()
    instrument_metrics(busy_queue, provider_of(reader, other))
    at_first = looks

    Collected(reader)
    now += 0.8
    Collected(other)
    shared = looks
    now += 0.2
    Collected(reader)

    assert (at_first, shared, looks) == (1, 2, 3)


async def test_a_collection_sees_what_has_happened_since_the_last_one(
    busy_queue: Queue, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(_otel_metrics, "monotonic", lambda: now)
    instrument_metrics(busy_queue, provider_of(reader))
    Collected(reader)

    await busy_queue.enqueue("emails", b"x")
    now += 10

    assert Collected(reader).value("taquba.jobs_enqueued", queue="emails") == 6


async def test_stores_are_told_apart_by_an_attribute(
    busy_queue: Queue, reader: InMemoryMetricReader
) -> None:
    async with Queue.open("memory://") as other:
        instrument_metrics({"first": busy_queue, "second": other}, provider_of(reader))

        found = Collected(reader)

    assert found.value("taquba.jobs_enqueued", store="first", queue="emails") == 5
    assert found.value("taquba.up", store="second") == 1


async def test_a_store_that_hangs_takes_nothing_from_the_others(
    busy_queue: Queue, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Queue.metrics
    monkeypatch.setattr(_snapshot, "TIMEOUT_SECONDS", 1.0)
    async with Queue.open("memory://") as hung:
        monkeypatch.setattr(
            Queue,
            "metrics",
            lambda queue: asyncio.Event().wait() if queue is hung else take(queue),
        )
        instrument_metrics({"fine": busy_queue, "hung": hung}, provider_of(reader))

        found = Collected(reader)

    assert found.value("taquba.up", store="hung") == 0
    assert found.value("taquba.up", store="fine") == 1
    assert found.value("taquba.jobs_enqueued", store="fine", queue="emails") == 5


async def test_a_closed_queue_is_down_and_raises_nothing(
    busy_queue: Queue, reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    instrument_metrics(busy_queue, provider_of(reader))
    await busy_queue.close()
    caplog.set_level(logging.WARNING)

    found = Collected(reader)

    assert found.value("taquba.up") == 0
    assert "taquba.jobs" not in found.points
    assert [record.name for record in caplog.records] == ["taquba.metrics"]


async def test_without_a_meter_provider_nothing_is_collected(busy_queue: Queue) -> None:
    # The global one of a process that has set none does nothing, and must not fail either.
    instrument_metrics(busy_queue)
