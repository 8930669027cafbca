"""What looking costs: steps with nobody looking, with metrics read every second, and with traces.

python benches/operating.py --store memory:// --rounds 9

Each round measures every case once, in an order that changes from round to round, on one queue:
runs of ten no-op steps. A ratio is that of one round's figure to the same round's without anything,
so that what else the machine does falls on both; `nothing, again` shows how far ratios are from 1
when there is nothing to see. The best round of a case suffers least from the rest of the machine.
Spans go to an exporter that drops them: what a real one sends costs more, in its own thread.

At the end comes what one scrape and one collection cost by themselves, which hardly depends on what
else runs.
"""

import argparse
import asyncio
import contextlib
import gc
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry, generate_latest

from taquba import Queue
from taquba.bench._lab import Lab, Settings, in_lanes
from taquba.bench._machine import describe, machine_lines
from taquba.bench._meter import Meter, cpu_seconds
from taquba.bench._places import check_store, place_of
from taquba.bench._result import NotDoneError, Round
from taquba.bench._scenarios.steps import STEP_COUNT, NoopRunner, do_run, runtime_of
from taquba.bench._table import number, table
from taquba.integrations.opentelemetry import (
    instrument_metrics,
    instrument_tracing,
    uninstrument_tracing,
)
from taquba.integrations.prometheus import Collector

PAYLOAD = b"x" * 64
LOOK_EVERY_SECONDS = 1.0
LOOKS = 20
# What is collected sooner after a look is taken from that one.
PAUSE_SECONDS = 1.0
# As many may wait for the exporter before some are dropped; the default holds a tenth of a second.
SPAN_COUNT_MAX = 131_072
# More than can be done in the time of a round.
RUN_COUNT_MAX = 10_000_000

Looking = Callable[[Queue], AbstractContextManager[None]]


@contextlib.contextmanager
def nothing(_: Queue) -> Iterator[None]:
    """Nobody looks."""
    yield


@contextlib.contextmanager
def prometheus(queue: Queue) -> Iterator[None]:
    """A thread scrapes, as the server of `prometheus_client` would."""
    registry = CollectorRegistry()
    registry.register(Collector(queue))
    is_over = threading.Event()
    texts: list[bytes] = []

    def scrape() -> None:
        while not is_over.wait(LOOK_EVERY_SECONDS):
            texts.append(generate_latest(registry))

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    if not texts or not all(b"\ntaquba_up 1.0\n" in text for text in texts):
        message = f"{len(texts)} scrapes, not all of them answered"
        raise NotDoneError(message)


class NowhereMetrics(MetricExporter):
    """Takes metrics, counts how often, and drops them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object
    ) -> MetricExportResult:
        """Drop them."""
        del metrics_data, timeout_millis, kwargs
        self.count += 1
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Nothing is open."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits."""
        del timeout_millis
        return True


@contextlib.contextmanager
def otel_metrics(queue: Queue) -> Iterator[None]:
    """A reader collects."""
    exporter = NowhereMetrics()
    reader = PeriodicExportingMetricReader(
        exporter, export_interval_millis=LOOK_EVERY_SECONDS * 1000
    )
    provider = MeterProvider([reader], shutdown_on_exit=False)
    instrument_metrics(queue, provider)
    try:
        yield
    finally:
        provider.shutdown()
    if not exporter.count:
        message = "nothing was collected"
        raise NotDoneError(message)


class NowhereSpans(SpanExporter):
    """Takes spans, counts them, and drops them."""

    def __init__(self) -> None:
        self.count = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Drop them."""
        self.count += len(spans)
        return SpanExportResult.SUCCESS


def tracing(ratio: float) -> Looking:
    """Spans of this share of all runs."""

    @contextlib.contextmanager
    def look(_: Queue) -> Iterator[None]:
        exporter = NowhereSpans()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=SPAN_COUNT_MAX))
        instrument_tracing(provider, sample_ratio=ratio)
        try:
            yield
        finally:
            uninstrument_tracing()
            provider.shutdown()
        if (exporter.count > 0) != (ratio > 0):
            message = f"{exporter.count} spans, with {ratio:.0%} of all runs traced"
            raise NotDoneError(message)

    return look


NOTHING = "nothing"
CASES: dict[str, Looking] = {
    NOTHING: nothing,
    "nothing, again": nothing,
    "Prometheus each second": prometheus,
    "OpenTelemetry metrics each second": otel_metrics,
    "tracing, no run sampled": tracing(0.0),
    "tracing, 1 % of runs": tracing(0.01),
    "tracing, all runs": tracing(1.0),
}


async def measure(queue: Queue, looking: Looking, in_flight: int, seconds: float) -> Round:
    """Does runs for so long, each lane its next one when its last has ended."""
    runner = NoopRunner()
    with looking(queue):
        async with runtime_of(queue, runner, in_flight) as runtime, Meter(queue) as meter:
            count = await in_lanes(
                in_flight, RUN_COUNT_MAX, lambda _: do_run(runtime, PAYLOAD), seconds
            )
    runner.check(count)
    return Round(count=count * STEP_COUNT, cost=meter.cost)


async def all_rounds(queue: Queue, arguments: argparse.Namespace) -> dict[str, list[Round]]:
    """Measures every case in every round; the first round warms up."""
    found: defaultdict[str, list[Round]] = defaultdict(list)
    names = list(CASES)
    for round_number in range(arguments.rounds + 1):
        turn = round_number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            done = await measure(queue, CASES[name], arguments.in_flight, arguments.seconds)
            if round_number:
                found[name].append(done)
        print(f"\rround {round_number} of {arguments.rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return found


def per_second(done: Round) -> float:
    """Steps of a second."""
    return done.count / done.cost.wall_seconds


def cpu_us(done: Round) -> float:
    """CPU time of a step."""
    return done.cost.cpu_seconds / done.count * 1e6


def ratios(
    found: dict[str, list[Round]], name: str, figure: Callable[[Round], float]
) -> list[float]:
    """The figure of each round, by that of the same round without anything."""
    pairs = zip(found[name], found[NOTHING], strict=True)
    return [figure(done) / figure(base) for done, base in pairs]


def spread(values: list[float]) -> str:
    """The median, and between which values half of them lie."""
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    )
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def show(arguments: argparse.Namespace, title: str, found: dict[str, list[Round]]) -> None:
    """Prints the figures."""
    head = ["", "steps/s, best", "CPU us/step, best", "by nothing"]
    rows = [[*head, "median", "steps/s by nothing", "CPU by nothing"]]
    least = min(map(cpu_us, found[NOTHING]))
    for name, rounds in found.items():
        used = sorted(map(cpu_us, rounds))
        rows.append(
            [
                name,
                number(max(map(per_second, rounds))),
                number(used[0]),
                f"{used[0] / least:.3f}",
                number(statistics.median(used)),
                spread(ratios(found, name, per_second)),
                spread(ratios(found, name, cpu_us)),
            ]
        )
    print(
        f"{title}: {arguments.in_flight} runs of {STEP_COUNT} steps in flight, "
        f"{arguments.rounds} rounds of {arguments.seconds:g} s for each case; ratios of one round "
        "to the same round of nothing: the median, and the middle half"
    )
    print("\n".join(table(rows, 1)))


def cpu_ms(look: Callable[[], object]) -> float:
    """CPU time of one look, with nothing else to do; the least of some."""
    used = []
    for _ in range(LOOKS):
        time.sleep(PAUSE_SECONDS)
        start = cpu_seconds()
        look()
        used.append((cpu_seconds() - start) * 1e3)
    return min(used)


async def looks(queue: Queue) -> list[list[str]]:
    """The rows of a table of what one look costs by itself."""
    registry = CollectorRegistry()
    registry.register(Collector(queue))
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    instrument_metrics(queue, provider)
    found = {
        "one scrape of Prometheus": await asyncio.to_thread(
            cpu_ms, lambda: generate_latest(registry)
        ),
        "one collection of OpenTelemetry": await asyncio.to_thread(cpu_ms, reader.get_metrics_data),
    }
    provider.shutdown()
    head = ["", "CPU ms", "% of a core, each second"]
    return [head, *([name, number(used), number(used / 10)] for name, used in found.items())]


async def benchmark(arguments: argparse.Namespace) -> None:
    """Measures one store."""
    with place_of(arguments.store) as place:
        async with Lab(Settings(store=arguments.store), place).open() as queue:
            found = await all_rounds(queue, arguments)
            rows = await looks(queue)
        # In the order of the table above, whatever the order of a round was.
        show(arguments, place.title, {name: found[name] for name in CASES})
        print("\n".join(["", *table(rows, 1)]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--store", default="memory://", help="as for `python -m taquba.bench`")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement, above 1")
    parser.add_argument("--in-flight", type=int, default=512)
    parsed = parser.parse_args()
    check_store(parsed.store)
    if parsed.seconds <= LOOK_EVERY_SECONDS or parsed.rounds < 1:
        parser.error("give more than 1 second, and at least 1 round")
    print("\n".join(machine_lines(describe())))
    asyncio.run(benchmark(parsed))
