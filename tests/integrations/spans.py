"""Spans that were ended, kept in memory for the length of a test."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, final

from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import SpanContext, Tracer

from taquba.integrations.opentelemetry import instrument_tracing, uninstrument_tracing

NOWHERE: Final = 0
"""What `Spans.parent_id` is for a span without a parent."""


@final
class Spans:
    """What was recorded so far. Made by `recording`."""

    def __init__(self, sampler: Sampler) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def tracer(self) -> Tracer:
        """Makes the application's own spans."""
        return self.provider.get_tracer("tests")

    def all(self) -> Sequence[ReadableSpan]:
        """All of them, in the order in which they ended."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        """Those with a name."""
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only one with a name."""
        [span] = self.named(name)
        return span


def context_of(span: ReadableSpan) -> SpanContext:
    """What names a span."""
    context: SpanContext | None = span.context
    assert context is not None
    return context


def traceparent(span: ReadableSpan) -> str:
    """The header that names it, as W3C Trace Context has it."""
    context = context_of(span)
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def parent_id(span: ReadableSpan) -> int:
    """The id of the span above it."""
    return NOWHERE if span.parent is None else span.parent.span_id


def is_below(span: ReadableSpan, parent: ReadableSpan) -> bool:
    """Whether the one hangs below the other, in the same trace."""
    above = context_of(parent)
    same_trace = context_of(span).trace_id == above.trace_id
    return same_trace and parent_id(span) == above.span_id


def links_to(span: ReadableSpan) -> list[int]:
    """The ids of the spans that it links to."""
    return [link.context.span_id for link in span.links]


def values(span: ReadableSpan) -> dict[str, object]:
    """Its attributes."""
    return dict(span.attributes or {})


@contextmanager
def recording(
    sampler: Sampler = ALWAYS_ON,
    propagator: TextMapPropagator | None = None,
    *,
    sample_ratio: float = 1.0,
) -> Iterator[Spans]:
    """Traces the process for the length of a block."""
    spans = Spans(sampler)
    instrument_tracing(spans.provider, propagator, sample_ratio=sample_ratio)
    try:
        yield spans
    finally:
        uninstrument_tracing()
