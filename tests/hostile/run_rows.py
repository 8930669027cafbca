"""Workflows, memos, workers and webhooks."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

import taquba.sync
from taquba import MemoStore, Queue, RunSpec, TerminalMarker, WorkflowRuntime, run_worker
from taquba.store import MemoryStore
from taquba.webhooks import Circuit, WebhookTerminalHook, WebhookWorker, sign, verify, webhook_job
from tests.hostile.ground import Ground
from tests.hostile.kinds import (
    ANY_KEY,
    ANY_TEXT,
    CONCURRENCY,
    CURSOR,
    DURATION,
    FLAG,
    FUNCTION,
    LIMIT,
    MAX_ATTEMPTS,
    OPTIONS,
    QUEUE_NAME,
    REFUSED,
    RUN_ID,
    RUNS,
    UNKNOWN_RUN_ID,
    Kind,
    duration,
    instance,
    refused,
    undecided,
    whole,
)
from tests.hostile.queue_rows import LOOKS, PATH, STORE
from tests.hostile.row import Row, kept

__all__ = ["RUN_ROWS"]

SECRET: Final = "whsec_" + "A" * 32
SIGNED_AT: Final = datetime(2031, 1, 1, tzinfo=UTC)
SIGNED: Final = {
    "webhook-id": "id",
    "webhook-timestamp": str(int(SIGNED_AT.timestamp())),
    "webhook-signature": sign(SECRET, "id", int(SIGNED_AT.timestamp()), b"x"),
}
URL: Final = "https://example.com/hook"
NEVER_SET: Final = Kind(refused)
"""An event that ends the work: without one the call goes on, so `None` is not tried."""
OPEN_QUESTION: Final = Kind(lambda v: None if hasattr(type(v), "__iter__") else False)
TIMEOUT: Final = Kind(duration(timedelta(milliseconds=1), timedelta(minutes=5)))
RULES: Final = {
    "allow_http": FLAG,
    "allow_networks": OPEN_QUESTION,
    "allowed_hosts": OPEN_QUESTION.or_none(),
    "ports": OPEN_QUESTION,
}
BODY: Final = Kind(lambda v: None if isinstance(v, bytes) else False)
"""How large it may be is looked at when it is enqueued."""
TYPE: Final = Kind(undecided, ("type", "JSON"))
TEXT_OR_NOT: Final = Kind(lambda v: None if isinstance(v, str) else False)
MEMO_VALUE: Final = Kind(lambda v: isinstance(v, bytes | bytearray | memoryview))
WORKING: Final = {
    "queue_name": QUEUE_NAME,
    "worker": FUNCTION,
    "concurrency": CONCURRENCY,
    "shutdown": NEVER_SET,
    "job_timeout": DURATION.or_none(),
    "shutdown_timeout": DURATION,
}


async def no_work(work: Any) -> None:
    """A runner, a worker and a hook that never have anything to do."""


def nothing_to_do(job: Any) -> None:
    """The same for threads."""


def no_value() -> bytes:
    """Computes a memo."""
    return b"x"


async def _cancelled(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """Runs that were submitted go."""
    for handle in result if isinstance(result, list) else [result]:
        await handle.cancel()


async def _unmarked(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """The mark is there, and goes."""
    marker = TerminalMarker(given["run_id"], given["terminal_at_ms"])
    assert marker in await ground.memos.list_terminal_markers()
    await ground.memos.delete_terminal_marker(marker)


async def _remembered(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """A memo has its value."""
    assert await ground.memo.get(given["key"]) == bytes(given["value"])


RUN_ROWS: Final[dict[str, Row]] = {
    "WorkflowRuntime": Row(
        lambda _: WorkflowRuntime,
        lambda g: {"queue": g.queue, "runner": no_work},
        {
            "queue": Kind(instance(Queue)),
            "runner": FUNCTION,
            "hook": FUNCTION,
            "queue_name": QUEUE_NAME,
            "concurrency": CONCURRENCY,
            "step_timeout": DURATION.or_none(),
            "memo_store": Kind(instance(MemoStore)).or_none(),
            "memo_retention": DURATION.or_none(),
            "run_retention": DURATION.or_none(),
            "shutdown_timeout": DURATION,
        },
    ),
    "WorkflowRuntime.submit": Row(
        lambda g: g.runtime.submit, lambda _: {}, {"spec": Kind(instance(RunSpec))}, _cancelled
    ),
    "WorkflowRuntime.submit_many": Row(
        lambda g: g.runtime.submit_many, lambda _: {}, {"specs": RUNS}, _cancelled
    ),
    "WorkflowRuntime.handle": Row(
        lambda g: g.runtime.handle, lambda _: {}, {"run_id": RUN_ID}, kept
    ),
    "WorkflowRuntime.cancel": Row(lambda g: g.runtime.cancel, lambda _: {}, {"run_id": RUN_ID}),
    "WorkflowRuntime.status": Row(
        lambda g: g.runtime.status, lambda _: {}, {"run_id": UNKNOWN_RUN_ID}
    ),
    "WorkflowRuntime.list_runs": Row(
        lambda g: g.runtime.list_runs,
        lambda _: {"limit": 100},
        {
            "state": LOOKS["list_runs"][1]["state"],
            "run_id_prefix": ANY_TEXT.or_none(),
            "cursor": CURSOR,
            "limit": LIMIT,
        },
    ),
    "WorkflowRuntime.run": Row(
        lambda g: g.runtime.run, lambda g: {"shutdown": g.closed}, {"shutdown": NEVER_SET}
    ),
    "RunHandle.outcome": Row(
        lambda g: g.handle.outcome,
        lambda _: {},
        {"timeout": DURATION.or_none()},
        # No time at all is too short for an answer.
        answers=(TimeoutError,),
    ),
    "Step.load": Row(
        lambda g: g.step.load,
        lambda _: {},
        {"kind": TYPE},
        # What is no JSON of this type.
        answers=(msgspec.DecodeError,),
        positional=frozenset({"kind"}),
    ),
    "Step.header": Row(lambda g: g.step.header, lambda _: {}, {"name": ANY_TEXT}, writes=False),
    "Claim.header": Row(lambda g: g.claim.header, lambda _: {}, {"name": ANY_TEXT}, writes=False),
    "StepLease.ensure_at_least": Row(
        lambda g: g.step.lease.ensure_at_least, lambda _: {}, {"duration": DURATION}
    ),
    "Memo.get": Row(lambda g: g.memo.get, lambda _: {}, {"key": ANY_KEY}, writes=False),
    "Memo.put": Row(
        lambda g: g.memo.put,
        lambda _: {"key": "k", "value": b"v"},
        {"key": ANY_KEY, "value": MEMO_VALUE},
        _remembered,
        writes=False,
    ),
    "Memo.get_or_compute": Row(
        lambda g: g.memo.get_or_compute,
        lambda _: {"key": "computed", "fn": no_value},
        {"key": ANY_KEY, "fn": FUNCTION},
        # Functions of Python that want arguments.
        answers=(TypeError,),
        writes=False,
    ),
    "MemoStore": Row(
        lambda _: MemoStore,
        lambda _: {"store": MemoryStore()},
        {"store": STORE, "prefix": PATH, "fsync": FLAG},
        writes=False,
    ),
    "MemoStore.new_memo": Row(
        lambda g: g.memos.new_memo,
        lambda _: {"run_id": "run", "step_number": 0},
        {"run_id": RUN_ID, "step_number": Kind(whole(0, 2**32 - 1))},
        writes=False,
    ),
    "MemoStore.clear_memos_for_run": Row(
        lambda g: g.memos.clear_memos_for_run, lambda _: {}, {"run_id": RUN_ID}, writes=False
    ),
    "MemoStore.write_terminal_marker": Row(
        lambda g: g.memos.write_terminal_marker,
        lambda _: {"run_id": "run", "terminal_at_ms": 1},
        {"run_id": RUN_ID, "terminal_at_ms": Kind(whole(0, 2**64 - 1))},
        _unmarked,
        writes=False,
    ),
    "MemoStore.delete_terminal_marker": Row(
        lambda g: g.memos.delete_terminal_marker,
        lambda _: {},
        {"marker": Kind(instance(TerminalMarker))},
        writes=False,
    ),
    "run_worker": Row(
        lambda _: run_worker,
        lambda g: {
            "queue": g.queue,
            "queue_name": "idle",
            "worker": no_work,
            "shutdown": g.closed,
        },
        {"queue": Kind(instance(Queue)), **WORKING},
    ),
    "sync.run_worker": Row(
        lambda _: taquba.sync.run_worker,
        lambda g: {
            "queue": g.threads,
            "queue_name": "idle",
            "worker": nothing_to_do,
            "shutdown": g.thread_closed,
        },
        {"queue": Kind(instance(taquba.sync.Queue)), **WORKING},
    ),
    "Circuit": Row(
        lambda _: Circuit,
        lambda _: {},
        {
            "failure_count": Kind(whole(1, 1_000_000)),
            "open_for": Kind(duration(timedelta(microseconds=1))),
        },
        kept,
        writes=False,
    ),
    "WebhookTerminalHook": Row(
        lambda _: WebhookTerminalHook,
        lambda g: {"queue": g.queue, "target_queue": "webhooks"},
        {
            "queue": Kind(instance(Queue)),
            "target_queue": QUEUE_NAME,
            "url_header": ANY_TEXT,
            "timeout": TIMEOUT,
            "max_attempts": MAX_ATTEMPTS,
            "content_type": TEXT_OR_NOT,
            "key_id": TEXT_OR_NOT.or_none(),
            "statuses": OPEN_QUESTION,
            **RULES,
        },
        writes=False,
    ),
    "WebhookWorker": Row(
        lambda _: WebhookWorker,
        lambda _: {},
        {
            "secrets": Kind(lambda v: None if hasattr(type(v), "keys") else False, ("key_id",)),
            "default_key_id": Kind(lambda v: v is None, ("key_id",)),
            "timeout": TIMEOUT,
            "circuit": Kind(instance(Circuit)),
            "host_concurrency": Kind(whole(1, 1000)),
            **RULES,
        },
        writes=False,
    ),
    "webhooks.webhook_job": Row(
        lambda _: webhook_job,
        lambda _: {"url": URL, "body": b"x"},
        {
            "url": TEXT_OR_NOT,
            "body": BODY,
            "headers": Kind(lambda v: None if hasattr(type(v), "keys") else False).or_none(),
            "content_type": TEXT_OR_NOT,
            "timeout": TIMEOUT.or_none(),
            "key_id": TEXT_OR_NOT.or_none(),
            "options": Kind(lambda v: OPTIONS.judge(v)),
            **RULES,
        },
        writes=False,
    ),
    "webhooks.sign": Row(
        lambda _: sign,
        lambda _: {"secrets": SECRET, "webhook_id": "id", "timestamp": 1, "body": b"x"},
        {
            "secrets": REFUSED,
            "webhook_id": TEXT_OR_NOT,
            "timestamp": Kind(whole(0, 253_402_300_799)),
            "body": BODY,
        },
        writes=False,
    ),
    "webhooks.verify": Row(
        lambda _: verify,
        lambda _: {"secrets": SECRET, "headers": SIGNED, "body": b"x", "now": SIGNED_AT},
        {
            "secrets": REFUSED,
            "headers": Kind(refused, ("header",)),
            # Another body is one that was not signed.
            "body": Kind(lambda v: (v == b"x" and type(v) is bytes) or None),
            "tolerance": DURATION,
            "now": Kind(
                lambda v: None if isinstance(v, datetime) or v is None else False, ("timestamp",)
            ),
        },
        writes=False,
    ),
}
