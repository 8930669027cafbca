"""What tracing must not do: cost when off, fail when broken, tell strangers, lose its place."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from opentelemetry.baggage import get_baggage, set_baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import attach, detach
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from taquba import (
    Claim,
    EnqueueOptions,
    PermanentFailure,
    Queue,
    RunSpec,
    Step,
    StepOutcome,
    Succeed,
    TransientFailure,
    WorkflowRuntime,
    run_worker,
)
from taquba.exceptions import ArgumentTypeError, ClosedError, InvalidArgumentError
from taquba.integrations.opentelemetry import instrument_tracing, uninstrument_tracing
from taquba.store import MemoryStore
from taquba.sync import Queue as SyncQueue
from tests.conftest import Store
from tests.integrations.spans import Spans, is_below, recording, traceparent, values
from tests.waiting import eventually
from tests.webhooks.conftest import job_for, worker_for
from tests.webhooks.receiver import answer, receiving

# Each of them uses what tracing looks at, and says which modules that has brought in.
OFF = """
import asyncio, sys
import taquba, taquba.webhooks, taquba.workflow

async def runner(step):
    return taquba.Succeed(step.payload)

async def main():
    async with taquba.Queue.open("memory://") as queue:
        await queue.enqueue("emails", b"")
        async with taquba.WorkflowRuntime(queue, runner) as runtime:
            await (await runtime.submit(taquba.RunSpec(b""))).outcome()

asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

MISSING = """
import sys
sys.modules["opentelemetry"] = None
try:
    import taquba.integrations.opentelemetry
except ImportError as error:
    print(error)
"""


@pytest.fixture
def store() -> Store:
    """Where jobs are kept makes no difference to their traces."""
    return MemoryStore()


@pytest.fixture
def spans() -> Iterator[Spans]:
    """All that happens in the test is traced."""
    with recording() as spans_:
        yield spans_


async def succeed(step: Step) -> StepOutcome:
    """A runner."""
    return Succeed(step.payload)


async def do_nothing(_: Claim) -> None:
    """A worker."""


async def ended(spans: Spans, name: str) -> ReadableSpan:
    """Waits until a span of a name has ended."""

    async def probe() -> list[ReadableSpan]:
        return spans.named(name)

    return (await eventually(probe, f"a span `{name}`"))[0]


def run_python(source: str) -> str:
    """What a program prints."""
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_what_is_not_traced_imports_nothing_of_opentelemetry() -> None:
    assert run_python(OFF) == "[]"


def test_without_the_extra_the_error_names_it() -> None:
    hint = "install `taquba[opentelemetry]` to use `taquba.integrations.opentelemetry`"
    assert run_python(MISSING) == hint


async def test_after_the_end_of_tracing_nothing_is_recorded_and_no_header_added(
    queue: Queue,
) -> None:
    with recording() as spans:
        pass

    await queue.enqueue("emails", b"")
    async with WorkflowRuntime(queue, succeed) as runtime:
        outcome = await (await runtime.submit(RunSpec(b""))).outcome()

    claim = await queue.claim("emails")
    assert claim is not None
    assert (claim.headers, outcome.headers, spans.all()) == ({}, {}, ())


@pytest.mark.parametrize(
    "headers",
    [{f"h{number}": "x" for number in range(63)}, {"long": "x" * (64 * 1024 - 4)}],
    ids=["too many", "too long"],
)
async def test_headers_without_room_stay_as_they_are(
    queue: Queue, spans: Spans, headers: dict[str, str]
) -> None:
    # Of the two headers of a trace with a state, not both have room.
    above = {"traceparent": GIVEN, "tracestate": "a=1"}
    token = attach(TraceContextTextMapPropagator().extract(above))
    try:
        job_id = await queue.enqueue("emails", b"", EnqueueOptions(headers=headers))
        runtime = WorkflowRuntime(queue, succeed)
        handle = await runtime.submit(RunSpec(b"", headers=headers))
    finally:
        detach(token)

    assert (await queue.get_job(job_id)).headers == headers
    assert (await handle.status()).headers == headers
    assert len(spans.all()) == 2


async def test_the_state_of_a_trace_travels_with_it(queue: Queue, spans: Spans) -> None:
    above = {"traceparent": GIVEN, "tracestate": "a=1"}
    token = attach(TraceContextTextMapPropagator().extract(above))
    try:
        await queue.enqueue("emails", b"")
    finally:
        detach(token)

    claim = await queue.claim("emails")
    assert claim is not None
    assert claim.headers == {
        "traceparent": traceparent(spans.one("send emails")),
        "tracestate": "a=1",
    }


class BrokenSampler(Sampler):
    """One with a bug."""

    def should_sample(self, *_: Any, **__: Any) -> NoReturn:
        """Raise."""
        message = "a bug of a sampler"
        raise ZeroDivisionError(message)

    def get_description(self) -> str:
        """Say what it is."""
        return "broken"


class BrokenProcessor(SpanProcessor):
    """One with a bug."""

    def on_end(self, span: ReadableSpan) -> NoReturn:
        """Raise."""
        message = f"a bug of a processor at {span.name}"
        raise ZeroDivisionError(message)


class BrokenPropagator(TraceContextTextMapPropagator):
    """One with a bug, on either side."""

    def inject(self, *_: Any, **__: Any) -> NoReturn:
        """Raise."""
        message = "a bug of a propagator"
        raise ZeroDivisionError(message)

    def extract(self, *_: Any, **__: Any) -> NoReturn:
        """Raise."""
        message = "a bug of a propagator"
        raise ZeroDivisionError(message)


@pytest.mark.parametrize("breaks", ["sampler", "processor", "propagator"])
async def test_a_broken_part_of_the_tracing_fails_no_work(
    queue: Queue, breaks: str, caplog: pytest.LogCaptureFixture
) -> None:
    sampler = BrokenSampler() if breaks == "sampler" else ALWAYS_ON
    propagator = BrokenPropagator() if breaks == "propagator" else None
    with recording(sampler, propagator) as spans:
        if breaks == "processor":
            spans.provider.add_span_processor(BrokenProcessor())
        async with WorkflowRuntime(queue, succeed) as runtime:
            given = RunSpec(b"fine", max_attempts=1, headers={"traceparent": GIVEN})
            outcome = await (await runtime.submit(given)).outcome()

    assert outcome.result == b"fine"
    assert {record.name for record in caplog.records} >= {"taquba.tracing"}


class OddPropagator(TraceContextTextMapPropagator):
    """One that writes what no header of a job may be."""

    def __init__(self, more: dict[Any, Any]) -> None:
        self._more = more

    def inject(self, carrier: Any, *_: Any, **__: Any) -> None:
        """Write it."""
        carrier.update(self._more)


@pytest.mark.parametrize(
    "more",
    [{"workflow.run": "x"}, {"count": 3}, {7: "x"}],
    ids=["a reserved key", "a number", "a key that is a number"],
)
async def test_a_propagator_that_writes_what_no_header_may_be_fails_no_work(
    queue: Queue, more: dict[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with recording(propagator=OddPropagator(more)):
        for _ in range(2):
            job_id = await queue.enqueue("emails", b"", EnqueueOptions(headers={"a": "b"}))
        handle = await WorkflowRuntime(queue, succeed).submit(RunSpec(b"", headers={"a": "b"}))

    assert (await queue.get_job(job_id)).headers == {"a": "b"}
    assert (await handle.status()).headers == {"a": "b"}
    assert [record.name for record in caplog.records] == ["taquba.tracing"]


class Hostile:
    """No name of a queue."""

    def __str__(self) -> NoReturn:
        """Raise."""
        message = "whoever calls this fails"
        raise ZeroDivisionError(message)


async def test_what_is_no_name_of_a_queue_is_refused_as_without_tracing(
    queue: Queue, spans: Spans
) -> None:
    with pytest.raises(ArgumentTypeError):
        await queue.enqueue(Hostile(), b"")  # type: ignore[arg-type]

    [span] = spans.all()
    assert span.name == "send (invalid)"


async def test_a_call_that_is_refused_ends_its_span_with_the_error(spans: Spans) -> None:
    queue = await Queue.open("memory://")
    await queue.close()

    with pytest.raises(ClosedError):
        await queue.enqueue("emails", b"")
    async with Queue.open("memory://") as other:
        with pytest.raises(ValueError, match="queue"):
            await other.enqueue("no such name/" * 100, b"")

    [span] = spans.all()
    assert span.name == f"send {('no such name/' * 100)[:255]}"
    assert span.status.status_code is StatusCode.ERROR
    assert values(span)["error.type"] == "InvalidQueueNameError"


async def test_a_delivery_that_a_shutdown_interrupts_is_no_error(
    queue: Queue, spans: Spans
) -> None:
    began, shutdown = asyncio.Event(), asyncio.Event()

    async def hang(_: Claim) -> None:
        began.set()
        await asyncio.Event().wait()

    await queue.enqueue("emails", b"")
    async with asyncio.TaskGroup() as group:
        group.create_task(run_worker(queue, "emails", hang, shutdown=shutdown, shutdown_timeout=0))
        await began.wait()
        shutdown.set()

    span = await ended(spans, "process emails")
    assert values(span)["taquba.outcome"] == "interrupted"
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(("status", "is_error"), [(204, False), (503, True), (404, True)])
async def test_a_webhook_says_how_it_was_answered_and_to_whom_but_not_where(
    queue: Queue, spans: Spans, status: int, is_error: bool
) -> None:
    async with receiving(answer(status)) as receiver:
        await queue.enqueue_batch("webhooks", [job_for(receiver)])
        claim = await queue.claim("webhooks")
        assert claim is not None
        try:
            await worker_for(receiver).process(claim)
        except (PermanentFailure, TransientFailure):
            assert is_error

    span = spans.one("webhook")
    assert values(span)["http.response.status_code"] == status
    assert values(span)["server.address"] == "127.0.0.1"
    assert (span.status.status_code is StatusCode.ERROR) is is_error
    assert "secret" not in span.to_json()


async def test_a_receiver_gets_the_trace_and_nothing_else_whatever_travels_inside(
    queue: Queue,
) -> None:
    everything = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
    with recording(propagator=everything) as spans:
        async with receiving(answer(200)) as receiver:
            job = job_for(receiver)
            token = attach(set_baggage("customer", "ada"))
            try:
                await queue.enqueue_batch("webhooks", [job])
            finally:
                detach(token)
            [info] = (await queue.list_jobs("webhooks")).jobs
            worker, shutdown = worker_for(receiver), asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(run_worker(queue, "webhooks", worker, shutdown=shutdown))
                await ended(spans, "process webhooks")
                shutdown.set()

    assert info.headers["baggage"] == "customer=ada"
    [received] = receiver.received
    assert received.headers["traceparent"] == traceparent(spans.one("webhook"))
    assert "baggage" not in received.headers


async def test_a_traceparent_that_a_webhook_job_sends_itself_is_sent(
    queue: Queue, spans: Spans
) -> None:
    async with receiving(answer(200)) as receiver:
        job = job_for(receiver, headers={"Traceparent": "mine"})
        await queue.enqueue_batch("webhooks", [job])
        claim = await queue.claim("webhooks")
        assert claim is not None
        await worker_for(receiver).process(claim)

    assert [
        value for name, value in receiver.received[0].header_lines if name == "traceparent"
    ] == ["mine"]
    assert len(spans.named("webhook")) == 1


def test_a_queue_without_await_is_traced_below_the_span_of_its_caller(spans: Spans) -> None:
    with SyncQueue.open("memory://") as queue, spans.tracer.start_as_current_span("script"):
        queue.enqueue("emails", b"")

    assert is_below(spans.one("send emails"), spans.one("script"))


def test_what_is_no_provider_or_propagator_is_refused() -> None:
    with pytest.raises(ArgumentTypeError):
        instrument_tracing("provider")  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError):
        instrument_tracing(None, "propagator")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="headers"):
        instrument_tracing(None, CompositePropagator([]))
    uninstrument_tracing()


async def test_baggage_of_whoever_opened_the_queue_reaches_no_traced_step(spans: Spans) -> None:
    seen: list[object] = []

    async def runner(step: Step) -> StepOutcome:
        seen.append(get_baggage("customer"))
        return Succeed(step.payload)

    token = attach(set_baggage("customer", "ada"))
    try:
        async with (
            Queue.open("memory://") as queue,
            WorkflowRuntime(queue, runner) as runtime,
        ):
            await (await runtime.submit(RunSpec(b""))).outcome()
    finally:
        detach(token)

    assert seen == [None]
    assert len(spans.named("step workflow")) == 1
