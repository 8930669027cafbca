"""Options, effects, outcomes, errors, clocks: what is made without a store."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from taquba import (
    Cancel,
    Continue,
    ContinueAfter,
    Effects,
    EnqueueOptions,
    Fail,
    Histogram,
    MockClock,
    NewJob,
    OpenOptions,
    PermanentFailure,
    Postponed,
    QueueConfig,
    RetryJitter,
    RunOutcome,
    RunSpec,
    StepError,
    Succeed,
    SystemClock,
    TerminalMarker,
    TerminalStatus,
    TransientFailure,
    _taquba,
)
from tests.hostile.ground import Ground
from tests.hostile.kinds import (
    ANYTHING,
    DEDUP_KEY,
    DEDUP_SCOPE,
    DURATION,
    FLAG,
    HEADERS,
    INSTANT,
    JOBS,
    KEY,
    LEASE,
    MAX_ATTEMPTS,
    OPTIONS,
    PAYLOAD,
    PRIORITY,
    QUEUE_NAME,
    REASON,
    RUN_ID,
    VALUE,
    Kind,
    duration,
    instance,
    undecided,
    whole,
)
from tests.hostile.row import Row, kept, nothing

__all__ = ["VALUE_ROWS"]

LAST_INSTANT: Final = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
SIZED_PAYLOAD: Final = Kind(lambda v: None if isinstance(v, bytes) else PAYLOAD.judge(v))
SIZED_VALUE: Final = Kind(lambda v: None if isinstance(v, bytes) else VALUE.judge(v))
"""How large it may be is looked at when it is applied."""
TYPED: Final = Kind(lambda v: True if type(v) is bytes else None)
"""Bytes, or what JSON can hold: which that is, is for `msgspec` to say."""


def _configs(value: Any) -> bool | None:
    if not hasattr(type(value), "keys"):
        return False
    return True if type(value) is dict and not value else None


def _any_number_of_jobs(value: Any) -> bool | None:
    is_large = isinstance(value, list) and len(value) > _taquba.BATCH_COUNT_MAX
    return None if is_large else JOBS.judge(value)


async def _shows(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """A clock shows what it was given, in milliseconds."""
    if given["now"] is not None:
        wanted = min(given["now"], LAST_INSTANT)
        assert timedelta() <= wanted - result.now() < timedelta(milliseconds=1)


def made(kind: Any, valid: dict[str, Any], kinds: dict[str, Kind]) -> Row:
    """Something that is made, and then holds what it was given."""
    return Row(lambda _: kind, lambda _: dict(valid), kinds, kept, writes=False)


def named(kind: Any, name: str, valid: dict[str, Any], kinds: dict[str, Kind]) -> Row:
    """A method of something new."""
    return Row(lambda _: getattr(kind(), name), lambda _: dict(valid), kinds, nothing, writes=False)


NEW_JOB: Final = {"queue": "emails", "payload": b"x", "options": EnqueueOptions()}


def _share(value: Any) -> bool | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return True if type(value) in {int, float} and 0 <= value <= 1 else None


VALUE_ROWS: Final[dict[str, Row]] = {
    "Histogram.quantile": Row(
        lambda _: Histogram((1.0,), (1, 1), 3.0).quantile,
        lambda _: {"q": 0.5},
        {"q": Kind(_share)},
        writes=False,
    ),
    "QueueConfig": made(
        QueueConfig,
        {},
        {
            "max_attempts": MAX_ATTEMPTS,
            "lease_duration": LEASE,
            "default_priority": PRIORITY,
            "retry_backoff_base": DURATION,
            "retry_backoff_max": DURATION,
            "retry_jitter": Kind(instance(RetryJitter)),
            "keep_done_jobs": DURATION.or_none(),
            "dead_retention": DURATION.or_none(),
        },
    ),
    "OpenOptions": made(
        OpenOptions,
        {},
        {
            "fsync": FLAG,
            "queue_configs": Kind(_configs, ("queue name",)),
            "default_queue_config": Kind(instance(QueueConfig)),
            "store_timeout": DURATION,
            "payload_offload_threshold": Kind(whole(0, 4 * 1024 * 1024)),
            "heartbeat_interval": Kind(duration(timedelta(seconds=1), timedelta(hours=1))),
            "takeover": FLAG,
            "clock": Kind(instance(SystemClock, MockClock)),
        },
    ),
    "EnqueueOptions": made(
        EnqueueOptions,
        {},
        {
            "priority": PRIORITY.or_none(),
            "run_at": INSTANT.or_none(),
            "delay": DURATION.or_none(),
            "dedup_key": DEDUP_KEY.or_none(),
            "dedup_scope": DEDUP_SCOPE,
            "headers": HEADERS,
            "max_attempts": MAX_ATTEMPTS.or_none(),
        },
    ),
    "NewJob": made(NewJob, {"payload": b"x"}, {"payload": SIZED_PAYLOAD, "options": OPTIONS}),
    "RunSpec": made(
        RunSpec,
        {"input": b"x"},
        {
            "input": TYPED,
            "run_id": RUN_ID.or_none(),
            "headers": HEADERS,
            "priority": PRIORITY.or_none(),
            "max_attempts": MAX_ATTEMPTS.or_none(),
            "run_at": INSTANT.or_none(),
        },
    ),
    "TerminalMarker": made(
        TerminalMarker,
        {"run_id": "run", "terminal_at_ms": 1},
        {"run_id": RUN_ID, "terminal_at_ms": Kind(whole(0, 2**64 - 1))},
    ),
    "MockClock": Row(
        lambda _: MockClock, lambda _: {}, {"now": INSTANT.or_none()}, _shows, writes=False
    ),
    "MockClock.advance": named(MockClock, "advance", {}, {"seconds": DURATION}),
    "Effects.enqueue": named(
        Effects,
        "enqueue",
        NEW_JOB,
        {"queue": QUEUE_NAME, "payload": SIZED_PAYLOAD, "options": OPTIONS},
    ),
    "Effects.enqueue_batch": named(
        Effects,
        "enqueue_batch",
        {"queue": "emails", "jobs": [b"x"]},
        {
            "queue": QUEUE_NAME,
            # How many there may be is looked at when they are applied.
            "jobs": Kind(_any_number_of_jobs, JOBS.words),
        },
    ),
    "Effects.kv_put": named(
        Effects, "kv_put", {"key": "k", "value": b"v"}, {"key": KEY, "value": SIZED_VALUE}
    ),
    "Effects.kv_delete": named(Effects, "kv_delete", {}, {"key": KEY}),
    "Continue": made(Continue, {}, {"payload": TYPED}),
    "ContinueAfter": made(
        ContinueAfter, {"payload": b"x", "delay": 1}, {"payload": TYPED, "delay": DURATION}
    ),
    "Succeed": made(Succeed, {}, {"result": TYPED}),
    "Fail": made(Fail, {}, {"reason": REASON}),
    "Cancel": made(Cancel, {}, {"reason": REASON}),
    "RunOutcome": made(
        RunOutcome,
        {"run_id": "run", "status": TerminalStatus.Failed},
        {
            "run_id": RUN_ID,
            "status": Kind(instance(TerminalStatus)),
            "result": Kind(lambda v: None if v is not None and type(v) is not bytes else True),
            "error": Kind(lambda v: None if isinstance(v, str) else v is None),
            "headers": Kind(lambda v: None if v is not None else True),
            "final_step": Kind(whole(0, 2**32 - 1)),
        },
    ),
    "RunOutcome.load": Row(
        lambda _: RunOutcome("run", TerminalStatus.Succeeded, result=b'{"a": 1}').load,
        lambda _: {},
        {"kind": Kind(undecided, ("type",))},
        answers=(msgspec.DecodeError,),
        writes=False,
        positional=frozenset({"kind"}),
    ),
    "PermanentFailure": made(PermanentFailure, {}, {"reason": ANYTHING}),
    "TransientFailure": made(
        TransientFailure, {}, {"message": ANYTHING, "retry_after": DURATION.or_none()}
    ),
    "Postponed": made(
        Postponed,
        {"message": "why", "retry_after": 1},
        {"message": ANYTHING, "retry_after": DURATION},
    ),
    "StepError": made(
        StepError,
        {"message": "why"},
        {"message": ANYTHING, "is_permanent": ANYTHING, "retry_after": DURATION.or_none()},
    ),
    "StepError.transient": made(
        StepError.transient,
        {"message": "why"},
        {"message": ANYTHING, "retry_after": DURATION.or_none()},
    ),
    "StepError.permanent": made(StepError.permanent, {}, {"message": ANYTHING}),
}
