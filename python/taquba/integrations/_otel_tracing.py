"""Traces for OpenTelemetry: spans for what jobs and runs go through, and the headers between them.

The span that submits or enqueues travels in the headers of the job or run. What is delivered has
that span as its parent, and also links to it. So the conventions for messaging want it where one
message is handled at a time: the link always, the parent if there is one message alone. All of a
run is one trace then: its steps, the call of its hook, the webhook that the hook has enqueued.

What was submitted by somebody who is not sampled, or who does not trace, has no such headers, and
is not recorded: whoever delivers it looks for one header, and calls nobody here.

Invariants:
    1. Tracing fails nothing: headers without room stay as they are, and what an exporter or sampler
       raises is logged.
    2. Texts of errors are redacted and short; payloads, results and other headers are in no span.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar, final

from taquba import __version__
from taquba._delivery import CoroutineFunction, message
from taquba._redact import redact_text
from taquba._taquba import Claim, RunOutcome, Step
from taquba._tracing import Answer
from taquba.exceptions import HeadersTooLargeError, TaqubaError
from taquba.options import EnqueueOptions, NewJob
from taquba.queue import Effects
from taquba.worker import PermanentFailure, Postponed
from taquba.workflow import (
    Cancel,
    Continue,
    ContinueAfter,
    Fail,
    RunSpec,
    StepError,
    Succeed,
)

try:
    from opentelemetry.context import Context, attach, detach
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import (
        INVALID_SPAN,
        Link,
        Span,
        SpanKind,
        Status,
        StatusCode,
        TracerProvider,
        get_current_span,
        get_tracer,
        set_span_in_context,
    )
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as missing:
    _message = "install `taquba[opentelemetry]` to use `taquba.integrations.opentelemetry`"
    raise ModuleNotFoundError(_message, name=missing.name) from missing

__all__ = ["OtelTracer"]

_T = TypeVar("_T")
_R = TypeVar("_R")
_W = TypeVar("_W", RunSpec, EnqueueOptions)
_A = TypeVar("_A", bound=Answer)

_logger = logging.getLogger("taquba.tracing")

_TEXT_MAX: Final = 1_024
_QUEUE_NAME_MAX: Final = 255
# What is no name is refused later. Nobody calls its methods here.
_NO_NAME: Final = "(invalid)"

# More than the recorded runs that are worked on at once, usually; a miss costs ten microseconds.
_ORIGIN_COUNT_MAX: Final = 1_024
# What W3C Trace Context asks everybody to be able to pass on.
_ORIGIN_BYTES_MAX: Final = 55 + 512

_STATUS_ERROR_MIN: Final = 400

_OUTCOMES: Final[Mapping[type, str]] = {
    Continue: "continue",
    ContinueAfter: "continue-after",
    Succeed: "succeed",
    Fail: "fail",
    Cancel: "cancel",
}
_OUTCOME: Final = "taquba.outcome"

_EMPTY: Final = Context()

# What says that there is a trace, where there are several headers of one.
_FIELD: Final = "traceparent"

# Strangers get these two and nothing else, whatever travels in our own headers.
_OUTSIDE: Final = TraceContextTextMapPropagator()


@final
class OtelTracer:
    """Makes the spans.

    Args:
        tracer_provider: Whose spans; the global one if absent.
        propagator: How a span is written into headers, and read.
        sample_ratio: Of submissions that belong to no trace yet, this share is traced.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        propagator: TextMapPropagator,
        sample_ratio: float,
    ) -> None:
        self._sample_ratio = sample_ratio
        self._tracer = get_tracer("taquba", __version__, tracer_provider)
        self._propagator = propagator
        self._fields = tuple(sorted(propagator.fields))
        self.field = _FIELD if _FIELD in self._fields else self._fields[0]
        self._origins: dict[tuple[str | None, ...], _Origin] = {}
        self._is_refusal_told = False

    def submit(
        self,
        queue: str,
        runs: list[tuple[str, RunSpec]],
        call: Callable[[list[tuple[str, RunSpec]]], Awaitable[_R]],
    ) -> Awaitable[_R]:
        """Have runs submitted, with headers that say where they come from."""
        if self._is_left_out():
            return call(runs)
        span = self._sending("submit", queue, len(runs))
        carried = self._carried_by(span)
        if carried:
            runs = [(run_id, self._with_headers(spec, carried)) for run_id, spec in runs]
        if not span.is_recording():
            return call(runs)
        if len(runs) == 1:
            span.set_attribute("taquba.run_id", runs[0][0])
        return _recorded(span, call, runs)

    def enqueue(
        self, queue: str, jobs: list[NewJob], call: Callable[[list[NewJob]], Awaitable[_R]]
    ) -> Awaitable[_R]:
        """Have jobs enqueued, with headers that say where they come from."""
        if self._is_left_out():
            return call(jobs)
        span = self._sending("send", queue, len(jobs))
        jobs = self._told(jobs, self._carried_by(span))
        return _recorded(span, call, jobs) if span.is_recording() else call(jobs)

    def told(self, jobs: list[NewJob]) -> list[NewJob]:
        """Return jobs with headers that say what the caller works on."""
        return self._told(jobs, self._carried_by(get_current_span()))

    def step(self, step: Step, run: CoroutineFunction) -> Awaitable[Any]:
        """Have a step done. Its task is the step's own."""
        attributes = {
            **_attributes(step.queue, "step", "process"),
            "messaging.message.id": step.job_id,
            "taquba.run_id": step.run_id,
            "taquba.step_number": step.step_number,
            "taquba.attempts": step.attempts,
        }
        span, context = self._receiving(f"step {step.queue}", step.headers, attributes)
        # Never detached: nobody else sees the context of a delivery's task.
        attach(context)
        is_last = step.attempts >= step.max_attempts
        return _recorded(span, run, step, _judge_step, is_last=is_last)

    def job(self, job: Claim, process: CoroutineFunction) -> Awaitable[Any]:
        """Have a job done. Its task is the job's own."""
        attributes = {
            **_attributes(job.queue, "process", "process"),
            "messaging.message.id": job.job_id,
            "taquba.attempts": job.attempts,
        }
        span, context = self._receiving(f"process {job.queue}", job.headers, attributes)
        attach(context)
        is_last = job.attempts >= job.max_attempts
        return _recorded(span, process, job, _judge_job, is_last=is_last)

    async def hook(self, outcome: RunOutcome, tell: CoroutineFunction) -> object:
        """Have a hook told."""
        attributes = {"taquba.run_id": outcome.run_id, "taquba.run_status": str(outcome.status)}
        span, context = self._receiving("hook", outcome.headers, attributes)
        token = attach(context)
        try:
            result: object = await _recorded(span, tell, outcome, _judge_job, is_last=False)
            return result
        finally:
            # Whoever cancels a run tells the hook in a task of its own. A coroutine that is
            # collected ends in the context of somebody else.
            if get_current_span() is span:
                detach(token)

    async def webhook(
        self,
        host: str,
        headers: Mapping[str, str],
        send: Callable[[Mapping[str, str]], Awaitable[_A]],
    ) -> _A:
        """Have a request sent, with headers that say where it comes from."""
        attributes = {"http.request.method": "POST", "server.address": host}
        span = self._start("webhook", None, SpanKind.CLIENT, attributes)
        carried: dict[str, str] = {}
        _OUTSIDE.inject(carried, set_span_in_context(span))
        return await _recorded(span, send, _merged(headers, carried), _judge_answer)

    def _carried_by(self, span: Span) -> dict[str, str]:
        carried: dict[str, str] = {}
        if span.get_span_context().trace_flags.sampled:
            try:
                self._propagator.inject(carried, set_span_in_context(span))
            except Exception:
                _logger.exception("a span was not written into headers")
                carried.clear()
        return carried

    def _told(self, jobs: list[NewJob], carried: Mapping[str, str]) -> list[NewJob]:
        """Return jobs with headers that say where they come from."""
        if not carried:
            return jobs
        # Most jobs of a batch share their options.
        given = {id(job.options): job.options for job in jobs}
        told = {key: self._with_headers(options, carried) for key, options in given.items()}
        return [replace(job, options=told[id(job.options)]) for job in jobs]

    def _with_headers(self, work: _W, carried: Mapping[str, str]) -> _W:
        """Return a run's or job's options with headers that say where it comes from.

        As they are if somebody has said so before, if there is no room for more, or if the
        propagator writes what no header may be.
        """
        headers = _merged(work.headers, carried)
        if headers is work.headers:
            return work
        try:
            return replace(work, headers=headers)
        except HeadersTooLargeError:
            return work
        except TaqubaError as error:
            # It would be so for each job.
            if not self._is_refusal_told:
                self._is_refusal_told = True
                reason = redact_text(str(error))
                _logger.warning("what the propagator writes is left out: %s", reason)
            return work

    def _is_left_out(self) -> bool:
        # First what costs least: a span of the SDK that nobody records costs as much as a step.
        ratio = self._sample_ratio
        if ratio == 1 or random.random() < ratio:  # noqa: S311 - nobody gains by guessing it
            return False
        return not get_current_span().get_span_context().is_valid

    def _sending(self, operation: str, queue: str, count: int) -> Span:
        # It was not checked yet.
        name = queue[:_QUEUE_NAME_MAX] if isinstance(queue, str) else _NO_NAME
        attributes = _attributes(name, operation, "send")
        if count != 1:
            attributes["messaging.batch.message_count"] = count
        return self._start(f"{operation} {name}", None, SpanKind.PRODUCER, attributes)

    def _receiving(
        self, name: str, headers: Mapping[str, str], attributes: dict[str, Any]
    ) -> tuple[Span, Context]:
        """Begin the span of a delivery. Returns it, and what its work belongs to."""
        key = tuple(map(headers.get, self._fields))
        origin = self._origins.get(key) or self._read(key, headers)
        span = self._start(name, origin.context, SpanKind.CONSUMER, attributes, origin.links)
        return span, set_span_in_context(span, origin.context)

    def _start(
        self,
        name: str,
        context: Context | None,
        kind: SpanKind,
        attributes: dict[str, Any],
        links: Sequence[Link] = (),
    ) -> Span:
        """Begin a span, without a context below that of the caller."""
        try:
            return self._tracer.start_span(name, context, kind, attributes, links)
        except Exception:
            _logger.exception("a span was not begun")
            return INVALID_SPAN

    def _read(self, key: tuple[str | None, ...], headers: Mapping[str, str]) -> "_Origin":
        origin = _Origin(_EMPTY, ())
        try:
            context = self._propagator.extract(headers, _EMPTY)
            submitter = get_current_span(context).get_span_context()
        except Exception:
            _logger.exception("headers do not read")
            return origin
        if submitter.is_valid:
            origin = _Origin(context, (Link(submitter),))
        # Anybody may have written these headers: what is odd takes no room.
        if sum(len(value or "") for value in key) <= _ORIGIN_BYTES_MAX:
            if len(self._origins) >= _ORIGIN_COUNT_MAX:
                self._origins.clear()
            self._origins[key] = origin
        return origin


@final
class _Origin:
    """Where a delivery comes from.

    Args:
        context: What its span hangs below.
        links: The span that submitted it, if the headers name one.
    """

    __slots__ = ("context", "links")

    def __init__(self, context: Context, links: Sequence[Link]) -> None:
        self.context = context
        self.links = links


async def _recorded(
    span: Span,
    call: Callable[[_T], Awaitable[_R]],
    argument: _T,
    judge: Callable[[Span, _R], None] | None = None,
    *,
    is_last: bool | None = None,
) -> _R:
    """Make a call, and end its span.

    Args:
        span: Begun for it.
        call: What is called.
        argument: With what.
        judge: Writes down what a result means.
        is_last: Whether a delivery is the last attempt; `None` if it is none.
    """
    if not span.is_recording():
        return await call(argument)
    try:
        result = await call(argument)
        if judge is not None:
            judge(span, result)
    except BaseException as error:
        _judge_error(span, error, is_last)
        raise
    else:
        return result
    finally:
        try:
            span.end()
        except Exception:
            _logger.exception("a span was not ended")


def _judge_error(span: Span, error: BaseException, is_last: bool | None) -> None:  # noqa: FBT001
    outcome, is_failure = "retry", True
    if not isinstance(error, Exception):
        outcome, is_failure = "interrupted", False
    elif isinstance(error, Postponed):
        outcome, is_failure = "postponed", False
    elif is_last or _is_permanent(error):
        outcome = "dead-letter"
    if is_last is not None:
        span.set_attribute(_OUTCOME, outcome)
    if is_failure:
        span.set_attribute("error.type", type(error).__qualname__)
        _fail(span, message(error))


def _is_permanent(error: Exception) -> bool:
    return isinstance(error, PermanentFailure) or (
        isinstance(error, StepError) and error.is_permanent
    )


def _judge_step(span: Span, outcome: object) -> None:
    span.set_attribute(_OUTCOME, _OUTCOMES.get(type(outcome), "invalid"))
    if isinstance(outcome, Fail):
        _fail(span, outcome.reason)


def _judge_job(span: Span, effects: object) -> None:
    is_valid = effects is None or isinstance(effects, Effects)
    span.set_attribute(_OUTCOME, "ack" if is_valid else "invalid")


def _judge_answer(span: Span, answer: Answer) -> None:
    if answer.status:
        span.set_attribute("http.response.status_code", answer.status)
    if answer.status >= _STATUS_ERROR_MIN:
        span.set_attribute("error.type", str(answer.status))
        _fail(span, "")
    elif not answer.status:
        span.set_attribute("error.type", answer.end)
        _fail(span, answer.detail)


def _fail(span: Span, text: str) -> None:
    # Cut first: what is long may be very long.
    shown = redact_text(text[:_TEXT_MAX])
    span.set_status(Status(StatusCode.ERROR, shown or None))


def _attributes(queue: str, operation: str, kind: str) -> dict[str, Any]:
    return {
        "messaging.system": "taquba",
        "messaging.destination.name": queue,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }


def _merged(headers: Mapping[str, str], carried: Mapping[str, str]) -> Mapping[str, str]:
    if not carried or carried.keys() & {name.lower() for name in headers}:
        return headers
    return {**headers, **carried}
