"""What is traced: one trace from a submission to the webhook, and what its spans say."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from taquba import (
    Cancel,
    Claim,
    Continue,
    Effects,
    EnqueueOptions,
    Fail,
    NewJob,
    PermanentFailure,
    Postponed,
    Queue,
    QueueConfig,
    RetryJitter,
    RunOutcome,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    Succeed,
    WorkflowRuntime,
    run_worker,
)
from taquba.exceptions import InvalidArgumentError
from taquba.integrations.opentelemetry import instrument_tracing
from taquba.store import MemoryStore
from taquba.webhooks import WebhookTerminalHook
from tests.conftest import OpenQueue, Store
from tests.integrations.spans import (
    NOWHERE,
    Spans,
    context_of,
    is_below,
    links_to,
    parent_id,
    recording,
    traceparent,
    values,
)
from tests.waiting import eventually
from tests.webhooks.conftest import worker_for
from tests.webhooks.receiver import LOOPBACK, answer, receiving

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

AT_ONCE = QueueConfig(retry_backoff_base=0, retry_jitter=RetryJitter.NONE)


@pytest.fixture
def store() -> Store:
    """Where jobs are kept makes no difference to their traces."""
    return MemoryStore()


@pytest.fixture
def spans() -> Iterator[Spans]:
    """All that happens in the test is traced."""
    with recording() as spans_:
        yield spans_


async def three_steps(step: Step) -> StepOutcome:
    """A runner."""
    return Continue(b"more") if step.step_number < 2 else Succeed(b"done")


async def do_nothing(_: Claim) -> None:
    """A worker."""


async def told_of(_: RunOutcome) -> None:
    """A hook."""


async def ended(spans: Spans, name: str, count: int = 1) -> None:
    """Waits until so many spans of a name have ended: after their work was settled, maybe."""

    async def probe() -> bool:
        return len(spans.named(name)) >= count

    await eventually(probe, f"{count} spans `{name}`")


async def work(queue: Queue, name: str, process: object, spans: Spans, count: int = 1) -> None:
    """Works on a queue until so many deliveries were traced."""
    shutdown = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_worker(queue, name, process, shutdown=shutdown))  # type: ignore[arg-type]
        await ended(spans, f"process {name}", count)
        shutdown.set()


async def test_a_run_is_one_trace_from_its_submission_to_the_webhook(
    queue: Queue, spans: Spans
) -> None:
    async with receiving(answer(200)) as receiver:
        hook = WebhookTerminalHook(
            queue, "webhooks", allow_http=True, allow_networks=LOOPBACK, ports=receiver.ports
        )
        async with WorkflowRuntime(queue, three_steps, hook, queue_name="reports") as runtime:
            with spans.tracer.start_as_current_span("request"):
                headers = {"callback_url": receiver.url}
                handle = await runtime.submit(RunSpec(b"", headers=headers))
            await handle.outcome()
            await work(queue, "webhooks", worker_for(receiver), spans)
        [received] = await receiver.has_received(1)

    request, submit = spans.one("request"), spans.one("submit reports")
    steps, hook_span = spans.named("step reports"), spans.one("hook")
    process, webhook = spans.one("process webhooks"), spans.one("webhook")
    assert is_below(submit, request)
    assert [is_below(step, submit) for step in steps] == [True] * 3
    assert [links_to(step) for step in steps] == [[context_of(submit).span_id]] * 3
    assert is_below(hook_span, submit)
    assert is_below(process, hook_span)
    assert is_below(webhook, process)
    assert received.headers["traceparent"] == traceparent(webhook)
    kinds = [span.kind for span in (submit, steps[0], hook_span, process, webhook)]
    consumer = SpanKind.CONSUMER
    assert kinds == [SpanKind.PRODUCER, consumer, consumer, consumer, SpanKind.CLIENT]


async def test_a_span_of_a_step_says_which_delivery_it_is_and_how_it_ended(
    queue: Queue, spans: Spans
) -> None:
    async with WorkflowRuntime(queue, three_steps, queue_name="reports") as runtime:
        await (await runtime.submit(RunSpec(b"secret payload", run_id="r1"))).outcome()
        await ended(spans, "step reports", 3)

    said = [values(span) for span in spans.named("step reports")]
    assert [attributes["taquba.outcome"] for attributes in said] == [
        "continue",
        "continue",
        "succeed",
    ]
    assert [attributes["taquba.step_number"] for attributes in said] == [0, 1, 2]
    assert {attributes["taquba.run_id"] for attributes in said} == {"r1"}
    assert {attributes["taquba.attempts"] for attributes in said} == {1}
    assert said[0]["messaging.destination.name"] == "reports"
    assert said[0]["messaging.system"] == "taquba"
    assert len({attributes["messaging.message.id"] for attributes in said}) == 3
    assert "secret payload" not in "".join(span.to_json() for span in spans.all())


async def test_each_delivery_of_a_retried_step_is_a_span_with_its_error_redacted(
    open_queue: OpenQueue, spans: Spans
) -> None:
    queue = await open_queue(default_queue_config=AT_ONCE)

    async def fail_twice(step: Step) -> StepOutcome:
        if step.attempts < 3:
            message = "GET https://me:hunter2@host/ failed"
            raise OSError(message)
        return Succeed(b"")

    async with WorkflowRuntime(queue, fail_twice) as runtime:
        await (await runtime.submit(RunSpec(b"", max_attempts=3))).outcome()
        await ended(spans, "step workflow", 3)

    failed, _, last = spans.named("step workflow")
    assert (failed.status.status_code, last.status.status_code) == (
        StatusCode.ERROR,
        StatusCode.UNSET,
    )
    assert failed.status.description == "GET https://[redacted]@host/ failed"
    assert values(failed)["error.type"] == "OSError"
    said = [values(span) for span in spans.named("step workflow")]
    assert [attributes["taquba.outcome"] for attributes in said] == ["retry", "retry", "succeed"]
    assert [attributes["taquba.attempts"] for attributes in said] == [1, 2, 3]
    assert failed.events == ()


@pytest.mark.parametrize(
    ("ending", "outcome", "is_error"),
    [
        (Fail("gave up"), "fail", True),
        (Cancel("no more"), "cancel", False),
        (StepError.permanent("deleted"), "dead-letter", True),
        (ValueError("last attempt"), "dead-letter", True),
        ("nonsense", "invalid", False),
    ],
)
async def test_a_step_that_ends_its_run_says_how(
    queue: Queue, spans: Spans, ending: object, outcome: str, is_error: bool
) -> None:
    async def runner(_: Step) -> StepOutcome:
        if isinstance(ending, Exception):
            raise ending
        return ending  # type: ignore[return-value]

    async with WorkflowRuntime(queue, runner) as runtime:
        await (await runtime.submit(RunSpec(b"", max_attempts=1))).outcome()
        await ended(spans, "step workflow")

    span = spans.one("step workflow")
    assert values(span)["taquba.outcome"] == outcome
    assert (span.status.status_code is StatusCode.ERROR) is is_error


@pytest.mark.parametrize(
    ("error", "outcome", "is_error"),
    [
        (None, "ack", False),
        (PermanentFailure("no such address"), "dead-letter", True),
        (Postponed("later", retry_after=3600), "postponed", False),
        (RuntimeError("broken"), "retry", True),
    ],
)
async def test_a_job_hangs_below_its_enqueue_and_says_how_it_was_settled(
    queue: Queue, spans: Spans, error: Exception | None, outcome: str, is_error: bool
) -> None:
    async def process(_: Claim) -> None:
        if error is not None:
            raise error

    job_id = await queue.enqueue("emails", b"")
    await work(queue, "emails", process, spans)

    send, span = spans.one("send emails"), spans.named("process emails")[0]
    assert is_below(span, send)
    assert links_to(span) == [context_of(send).span_id]
    assert values(span)["messaging.message.id"] == job_id
    assert values(span)["taquba.outcome"] == outcome
    assert (span.status.status_code is StatusCode.ERROR) is is_error


async def test_what_a_runner_does_is_below_its_step(queue: Queue, spans: Spans) -> None:
    async def runner(step: Step) -> StepOutcome:
        with spans.tracer.start_as_current_span("model call"):
            await queue.enqueue("emails", b"")
        return Succeed(step.payload)

    async with WorkflowRuntime(queue, runner) as runtime:
        await (await runtime.submit(RunSpec(b""))).outcome()
        await ended(spans, "step workflow")

    call = spans.one("model call")
    assert is_below(call, spans.one("step workflow"))
    assert is_below(spans.one("send emails"), call)


async def test_what_a_plain_function_does_in_its_thread_is_below_its_step(
    queue: Queue, spans: Spans
) -> None:
    def runner(step: Step) -> StepOutcome:
        with spans.tracer.start_as_current_span("model call"):
            return Succeed(step.payload)

    async with WorkflowRuntime(queue, runner) as runtime:
        await (await runtime.submit(RunSpec(b""))).outcome()
        await ended(spans, "step workflow")

    assert is_below(spans.one("model call"), spans.one("step workflow"))


async def test_spans_of_deliveries_are_not_below_the_span_in_which_the_work_began(
    spans: Spans,
) -> None:
    with spans.tracer.start_as_current_span("startup"):
        async with (
            Queue.open("memory://") as queue,
            WorkflowRuntime(queue, three_steps) as runtime,
        ):
            handle = await runtime.submit(RunSpec(b"", headers={"traceparent": "nonsense"}))
            await handle.outcome()
            await ended(spans, "step workflow", 3)

    assert [parent_id(span) for span in spans.named("step workflow")] == [NOWHERE] * 3


async def test_a_hook_that_is_told_by_whoever_cancels_leaves_their_span_alone(
    queue: Queue, spans: Spans
) -> None:
    told: list[str] = []

    async def hook(outcome: RunOutcome) -> None:
        told.append(outcome.run_id)

    runtime = WorkflowRuntime(queue, three_steps, hook)
    await runtime.submit(RunSpec(b"", run_id="r1"))
    with spans.tracer.start_as_current_span("request") as request:
        await runtime.cancel("r1")
        assert get_current_span() is request

    assert told == ["r1"]
    hook_span = spans.one("hook")
    assert is_below(hook_span, spans.one("submit workflow"))
    assert values(hook_span)["taquba.run_status"] == "cancelled"


async def test_a_hook_that_fails_is_told_again_in_a_span_of_its_own(
    open_queue: OpenQueue, spans: Spans
) -> None:
    queue = await open_queue(default_queue_config=AT_ONCE)
    calls: list[str] = []

    async def hook(outcome: RunOutcome) -> Effects | None:
        calls.append(outcome.run_id)
        if len(calls) == 1:
            message = "not yet"
            raise OSError(message)
        return None

    async with WorkflowRuntime(queue, three_steps, hook) as runtime:
        await runtime.submit(RunSpec(b""))
        await ended(spans, "hook", 2)

    assert [values(span)["taquba.outcome"] for span in spans.named("hook")] == ["retry", "ack"]


async def test_a_caller_who_gives_a_traceparent_is_believed(queue: Queue, spans: Spans) -> None:
    given = {"traceparent": GIVEN, "note": "x"}
    async with WorkflowRuntime(queue, three_steps) as runtime:
        handle = await runtime.submit(RunSpec(b"", headers=given))
        outcome = await handle.outcome()
        await ended(spans, "step workflow", 3)

    assert outcome.headers == given
    step = spans.named("step workflow")[0]
    assert f"{context_of(step).trace_id:032x}" in GIVEN
    assert f"{parent_id(step):016x}" in GIVEN


async def test_a_batch_is_one_span_that_counts_and_all_of_it_hangs_below(
    queue: Queue, spans: Spans
) -> None:
    options = EnqueueOptions(headers={"note": "x"})
    await queue.enqueue_batch("emails", [NewJob(b"a", options), NewJob(b"b", options), b"c"])

    send = spans.one("send emails")
    assert values(send)["messaging.batch.message_count"] == 3
    claims = await queue.claim_batch("emails", 3)
    carried = {claim.headers["traceparent"] for claim in claims}
    assert carried == {traceparent(send)}
    assert [claim.headers.get("note") for claim in claims] == ["x", "x", None]
    assert options.headers == {"note": "x"}


async def test_what_is_not_sampled_leaves_nothing_behind(queue: Queue) -> None:
    async def runner(step: Step) -> StepOutcome:
        await queue.enqueue("emails", b"", EnqueueOptions(headers={"note": "x"}))
        return Succeed(step.payload)

    with recording(ALWAYS_OFF) as spans:
        async with WorkflowRuntime(queue, runner) as runtime:
            outcome = await (await runtime.submit(RunSpec(b""))).outcome()
        claim = await queue.claim("emails")

    assert claim is not None
    assert (outcome.headers, claim.headers, spans.all()) == ({}, {"note": "x"}, ())


async def test_of_what_begins_here_a_share_is_traced(queue: Queue) -> None:
    with recording(sample_ratio=0.0) as spans:
        await queue.enqueue("emails", b"")
        await WorkflowRuntime(queue, three_steps).submit(RunSpec(b"", run_id="r1"))
        with spans.tracer.start_as_current_span("request"):
            await queue.enqueue("emails", b"")
        claims = await queue.claim_batch("emails", 2)

    assert sorted(span.name for span in spans.all()) == ["request", "send emails"]
    assert [claim.header("traceparent") is None for claim in claims] == [True, False]


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), True, "0.5", None])
def test_a_share_that_is_none_is_refused(ratio: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="sample_ratio"):
        instrument_tracing(sample_ratio=ratio)


async def test_what_was_submitted_by_somebody_who_does_not_trace_is_not_recorded(
    queue: Queue,
) -> None:
    await queue.enqueue("emails", b"")
    await WorkflowRuntime(queue, three_steps).submit(RunSpec(b"", run_id="r1"))

    with recording() as spans:
        async with WorkflowRuntime(queue, three_steps, told_of) as runtime:
            await runtime.handle("r1").outcome()
        await queue.enqueue("emails", b"")
        await work(queue, "emails", do_nothing, spans)

    assert sorted(span.name for span in spans.all()) == ["process emails", "send emails"]


async def test_a_caller_who_says_that_it_is_not_sampled_is_believed_all_the_way(
    queue: Queue,
) -> None:
    seen: list[str] = []

    with recording(ParentBased(ALWAYS_ON)) as spans:

        async def runner(step: Step) -> StepOutcome:
            with spans.tracer.start_as_current_span("model call"):
                seen.append(f"{get_current_span().get_span_context().trace_id:032x}")
            await queue.enqueue("emails", b"")
            return Succeed(step.payload)

        async with WorkflowRuntime(queue, runner) as runtime:
            headers = {"traceparent": UNSAMPLED}
            await (await runtime.submit(RunSpec(b"", headers=headers))).outcome()
        claim = await queue.claim("emails")

    assert [span.name for span in spans.all()] == ["submit workflow"]
    assert seen == [UNSAMPLED[3:35]]
    assert claim is not None
    assert claim.headers == {}


async def test_a_job_among_the_effects_of_another_one_belongs_to_its_trace(
    queue: Queue, spans: Spans
) -> None:
    async def process(job: Claim) -> Effects:
        return Effects().enqueue("receipts", job.payload)

    await queue.enqueue("emails", b"")
    await work(queue, "emails", process, spans)
    await work(queue, "receipts", do_nothing, spans)

    assert is_below(spans.one("process receipts"), spans.one("process emails"))
