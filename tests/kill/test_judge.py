"""The judgement of the kill lane finds every history that breaks a promise."""

import json
from typing import Any

import pytest

from tests.kill.judge import Judgement, judged, read

Event = dict[str, Any]
ALL: Event = {"event": "found_all"}


def asked(call: int, op: str, **fields: Any) -> Event:
    """A call is made."""
    return {"event": "invoked", "owner": 1, "call": call, "op": {"op": op, **fields}}


def answer(call: int, got: Any, kind: str = "ok") -> Event:
    """It is answered."""
    return {"event": "answered", "owner": 1, "call": call, "answer": {kind: got}}


def enqueue(call: int, payload: str, **fields: Any) -> Event:
    """One job is enqueued."""
    job = {"payload": payload, "max_attempts": 2, **fields}
    return asked(call, "enqueue", queue="pulled", jobs=[job])


def enqueued(call: int, job: str, *, is_new: bool = True) -> Event:
    """It is there."""
    return answer(call, {"enqueued": [{"job": job, "is_new": is_new}]})


def delivered(token: str, job: str, payload: str, attempts: int = 1) -> Event:
    """It is delivered."""
    claim = {"token": token, "job": job, "queue": "pulled", "payload": payload, "work": "job"}
    return {
        "event": "delivered",
        "owner": 1,
        "call": None,
        "claim": {**claim, "attempts": attempts, "max_attempts": 2},
    }


def settle(call: int, token: str, effects: list[Event] | None = None) -> Event:
    """It is acked."""
    return asked(call, "settle", token=token, verdict="ack", effects=effects or [])


def found(job: str, payload: str, state: str = "done", queue: str = "pulled") -> Event:
    """It is there in the end."""
    return {
        "event": "found_job",
        "job": job,
        "queue": queue,
        "state": state,
        "payload": payload,
    }


def effects(token: str) -> list[Event]:
    """A job and a key that come with an ack."""
    jobs = [{"payload": f"derived:{token}"}]
    put = {"key": f"flag/{token}", "value": "yes"}
    return [{"enqueue": {"queue": "derived", "jobs": jobs}}, {"put": put}]


def held(key: str, value: str) -> Event:
    """A key in the end."""
    return {"event": "found_value", "key": key, "value": value}


def judgement(events: list[Event]) -> Judgement:
    """What the judge says."""
    return judged(read(map(json.dumps, events)))


ADDED = [enqueue(1, "a"), enqueued(1, "j1")]
TAKEN = [*ADDED, delivered("t1", "j1", "a")]
SETTLED = [*TAKEN, settle(2, "t1"), answer(2, "done")]
STAGED = [*TAKEN, settle(2, "t1", effects("t1")), answer(2, "done")]
DERIVED = [found("j2", "derived:t1", "done", "derived"), held("flag/t1", "yes")]
DONE = found("j1", "a")
SWAP = asked(9, "kv_swap", key="counter", expected=None, value="1")
AGAIN = [*TAKEN, delivered("t2", "j1", "a", 2)]
STAGED_AGAIN = [settle(2, "t1", effects("t1")), settle(3, "t2", effects("t2")), answer(3, "done")]
DERIVED_AGAIN = [found("j3", "derived:t2", "done", "derived"), held("flag/t2", "yes")]
KEYED = {"dedup_key": "k", "is_dedup_until_settled": True}
BOTH_KEYED = [
    *(enqueue(1, "a", **KEYED), enqueued(1, "j1")),
    *(enqueue(2, "b", **KEYED), enqueued(2, "j2")),
]


@pytest.mark.parametrize(
    "events",
    [
        [ALL],
        [*SETTLED, DONE, ALL],
        [*ADDED, found("j1", "a", "dead"), ALL],
        # Not acknowledged: it may be there or not.
        [enqueue(1, "a"), ALL],
        [enqueue(1, "a"), DONE, ALL],
        [*ADDED, asked(2, "cancel_job", job="j1"), ALL],
        # Delivered again, because nobody heard of the ack.
        [*TAKEN, settle(2, "t1"), delivered("t2", "j1", "a", 2), DONE, ALL],
        [*STAGED, DONE, *DERIVED, ALL],
        [*TAKEN, settle(2, "t1", effects("t1")), DONE, ALL],
        [SWAP, answer(9, {"swapped": True}), held("counter", "1"), ALL],
        [SWAP, held("counter", "1"), ALL],
        [SWAP, ALL],
        [SWAP, answer(9, {"swapped": False}), ALL],
    ],
)
def test_a_history_that_keeps_every_promise_is_found_good(events: list[Event]) -> None:
    assert judgement(events).violations == []


BROKEN = {
    "nobody listed": ("lost", SETTLED),
    "an acknowledged job is gone": ("lost", [*ADDED, ALL]),
    "a done job is gone": ("lost", [*SETTLED, ALL]),
    "a job still waits": ("lost", [*ADDED, found("j1", "a", "pending"), ALL]),
    "nobody enqueued it": ("phantom", [found("j1", "a"), ALL]),
    "nobody enqueued what it holds": ("phantom", [*ADDED, found("j1", "b"), ALL]),
    "it changed": ("phantom", [*TAKEN, enqueue(3, "b"), found("j1", "b"), ALL]),
    "it is in another queue": ("phantom", [*ADDED, found("j1", "a", "done", "pushed"), ALL]),
    "it came back": ("doubly_settled", [*SETTLED, delivered("t2", "j1", "a", 2), DONE, ALL]),
    "two acks": (
        "doubly_settled",
        [*AGAIN, settle(2, "t1"), answer(2, "done"), settle(3, "t2"), answer(3, "done"), DONE, ALL],
    ),
    "too many attempts": (
        "doubly_settled",
        [*TAKEN, delivered("t2", "j1", "a", 3), DONE, ALL],
    ),
    "too many deliveries": (
        "doubly_settled",
        [*TAKEN, *(delivered(f"t{n}", "j1", "a", 2) for n in (2, 3, 4)), DONE, ALL],
    ),
    "an effect is missing": ("lost", [*STAGED, DONE, ALL]),
    "half an effect": ("lost", [*STAGED, DONE, DERIVED[0], ALL]),
    "the other half": ("lost", [*STAGED, DONE, DERIVED[1], ALL]),
    "an effect twice": (
        "doubly_settled",
        [*STAGED, DONE, *DERIVED, found("j3", "derived:t1", "done", "derived"), ALL],
    ),
    "effects of two acks": (
        "doubly_settled",
        [*AGAIN, *STAGED_AGAIN, DONE, *DERIVED, *DERIVED_AGAIN, ALL],
    ),
    "two with one key": (
        "doubly_settled",
        [*BOTH_KEYED, delivered("t1", "j1", "a"), DONE, found("j2", "b"), ALL],
    ),
    "a number too low": ("lost", [SWAP, answer(9, {"swapped": True}), ALL]),
    "a number too high": ("lost", [SWAP, held("counter", "2"), ALL]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_found(name: str) -> None:
    kind, events = BROKEN[name]

    judgement_ = judgement(events)

    assert judgement_.counts[kind] >= 1, judgement_.violations
