"""Metrics for Prometheus, with `prometheus_client`: the extra `prometheus`.

Pulled: nothing is counted for Prometheus before it asks, and then one look at the queue has all of
it. See `docs/metrics.md` for the list of the metrics.

Invariants:
    1. A scrape never raises, and waits for a look 5.5 seconds at the most: a store that cannot be
       looked at is `taquba_up 0`, and all else is shown all the same.
    2. A family of metrics is shown once, however many queues there are.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, TypeVar, final

from taquba import Histogram, __version__
from taquba.integrations._instruments import (
    OF_PROCESS,
    OF_STORE,
    UP,
    Instrument,
    points_of,
    storage_instruments,
)
from taquba.integrations._snapshot import Queues, Seen, Source

try:
    from prometheus_client.exposition import generate_latest
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.utils import floatToGoString
except ModuleNotFoundError as missing:
    _message = "install `taquba[prometheus]` to use `taquba.integrations.prometheus`"
    raise ModuleNotFoundError(_message, name=missing.name) from missing

__all__ = ["CONTENT_TYPE", "Collector", "exposition"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""What `exposition` returns, for the header of an answer."""

_S = TypeVar("_S")


@final
class Collector:
    """What a registry of `prometheus_client` asks. Works from any thread.

    One collector shows all queues of a process; a registry refuses a second one.

    On an event loop, also behind `prometheus_client.make_asgi_app`, a scrape holds the loop up for
    the milliseconds that it takes; `exposition` does not.

    Args:
        queues: An open queue, of `taquba` or of `taquba.sync`. Or several, by name: every metric of
            a store then has the name as its label `store`.

    Raises:
        ArgumentTypeError: It is neither.
        InvalidArgumentError: There is none in it.

    Example:
        >>> prometheus_client.REGISTRY.register(Collector(queue))
        >>> prometheus_client.start_http_server(9100, addr="127.0.0.1")
    """

    def __init__(self, queues: Queues) -> None:
        self._source = Source(queues)

    def collect(self) -> Iterator[Metric]:
        """Return all families, from one look."""
        return _families(self._source.label_names, self._source.take_blocking())

    def describe(self) -> Iterator[Metric]:
        """Return the families that there always are, without looking."""
        return _families(self._source.label_names, [])


async def exposition(queues: Queues) -> bytes:
    """Return the metrics as text, for a handler that answers a scrape.

    Metrics of anything else are not in there; register a `Collector` to have all in one place.

    Args:
        queues: As for `Collector`.

    Returns:
        Text in the format that `CONTENT_TYPE` names.

    Raises:
        ArgumentTypeError: `queues` is neither a queue nor several by name.
        InvalidArgumentError: There is none in it.
    """
    source = Source(queues)
    taken = _Taken(source.label_names, await source.take())
    # Families and text of a thousand queues are half a second: not on the event loop.
    return await asyncio.to_thread(generate_latest, taken)


@final
class _Taken:
    """A registry of one look."""

    def __init__(self, label_names: tuple[str, ...], seen: Sequence[Seen]) -> None:
        self._label_names = label_names
        self._seen = seen

    def collect(self) -> Iterable[Metric]:
        return _families(self._label_names, self._seen)


def _families(label_names: tuple[str, ...], seen: Sequence[Seen]) -> Iterator[Metric]:
    """Return the families of a look at several stores."""
    build = GaugeMetricFamily("taquba_build_info", "The version of taquba.", labels=["version"])
    build.add_metric([__version__], 1)
    yield build
    yield _family(UP, label_names, [(each.labels, each.snapshot) for each in seen])
    answers = [(each.labels, each.snapshot) for each in seen if each.snapshot is not None]
    of_storage = storage_instruments(snapshot for _, snapshot in answers)
    for instrument in (*OF_STORE, *of_storage):
        yield _family(instrument, label_names, answers)
    for counted in OF_PROCESS:
        yield _family(counted, (), [((), None)])


def _family(
    instrument: Instrument[_S],
    label_names: tuple[str, ...],
    sources: Iterable[tuple[tuple[str, ...], _S]],
) -> Metric:
    name, text = instrument.prometheus_name, instrument.help
    labels = (*label_names, *instrument.labels)
    points = points_of(instrument, sources)
    if instrument.kind == "histogram":
        histograms = HistogramMetricFamily(name, text, labels=labels)
        for values, value in points:
            assert isinstance(value, Histogram), "the table says so"  # noqa: S101 - ours
            histograms.add_metric(values, _buckets(value), value.sum)
        return histograms
    kind = CounterMetricFamily if instrument.kind == "counter" else GaugeMetricFamily
    numbers = kind(name, text, labels=labels)
    for values, value in points:
        assert not isinstance(value, Histogram), "the table says so"  # noqa: S101 - ours
        numbers.add_metric(values, value)
    return numbers


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return the cumulative counts, by upper bound."""
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))
