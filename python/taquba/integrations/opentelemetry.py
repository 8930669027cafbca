"""Traces and metrics for OpenTelemetry: the extra `opentelemetry`.

Traces are pushed, from the moment at which `instrument_tracing` is called; see `docs/tracing.md`.
Metrics are observed when a reader asks; see `docs/metrics.md`.
"""

from taquba import _tracing
from taquba._checks import check_instance, refuse, refuse_type
from taquba.integrations._otel_metrics import instrument_metrics
from taquba.integrations._otel_tracing import OtelTracer

try:
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as missing:
    _message = "install `taquba[opentelemetry]` to use `taquba.integrations.opentelemetry`"
    raise ModuleNotFoundError(_message, name=missing.name) from missing

__all__ = ["instrument_metrics", "instrument_tracing", "uninstrument_tracing"]


def instrument_tracing(
    tracer_provider: TracerProvider | None = None,
    propagator: TextMapPropagator | None = None,
    *,
    sample_ratio: float = 1.0,
) -> None:
    """Have all queues and runtimes of this process traced, from now on.

    There are spans for what is submitted or enqueued, for each delivery of a step or job, for each
    call of a hook, and for each request of a webhook. They are one trace: the headers `traceparent`
    and `tracestate` of W3C travel in the headers of jobs and runs, unless the caller has set them
    or there is no room. Receivers of webhooks get them too. What is not sampled when it is
    submitted gets no such headers, and what comes without them is not recorded. See
    `docs/tracing.md`.

    Called again, it replaces what it was given.

    Args:
        tracer_provider: Whose spans; the global one if absent, also if that is set later.
        propagator: What is written into the headers of jobs and runs; W3C Trace Context if absent.
            They are stored: think before you let baggage travel. Receivers of webhooks get W3C
            Trace Context in any case, and nothing else.
        sample_ratio: Of what is submitted or enqueued outside of any span, this share is traced, 0
            to 1; for the rest nobody is asked, not even the sampler. Below a span its trace goes
            on.

    Raises:
        ArgumentTypeError: An argument is of another type.
        InvalidArgumentError: `propagator` writes no headers, or `sample_ratio` is not in 0 to 1.

    Example:
        >>> instrument_tracing()
    """
    if tracer_provider is not None:
        check_instance("tracer_provider", tracer_provider, TracerProvider)
    if propagator is None:
        propagator = TraceContextTextMapPropagator()
    check_instance("propagator", propagator, TextMapPropagator)
    if not propagator.fields:
        refuse("propagator", propagator, "give one that names the headers it writes")
    if isinstance(sample_ratio, bool):
        refuse_type("sample_ratio", sample_ratio, "give a number from 0 to 1")
    check_instance("sample_ratio", sample_ratio, (int, float))
    if not 0 <= sample_ratio <= 1:
        refuse("sample_ratio", sample_ratio, "give a number from 0 to 1")
    _tracing.active = OtelTracer(tracer_provider, propagator, sample_ratio)


def uninstrument_tracing() -> None:
    """Trace nothing more. Spans that are open are ended when their work is."""
    _tracing.active = None
