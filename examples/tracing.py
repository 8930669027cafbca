"""One trace from the request to the last step: OpenTelemetry, with the runner's own spans inside.

Needs the extra `taquba[opentelemetry]`, and the SDK, as every service that exports traces.

    python examples/tracing.py
"""

import asyncio

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from taquba import Queue, RunSpec, Step, StepError, StepOutcome, WorkflowRuntime
from taquba.integrations.opentelemetry import instrument_tracing

exporter = InMemorySpanExporter()  # an OTLP exporter, in a service
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("example")


async def write(step: Step) -> StepOutcome:
    """Two steps; the second one fails once."""
    if step.step_number == 1 and step.attempts == 1:
        raise StepError.transient("the model is busy", retry_after=0)
    with tracer.start_as_current_span("call the model"):
        await asyncio.sleep(0)
    return StepOutcome.Succeed(b"") if step.step_number == 1 else StepOutcome.Continue(b"")


async def main() -> None:
    """A request that submits a run; its spans, as a tree."""
    instrument_tracing(provider)
    async with Queue.open("memory://") as queue, WorkflowRuntime(queue, write) as runtime:
        with tracer.start_as_current_span("POST /essays"):
            handle = await runtime.submit(RunSpec(b"tides"))
        await handle.outcome(timeout=20)
    spans = sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
    depths: dict[int | None, int] = {None: -1}
    for span in spans:
        parent = None if span.parent is None else span.parent.span_id
        depths[span.context.span_id] = depth = depths[parent] + 1
        failed = "" if span.status.is_ok or not span.status.description else " (failed)"
        print("  " * depth + span.name + failed)
    print("traces:", len({span.context.trace_id for span in spans}))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
#
# POST /essays
#   submit workflow
#     step workflow
#       call the model
#     step workflow (failed)
#     step workflow
#       call the model
# traces: 1
