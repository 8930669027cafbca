"""Metrics for OpenTelemetry: the instruments of the one table, observed when a reader collects.

Everything is observable: nothing is counted for OpenTelemetry before it asks. It has no observable
histogram, and the Python SDK takes no metrics from elsewhere (a `MetricProducer`); a histogram of
the other kind would have to be told each value, which is work for each job. So a histogram is three
counters here: `.bucket` with an attribute `le` (jobs up to that bound, cumulative), `.count` and
`.sum`. Whoever wants true histograms has the collector of OpenTelemetry scrape
`taquba.integrations.prometheus`.

Invariants:
    1. What is collected within 0.9 seconds is from one look, whichever readers ask.
    2. Collecting never raises, and waits for a look 5 seconds or what the reader allows, and half a
       second more: a store that cannot be looked at is `taquba.up` 0, and has no other values.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from time import monotonic
from typing import Final, TypeVar, final

from taquba import Histogram, __version__
from taquba.integrations._instruments import (
    OF_PROCESS,
    OF_STORE,
    UP,
    Instrument,
    Value,
    points_of,
    storage_instruments,
)
from taquba.integrations._snapshot import TIMEOUT_SECONDS, Queues, Seen, Snapshot, Source

try:
    from opentelemetry.metrics import (
        CallbackOptions,
        Meter,
        MeterProvider,
        Observation,
        get_meter_provider,
    )
except ModuleNotFoundError as missing:
    _message = "install `taquba[opentelemetry]` to use `taquba.integrations.opentelemetry`"
    raise ModuleNotFoundError(_message, name=missing.name) from missing

__all__ = ["instrument_metrics"]

_S = TypeVar("_S")

_INFINITY: Final = "+Inf"

# Longer than a collection takes, and shorter than the pause of a reader that asks each second.
_LOOK_SECONDS: Final = 0.9


def instrument_metrics(queues: Queues, meter_provider: MeterProvider | None = None) -> None:
    """Have the readers of a meter provider collect the metrics of a queue.

    Call it once for a meter provider, after the queue was opened. What the storage engine counts is
    looked up once, now, which takes some milliseconds. The meter provider keeps the queue; once
    that is closed, `taquba.up` is 0.

    Args:
        queues: An open queue, of `taquba` or of `taquba.sync`. Or several, by name: every metric of
            a store then has the name as its attribute `store`.
        meter_provider: Whose readers; the global one if absent.

    Raises:
        ArgumentTypeError: `queues` is neither a queue nor several by name.
        InvalidArgumentError: There is none in it.

    Example:
        >>> instrument_metrics(queue)
    """
    provider = get_meter_provider() if meter_provider is None else meter_provider
    meter = provider.get_meter("taquba", __version__)
    source = Source(queues)
    looks = _Looks(source)
    snapshots = [each.snapshot for each in source.take_blocking() if each.snapshot is not None]
    names = source.label_names

    def all_of(seen: Sequence[Seen]) -> "_Sources[Snapshot | None]":
        return [(each.labels, each.snapshot) for each in seen]

    def answers_of(seen: Sequence[Seen]) -> "_Sources[Snapshot]":
        return [(each.labels, each.snapshot) for each in seen if each.snapshot is not None]

    def process_of(_: Sequence[Seen]) -> "_Sources[None]":
        return [((), None)]

    _create(meter, looks, UP, names, all_of)
    for instrument in (*OF_STORE, *storage_instruments(snapshots)):
        _create(meter, looks, instrument, names, answers_of)
    for counted in OF_PROCESS:
        _create(meter, looks, counted, (), process_of)


_Sources = Sequence[tuple[tuple[str, ...], _S]]


@final
class _Looks:
    """Looks at all stores, each shared by all that ask soon after it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._seen: Sequence[Seen] = ()
        self._fresh_until = float("-inf")

    def latest(self, options: CallbackOptions) -> Sequence[Seen]:
        """Return the latest look, or take one.

        Args:
            options: Say how long it may take.
        """
        with self._lock:
            if monotonic() >= self._fresh_until:
                timeout = min(TIMEOUT_SECONDS, options.timeout_millis / 1000)
                self._seen = self._source.take_blocking(timeout)
                self._fresh_until = monotonic() + _LOOK_SECONDS
            return self._seen


def _create(
    meter: Meter,
    looks: _Looks,
    instrument: Instrument[_S],
    label_names: tuple[str, ...],
    sources_of: "Callable[[Sequence[Seen]], _Sources[_S]]",
) -> None:
    """Create what observes one instrument: one of the meter's, or three for a histogram."""
    names = (*label_names, *instrument.labels)

    def observing(part: _Part) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterator[Observation]:
            sources = sources_of(looks.latest(options))
            for labels, value in points_of(instrument, sources):
                attributes = dict(zip(names, labels, strict=True))
                for more, number in part.numbers(value):
                    yield Observation(number, {**attributes, **more})

        return observe

    for part in _PARTS if instrument.kind == "histogram" else (_WHOLE,):
        create = (
            meter.create_observable_gauge
            if instrument.kind == "gauge"
            else meter.create_observable_counter
        )
        unit = instrument.unit if part.has_unit else ""
        create(instrument.name + part.suffix, [observing(part)], unit, instrument.help)


@final
@dataclass(frozen=True, slots=True)
class _Part:
    """What is shown of a value: its numbers, each with more attributes."""

    suffix: str
    has_unit: bool
    numbers: Callable[[Value], Iterable[tuple[Mapping[str, str], float]]]


def _number(value: Value) -> Iterable[tuple[Mapping[str, str], float]]:
    assert not isinstance(value, Histogram), "the table says so"  # noqa: S101 - an invariant of ours
    return [({}, value)]


def _buckets(value: Value) -> Iterable[tuple[Mapping[str, str], float]]:
    assert isinstance(value, Histogram), "the table says so"  # noqa: S101 - an invariant of ours
    bounds = (*(str(float(bound)) for bound in value.bounds), _INFINITY)
    return [
        ({"le": bound}, count)
        for bound, count in zip(bounds, accumulate(value.counts), strict=True)
    ]


def _count(value: Value) -> Iterable[tuple[Mapping[str, str], float]]:
    assert isinstance(value, Histogram), "the table says so"  # noqa: S101 - an invariant of ours
    return [({}, value.count)]


def _sum(value: Value) -> Iterable[tuple[Mapping[str, str], float]]:
    assert isinstance(value, Histogram), "the table says so"  # noqa: S101 - an invariant of ours
    return [({}, value.sum)]


_WHOLE: Final = _Part("", has_unit=True, numbers=_number)
_PARTS: Final = (
    _Part(".bucket", has_unit=False, numbers=_buckets),
    _Part(".count", has_unit=False, numbers=_count),
    _Part(".sum", has_unit=True, numbers=_sum),
)
