"""Every instrument: its name, what it counts, and where in a look its values are.

One table for all adapters, so that Prometheus and OpenTelemetry show the same figures under the
same names. A name is written as OpenTelemetry has it, with dots and a unit beside it; what
Prometheus calls it follows from that: dots become underscores, the unit comes last, a counter ends
in `_total`.

Invariants:
    1. A name, once published, keeps its meaning, its unit and its labels.
    2. Labels are names of queues and words of ours, never anything that a job brings.
"""

import heapq
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar, final

from taquba import Histogram
from taquba._counters import BOUNDS_SECONDS, HOOK_CALLS, WEBHOOK_DELIVERIES, Durations
from taquba.integrations._snapshot import Snapshot

__all__ = [
    "OF_PROCESS",
    "OF_STORE",
    "UP",
    "Instrument",
    "Point",
    "Value",
    "points_of",
    "storage_instruments",
]

Kind = Literal["counter", "gauge", "histogram"]

Value = float | Histogram
"""A number; for a histogram, its buckets."""

Point = tuple[tuple[str, ...], Value]
"""Values of the labels, and the value."""

_PROMETHEUS_UNITS: Final = {"s": "_seconds", "By": "_bytes"}

# Labels of the storage engine that are others after each opening: series would pile up.
_CHANGING_LABELS: Final = frozenset({"worker_id"})

# Of more queues than this the histograms would make a scrape of many megabytes.
_HISTOGRAM_QUEUES_MAX: Final = 256

# Labels that mean something else already.
_TAKEN_LABELS: Final = frozenset({"store", "le", "job", "instance"})


_S = TypeVar("_S")


@final
@dataclass(frozen=True, slots=True)
class Instrument(Generic[_S]):
    """One thing that is measured.

    Args:
        name: As OpenTelemetry has it.
        kind: Whether it only grows, goes up and down, or is spread over buckets.
        unit: `"s"`, `"By"`, or what is counted, in braces, as UCUM has it.
        help: One sentence.
        labels: Their names.
        read: Finds its values in what it is read from: a look at a store, or nothing if it is of
            the process.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[_S], Iterable[Point]]

    @property
    def prometheus_name(self) -> str:
        """Its name there, without the `_total` of a counter."""
        return self.name.replace(".", "_") + _PROMETHEUS_UNITS.get(self.unit, "")


def _states(snapshot: Snapshot) -> Iterable[Point]:
    for name, queue in snapshot.metrics.stats.queues.items():
        yield (name, "pending"), queue.pending_count
        yield (name, "scheduled"), queue.scheduled_count
        yield (name, "claimed"), queue.claimed_count
        yield (name, "done"), queue.done_count
        yield (name, "dead"), queue.dead_count


def _of_stats(field: str) -> Callable[[Snapshot], Iterable[Point]]:
    """Return what finds a count of each queue in `Stats`."""

    def read(snapshot: Snapshot) -> Iterable[Point]:
        for name, queue in snapshot.metrics.stats.queues.items():
            yield (name,), getattr(queue, field)

    return read


def _of_queues(field: str) -> Callable[[Snapshot], Iterable[Point]]:
    """Return what finds a figure of each queue in `Metrics`."""

    def read(snapshot: Snapshot) -> Iterable[Point]:
        for name, queue in snapshot.metrics.queues.items():
            yield (name,), getattr(queue, field)

    return read


def _of_busiest(field: str) -> Callable[[Snapshot], Iterable[Point]]:
    """Return what finds a histogram of each queue that has delivered most."""

    def read(snapshot: Snapshot) -> Iterable[Point]:
        queues = snapshot.metrics.queues
        claimed = [(-queue.claimed_total, name) for name, queue in queues.items()]
        # Each histogram is as many series as all else that a queue has.
        for count, name in heapq.nsmallest(_HISTOGRAM_QUEUES_MAX, claimed):
            if count:
                yield (name,), getattr(queues[name], field)

    return read


def _of_metrics(field: str) -> Callable[[Snapshot], Iterable[Point]]:
    """Return what finds one figure of the store in `Metrics`."""
    return lambda snapshot: [((), getattr(snapshot.metrics, field))]


def _requests(snapshot: Snapshot) -> Iterable[Point]:
    stats = snapshot.metrics.stats
    yield ("put",), stats.put_count
    yield ("get",), stats.get_count
    yield ("list",), stats.list_count
    yield ("delete",), stats.delete_count


def _transferred(snapshot: Snapshot) -> Iterable[Point]:
    yield ("put",), snapshot.metrics.stats.put_bytes
    yield ("get",), snapshot.metrics.stats.get_bytes


def _request_durations(snapshot: Snapshot) -> Iterable[Point]:
    yield ("put",), snapshot.metrics.put_seconds
    yield ("get",), snapshot.metrics.get_seconds


def _ages(snapshot: Snapshot) -> Iterable[Point]:
    return (((name,), seconds) for name, seconds in snapshot.ages.items())


def _of_calls(durations: Durations) -> Callable[[None], Iterable[Point]]:
    """Return what reads durations of this process."""

    def read(_: None) -> Iterable[Point]:
        for end, counts in durations.read().items():
            yield (
                (end,),
                Histogram(bounds=BOUNDS_SECONDS, counts=counts.buckets, sum=counts.seconds),
            )

    return read


_QUEUE: Final = ("queue",)

_JOBS: Final[tuple[Instrument[Snapshot], ...]] = (
    Instrument(
        "taquba.jobs",
        "gauge",
        "{job}",
        "Jobs by state: pending (claimable), scheduled (claimable later), claimed (being "
        "delivered), done (acked and kept), dead.",
        ("queue", "state"),
        _states,
    ),
    Instrument(
        "taquba.live_runs",
        "gauge",
        "{run}",
        "Runs that have not ended.",
        _QUEUE,
        _of_stats("live_run_count"),
    ),
    Instrument(
        "taquba.oldest_pending_age",
        "gauge",
        "s",
        "How long the claimable job that was enqueued first has waited; 0 if none is. Only for the "
        "16 queues with the most pending jobs.",
        _QUEUE,
        _ages,
    ),
    Instrument(
        "taquba.jobs_enqueued",
        "counter",
        "{job}",
        "Jobs ever enqueued, steps and notifications of runs among them.",
        _QUEUE,
        _of_stats("enqueued_total"),
    ),
    Instrument(
        "taquba.jobs_claimed",
        "counter",
        "{job}",
        "Deliveries begun since the store was opened.",
        _QUEUE,
        _of_queues("claimed_total"),
    ),
    Instrument(
        "taquba.jobs_acked",
        "counter",
        "{job}",
        "Deliveries ever acked.",
        _QUEUE,
        _of_stats("acked_total"),
    ),
    Instrument(
        "taquba.jobs_retried",
        "counter",
        "{job}",
        "Jobs ever made to wait again: nacked, released, expired or requeued.",
        _QUEUE,
        _of_stats("retried_total"),
    ),
    Instrument(
        "taquba.jobs_dead_lettered",
        "counter",
        "{job}",
        "Jobs ever dead-lettered.",
        _QUEUE,
        _of_stats("dead_total"),
    ),
    Instrument(
        "taquba.jobs_cancelled",
        "counter",
        "{job}",
        "Jobs ever cancelled: removed, or given up by their holder.",
        _QUEUE,
        _of_stats("cancelled_total"),
    ),
    Instrument(
        "taquba.leases_expired",
        "counter",
        "{lease}",
        "Deliveries whose lease ran out, since the store was opened.",
        _QUEUE,
        _of_queues("expired_total"),
    ),
    Instrument(
        "taquba.job_wait",
        "histogram",
        "s",
        "From claimable to delivered, since the store was opened. Only for the 256 queues with the "
        "most deliveries.",
        _QUEUE,
        _of_busiest("wait_seconds"),
    ),
    Instrument(
        "taquba.job_run",
        "histogram",
        "s",
        "From delivered to settled, since the store was opened. Only for the 256 queues with the "
        "most deliveries.",
        _QUEUE,
        _of_busiest("run_seconds"),
    ),
)

_STORE: Final[tuple[Instrument[Snapshot], ...]] = (
    Instrument(
        "taquba.commit_duration",
        "histogram",
        "s",
        "From cutting a commit to its durability.",
        (),
        _of_metrics("commit_seconds"),
    ),
    Instrument(
        "taquba.commit_rows",
        "histogram",
        "{row}",
        "Rows of a commit.",
        (),
        _of_metrics("commit_rows"),
    ),
    Instrument(
        "taquba.commit_size",
        "histogram",
        "By",
        "Bytes of the rows of a commit.",
        (),
        _of_metrics("commit_bytes"),
    ),
    Instrument(
        "taquba.store_requests",
        "counter",
        "{request}",
        "Requests to the store since it was opened, by operation. On a local disk commits are "
        "puts.",
        ("op",),
        _requests,
    ),
    Instrument(
        "taquba.store_transferred",
        "counter",
        "By",
        "Bytes written to the store and read from it since it was opened.",
        ("op",),
        _transferred,
    ),
    Instrument(
        "taquba.store_request_duration",
        "histogram",
        "s",
        "How long the store took to answer.",
        ("op",),
        _request_durations,
    ),
    Instrument(
        "taquba.payload_memory",
        "gauge",
        "By",
        "Payloads held in memory.",
        (),
        _of_metrics("body_bytes"),
    ),
    Instrument(
        "taquba.uploads_in_flight",
        "gauge",
        "{upload}",
        "Large payloads that are being uploaded.",
        (),
        _of_metrics("upload_count"),
    ),
    Instrument(
        "taquba.quarantined_records",
        "gauge",
        "{record}",
        "Records found damaged and moved aside.",
        (),
        lambda snapshot: [((), snapshot.metrics.stats.quarantined_count)],
    ),
)

OF_STORE: Final[tuple[Instrument[Snapshot], ...]] = (*_JOBS, *_STORE)
"""What each store has."""

UP: Final[Instrument[Snapshot | None]] = Instrument(
    "taquba.up",
    "gauge",
    "",
    "1 if the store was looked at, 0 if it is closed, fenced, or did not answer.",
    (),
    lambda snapshot: [((), 0 if snapshot is None else 1)],
)
"""Whether there was a look."""


OF_PROCESS: Final[tuple[Instrument[None], ...]] = (
    Instrument(
        "taquba.hook_duration",
        "histogram",
        "s",
        "Calls of terminal hooks in this process, by end: done, failed, or interrupted.",
        ("end",),
        _of_calls(HOOK_CALLS),
    ),
    Instrument(
        "taquba.webhook_duration",
        "histogram",
        "s",
        "Attempts to deliver a webhook in this process, by end: done, failed (tried again while "
        "attempts are left), refused (given up), postponed (not sent yet), or interrupted.",
        ("end",),
        _of_calls(WEBHOOK_DELIVERIES),
    ),
)
"""What the process has, however many stores it owns."""


def points_of(
    instrument: Instrument[_S], sources: Iterable[tuple[tuple[str, ...], _S]]
) -> Iterator[Point]:
    """Return all values of an instrument.

    Args:
        instrument: Which one.
        sources: What it is read from, and the values of the labels that come before its own.
    """
    for labels, source in sources:
        for values, value in instrument.read(source):
            yield (*labels, *values), value


def storage_instruments(snapshots: Iterable[Snapshot]) -> list[Instrument[Snapshot]]:
    """Return the instruments of the storage engine, whichever it has.

    Args:
        snapshots: Looks that name them.
    """
    found: dict[str, tuple[Kind, set[str]]] = {}
    for snapshot in snapshots:
        for name, metrics in snapshot.storage.items():
            _, labels = found.setdefault(name, (metrics[0].kind, set()))
            labels.update(label for metric in metrics for label, _ in metric.labels)
    return [
        _storage_instrument(name, kind, sorted(labels - _CHANGING_LABELS))
        for name, (kind, labels) in found.items()
    ]


def _together(one: Histogram | None, other: Histogram) -> Histogram:
    """Return the values of both; the other alone if they do not have the same buckets."""
    if one is None or one.bounds != other.bounds:
        return other
    counts = tuple(map(operator.add, one.counts, other.counts))
    return Histogram(bounds=one.bounds, counts=counts, sum=one.sum + other.sum)


def _storage_instrument(name: str, kind: Kind, labels: Sequence[str]) -> Instrument[Snapshot]:
    def read(snapshot: Snapshot) -> Iterable[Point]:
        histograms: dict[tuple[str, ...], Histogram] = {}
        numbers: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for metric in snapshot.storage.get(name, ()):
            given = dict(metric.labels)
            values = tuple(given.get(label, "") for label in labels)
            if kind != "histogram":
                numbers[values] += metric.value
            # It has one for each kind of request of each of its parts: most stay empty for ever.
            elif metric.histogram is not None and metric.histogram.count:
                found = histograms.get(values)
                histograms[values] = _together(found, metric.histogram)
        return (histograms if kind == "histogram" else numbers).items()

    shown = tuple(f"storage_{label}" if label in _TAKEN_LABELS else label for label in labels)
    return Instrument(f"taquba.{name}", kind, "", f"`{name}` of the storage engine.", shown, read)
