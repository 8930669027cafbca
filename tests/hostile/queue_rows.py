"""The queue, its reader, and the same for threads."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from taquba import Effects, EnqueueOptions, JobState, OpenOptions, RunState
from taquba.exceptions import ClaimLostError, RunNotFoundError, StoreNotFoundError
from taquba.store import MemoryStore
from tests.hostile.ground import READY, Ground
from tests.hostile.kinds import (
    ANY_KEY,
    ANY_TEXT,
    CURSOR,
    DURATION,
    EFFECTS,
    FLAG,
    JOBS,
    KEY,
    LEASE,
    LIMIT,
    OPTIONS,
    PAYLOAD,
    QUEUE_NAME,
    REASON,
    REFUSED,
    UNKNOWN_JOB_ID,
    UNKNOWN_RUN_ID,
    VALUE,
    Kind,
    bytes_up_to,
    instance,
    items,
    undecided,
    whole,
)
from tests.hostile.row import After, Row, nothing

__all__ = ["QUEUE_ROWS"]

COUNT_MAX: Final = Kind(whole(1, 10_000))
# Nothing of the pool is a store, and a text is a place on the disk: see `test_hostile.py`.
STORE: Final = Kind(lambda v: None if isinstance(v, str) else False)
PATH: Final = Kind(lambda v: None if isinstance(v, str) else False, ("path",))
EXPECTED: Final = Kind(bytes_up_to(2**62), ("value",))
STATE: Final = Kind(lambda v: v is None or isinstance(v, JobState))


def _run_state(value: Any) -> bool | None:
    if value is None or isinstance(value, RunState):
        return True
    return False if isinstance(value, str) else items((RunState,), 10**6)(value)


async def _taken_back(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """The jobs that were added are there, and go."""
    for job_id in [result] if isinstance(result, str) else result:
        info = await ground.queue.get_job(job_id)
        assert info.queue == given["queue"]
        if "payload" in given:
            assert info.payload == given["payload"]
        await ground.queue.cancel(job_id)


async def _taken_back_there(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    for job_id in [result] if isinstance(result, str) else result:
        info = ground.threads.get_job(job_id)
        assert info.queue == given["queue"]
        if "payload" in given:
            assert info.payload == given["payload"]
        ground.threads.cancel(job_id)


async def _acked(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """What was claimed is for the queue that was named, and goes."""
    for claim in result if isinstance(result, list) else [result] if result else []:
        assert claim.queue == given["queue"]
        await ground.queue.ack(claim)
    await ground.refill()


async def _acked_there(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    for claim in result if isinstance(result, list) else [result] if result else []:
        assert claim.queue == given["queue"]
        ground.threads.ack(claim)
    await ground.refill()


async def _spent(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """The claim was settled: another one is needed."""
    if "error" in given or "reason" in given:
        text = str.__str__(given["error" if "error" in given else "reason"])
        job = await ground.queue.get_job(given["claim"].job_id)
        wanted = text.encode(errors="backslashreplace")[:4096].decode(errors="ignore")
        assert job.last_error == wanted
    await ground.take_claim()


async def _renewed(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """The lease may be short now: another claim is needed, before it runs out behind our back."""
    with suppress(ClaimLostError):
        await ground.queue.ack(ground.claim)
    await ground.take_claim()


async def _renewed_there(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    with suppress(ClaimLostError):
        ground.threads.ack(ground.thread_claim)
    await ground.take_thread_claim()


async def _spent_there(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    await ground.take_thread_claim()


async def _written(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """The key has the value, and goes."""
    if result is not False:
        assert await ground.queue.kv_get(given["key"]) == given["value"]
    await ground.queue.kv_delete(given["key"])


async def _written_there(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    if result is not False:
        assert ground.threads.kv_get(given["key"]) == given["value"]
    ground.threads.kv_delete(given["key"])


async def _within_limit(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """A page is no longer than asked for."""
    for name in ("jobs", "runs", "entries"):
        assert len(getattr(result, name, [])) <= given["limit"]


async def _closed(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    closing = result.close()
    if closing is not None:
        await closing


LOOKS: Final[dict[str, tuple[dict[str, Any], dict[str, Kind]]]] = {
    "list_jobs": (
        {"queue": "emails", "state": None, "cursor": None, "limit": 100},
        {"queue": QUEUE_NAME, "state": STATE, "cursor": CURSOR, "limit": LIMIT},
    ),
    "dead_jobs": (
        {"queue": "emails", "cursor": None, "limit": 100},
        {"queue": QUEUE_NAME, "cursor": CURSOR, "limit": LIMIT},
    ),
    "get_job": ({}, {"job_id": UNKNOWN_JOB_ID}),
    "attempt_history": ({}, {"job_id": UNKNOWN_JOB_ID}),
    "get_run": ({}, {"run_id": UNKNOWN_RUN_ID}),
    "list_runs": (
        {"queue": None, "state": None, "run_id_prefix": None, "cursor": None, "limit": 100},
        {
            "queue": QUEUE_NAME.or_none(),
            "state": Kind(_run_state),
            "run_id_prefix": ANY_TEXT.or_none(),
            "cursor": CURSOR,
            "limit": LIMIT,
        },
    ),
    "step_history": ({}, {"run_id": UNKNOWN_RUN_ID}),
    "get_result": ({}, {"run_id": UNKNOWN_RUN_ID}),
    "list_memos": (
        {"run_id": "nobody", "cursor": None, "limit": 100},
        {"run_id": UNKNOWN_RUN_ID, "cursor": CURSOR, "limit": LIMIT},
    ),
    "get_memo": (
        {"run_id": "nobody", "step_number": 0, "key": "k"},
        {"run_id": UNKNOWN_RUN_ID, "step_number": Kind(whole(0, 2**32 - 1)), "key": ANY_KEY},
    ),
    "oldest_pending": ({}, {"queue": QUEUE_NAME}),
    "kv_get": ({}, {"key": KEY}),
    "kv_scan": (
        {"prefix": "", "start": None, "end": None, "reverse": False, "cursor": None, "limit": 100},
        {
            "prefix": ANY_TEXT,
            "start": ANY_TEXT.or_none(),
            "end": ANY_TEXT.or_none(),
            "reverse": FLAG,
            "cursor": CURSOR,
            "limit": LIMIT,
        },
    ),
}

QUEUED: Final = {"queue": QUEUE_NAME, "lease": LEASE.or_none()}
SETTLED: Final[dict[str, tuple[dict[str, Any], dict[str, Kind]]]] = {
    "ack": ({}, {}),
    "nack": (
        {"error": "why", "retry_after": 0},
        {"error": REASON, "retry_after": DURATION.or_none()},
    ),
    "dead_letter": ({"reason": "why"}, {"reason": REASON}),
    "ack_with": ({"effects": Effects()}, {"effects": EFFECTS}),
    "nack_with": (
        {"error": "why", "effects": Effects(), "retry_after": None},
        {"error": REASON, "effects": EFFECTS, "retry_after": DURATION.or_none()},
    ),
    "dead_letter_with": (
        {"reason": "why", "effects": Effects()},
        {"reason": REASON, "effects": EFFECTS},
    ),
}


def _looking(side: Callable[[Ground], Any]) -> dict[str, Row]:
    def row(name: str) -> Row:
        valid, kinds = LOOKS[name]
        after = _within_limit if "limit" in kinds else nothing
        # What else is wrong is told before it is found that nobody knows the run.
        answers = (RunNotFoundError,) if valid.get("run_id") else ()
        return Row(
            lambda g: getattr(side(g), name),
            lambda _: dict(valid),
            kinds,
            after,
            writes=False,
            answers=answers,
        )

    return {name: row(name) for name in LOOKS}


@dataclass(frozen=True)
class _Side:
    """A queue, for coroutines or for threads: the calls of both are the same."""

    queue: Callable[[Ground], Any]
    claim: Callable[[Ground], Any]
    taken_back: After
    acked: After
    written: After
    spent: After
    renewed: After

    def rows(self) -> dict[str, Row]:
        """All that changes something."""
        return {**self._queuing(), **self._claiming(), **self._settling(), **self._keeping()}

    def _row(
        self, name: str, valid: dict[str, Any], kinds: dict[str, Kind], after: After = nothing
    ) -> Row:
        return Row(lambda g: getattr(self.queue(g), name), lambda _: dict(valid), kinds, after)

    def _claim_row(
        self, name: str, valid: dict[str, Any], kinds: dict[str, Kind], after: After = nothing
    ) -> Row:
        return Row(
            lambda g: getattr(self.queue(g), name),
            lambda g: {"claim": self.claim(g), **valid},
            {"claim": REFUSED, **kinds},
            after,
        )

    def _queuing(self) -> dict[str, Row]:
        one = {"queue": "emails", "payload": b"x", "options": EnqueueOptions()}
        kinds = {"queue": QUEUE_NAME, "payload": PAYLOAD, "options": OPTIONS}
        some, jobs = {"queue": "emails", "jobs": [b"x"]}, {"queue": QUEUE_NAME, "jobs": JOBS}
        dead = {"queue": "emails", "older_than": 0}
        purged = {"queue": QUEUE_NAME, "older_than": DURATION}
        by_id = ("cancel", "wake_scheduled", "requeue_dead_job")
        return {
            "enqueue": self._row("enqueue", one, kinds, self.taken_back),
            "enqueue_batch": self._row("enqueue_batch", some, jobs, self.taken_back),
            **{name: self._row(name, {}, {"job_id": UNKNOWN_JOB_ID}) for name in by_id},
            "purge_dead": self._row("purge_dead", dead, purged),
        }

    def _claiming(self) -> dict[str, Row]:
        ready = {"queue": READY, "lease": None}
        some, waiting = {**ready, "count_max": 1}, {**ready, "timeout": 0}
        counted = {**QUEUED, "count_max": COUNT_MAX}
        timed = {**QUEUED, "timeout": DURATION.or_none()}
        return {
            "claim": self._row("claim", ready, QUEUED, self.acked),
            "claim_batch": self._row("claim_batch", some, counted, self.acked),
            "claim_with_wait": self._row("claim_with_wait", waiting, timed, self.acked),
        }

    def _settling(self) -> dict[str, Row]:
        lease, optional = {"lease": 3600}, {"lease": LEASE.or_none()}
        return {
            "renew": self._claim_row("renew", lease, optional, self.renewed),
            "ensure_at_least": self._claim_row("ensure_at_least", lease, {"lease": LEASE}),
            **{
                name: self._claim_row(name, valid, kinds, self.spent)
                for name, (valid, kinds) in SETTLED.items()
            },
        }

    def _keeping(self) -> dict[str, Row]:
        put, written = {"key": "k", "value": b"v"}, {"key": KEY, "value": VALUE}
        compared = {"expected": EXPECTED.or_none()}
        return {
            "kv_put": self._row("kv_put", put, written, self.written),
            "kv_delete": self._row("kv_delete", {}, {"key": KEY}),
            "kv_compare_put": self._row(
                "kv_compare_put", {**put, "expected": None}, {**written, **compared}, self.written
            ),
            "kv_compare_delete": self._row(
                "kv_compare_delete",
                {"key": "k", "expected": b"v"},
                {"key": KEY, "expected": EXPECTED},
            ),
        }


def _named(prefix: str, rows: Mapping[str, Row]) -> dict[str, Row]:
    return {f"{prefix}.{name}": row for name, row in rows.items()}


def _opening(opener: Callable[[Ground], Any], kinds: dict[str, Kind], **more: Any) -> Row:
    return Row(
        opener,
        lambda _: {"store": MemoryStore(), "path": "taquba", **more},
        {"store": STORE, "path": PATH, **kinds},
        _closed,
        answers=(StoreNotFoundError,),
        writes=False,
    )


_HERE: Final = _Side(
    lambda g: g.queue, lambda g: g.claim, _taken_back, _acked, _written, _spent, _renewed
).rows()
_THERE: Final = _Side(
    lambda g: g.threads,
    lambda g: g.thread_claim,
    _taken_back_there,
    _acked_there,
    _written_there,
    _spent_there,
    _renewed_there,
).rows()
_OPTIONS: Final = {"options": Kind(instance(OpenOptions))}
# Nothing is there to be read, so every one of them is refused in the end.
_TIMEOUT: Final = {"store_timeout": Kind(undecided)}

QUEUE_ROWS: Final[dict[str, Row]] = {
    **_named("Queue", _HERE | _looking(lambda g: g.queue)),
    **_named("QueueReader", _looking(lambda g: g.reader)),
    **_named("sync.Queue", _THERE | _looking(lambda g: g.threads)),
    **_named("sync.QueueReader", _looking(lambda g: g.thread_reader)),
    "Queue.open": _opening(lambda g: type(g.queue).open, _OPTIONS, options=OpenOptions()),
    "sync.Queue.open": _opening(lambda g: type(g.threads).open, _OPTIONS, options=OpenOptions()),
    "QueueReader.open": _opening(lambda g: type(g.reader).open, _TIMEOUT, store_timeout=8),
    "sync.QueueReader.open": _opening(
        lambda g: type(g.thread_reader).open, _TIMEOUT, store_timeout=8
    ),
}
