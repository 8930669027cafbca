"""The checker of the run kills finds every history that no sequential execution shows."""

import json
from typing import Any

import pytest

from tests.kill.run_ledger import LOST_TEXT, chain_payload, digest, parse, violations
from tests.kill.run_plan import (
    Cancelling,
    RunPlan,
    StepPlan,
    Way,
    plan_of,
    transient_text,
)

# Plans by the first letter of a run.
PLANS = {
    "g": RunPlan((StepPlan(failure_count=1, memo_count=1), StepPlan()), max_attempts=3),
    "f": RunPlan((StepPlan(),), way=Way.FAIL),
    "c": RunPlan((StepPlan(),), way=Way.CANCEL, cancelling=Cancelling.RUNNING),
    "d": RunPlan((StepPlan(failure_count=2),), max_attempts=2),
    "s": RunPlan((StepPlan(),), cancelling=Cancelling.SCHEDULED),
    "l": RunPlan((StepPlan(),), cancelling=Cancelling.LATE),
    "k": RunPlan((StepPlan(),), max_attempts=2),
}
EMPTY = digest(chain_payload([]))
CHAIN = [[0, "b", ["m"]], [1, "c", []]]
BETWEEN = digest(chain_payload(CHAIN[:1]))


def line(kind: str, run: str, **fields: Any) -> str:
    """One line of a ledger."""
    return f"{kind} {run} {json.dumps(fields)}"


def ran(
    run: str, step: int, attempts: int, nonce: str, payload: str = EMPTY, *, stop: bool = False
) -> str:
    """A delivery begins."""
    fields = {"step": step, "attempts": attempts, "nonce": nonce, "payload": payload}
    return line("ran", run, **fields, stop=stop)


def outcome(
    status: str, error: str | None = None, step: int = 0, result: Any = None
) -> dict[str, Any]:
    """How a run ended."""
    return {"status": status, "error": error, "final_step": step, "result": result}


def ending(run: str, end: dict[str, Any], nonce: str = "h") -> list[str]:
    """All that is heard of an end."""
    state = {"state": end["status"], "error": end["error"], "step": end["final_step"]}
    return [
        line("told", run, nonce=nonce, raises=False, end=end),
        line("ended", run, **end),
        line("outcome", run, **end),
        line("followup", run, nonce=nonce),
        line("status", run, **state, has_ended=True),
    ]


def begun(run: str) -> list[str]:
    """A submission and its answer."""
    return [line("submitting", run), line("submitted", run, new=True)]


def cancel(run: str, call: str, *, answer: bool) -> list[str]:
    """A cancel and its answer."""
    asked = line("cancelling", run, call=call)
    return [asked, line("cancelled", run, call=call, answer=answer)]


START = line("start", "p0")
# A run of two steps: the first one fails once, and has a memo.
STEPS = [
    ran("g", 0, 1, "a"),
    line("computing", "g", step=0, key="k", nonce="m"),
    line("memo", "g", step=0, key="k", nonce="m"),
    line("putting", "g", step=0, nonce="a"),
    line("put", "g", step=0, nonce="a"),
    line("raised", "g", step=0),
    ran("g", 0, 2, "b"),
    line("memo", "g", step=0, key="k", nonce="m"),
    line("got", "g", step=0, nonce="a"),
    line("returned", "g", step=0, payload=BETWEEN),
    ran("g", 1, 1, "c", BETWEEN),
]
SUCCEEDED = outcome("succeeded", step=1, result=CHAIN)
GOOD = [START, *begun("g"), *STEPS, *ending("g", SUCCEEDED)]
OWN = outcome("cancelled", "cancel at step 0")
STOPPED = outcome("cancelled")
LOST = outcome("failed", LOST_TEXT)
DOOMED = [line("raised", "d", step=0), ran("d", 0, 2, "b"), line("raised", "d", step=0)]
TOLD_S, *AFTER_S = ending("s", STOPPED)
RAN_ONCE = [START, *begun("k"), ran("k", 0, 1, "a")]


def found(lines: list[str]) -> list[str]:
    """What the checker says."""
    return violations(parse(lines), lambda run: PLANS[run[0]])


def without(kind: str, lines: list[str]) -> list[str]:
    """Lines of all other kinds."""
    return [text for text in lines if not text.startswith(f"{kind} ")]


def behind(kind: str, lines: list[str], *more: str) -> list[str]:
    """Lines, and more behind the first one of a kind."""
    index = next(index for index, text in enumerate(lines) if text.startswith(f"{kind} "))
    return [*lines[: index + 1], *more, *lines[index + 1 :]]


ALLOWED = {
    "all went well": GOOD,
    "a submission was repeated after a crash": [
        START,
        line("submitting", "g"),
        ran("g", 0, 1, "x"),
        line("start", "p1"),
        line("submitting", "g"),
        line("submitted", "g", new=False),
        *STEPS,
        *ending("g", SUCCEEDED),
    ],
    "a first step began before its submission was answered": [
        START,
        line("submitting", "g"),
        STEPS[0],
        line("submitted", "g", new=True),
        *STEPS[1:],
        *ending("g", SUCCEEDED),
    ],
    "a memo that was never returned was computed again": behind(
        "ran", GOOD, line("computing", "g", step=0, key="k", nonce="lost")
    ),
    "a hook that raised was told again": behind(
        "submitted", GOOD, line("told", "g", nonce="x", raises=True, end=SUCCEEDED)
    ),
    "the runner gave up": [
        START,
        *begun("f"),
        ran("f", 0, 1, "a"),
        *ending("f", outcome("failed", "fail at step 0")),
    ],
    "retries were used up": [
        START,
        *begun("d"),
        ran("d", 0, 1, "a"),
        *DOOMED,
        *ending("d", outcome("failed", transient_text(0, 2))),
    ],
    "kills used up the attempts": [
        *RAN_ONCE,
        line("start", "p1"),
        ran("k", 0, 2, "b"),
        line("start", "p2"),
        *ending("k", LOST),
    ],
    "a waiting run was cancelled": [
        START,
        *begun("s"),
        line("cancelling", "s", call="1"),
        TOLD_S,
        line("cancelled", "s", call="1", answer=True),
        *AFTER_S,
    ],
    "a second cancel found it ended": [
        START,
        *begun("s"),
        line("cancelling", "s", call="1"),
        TOLD_S,
        line("cancelled", "s", call="1", answer=True),
        *AFTER_S,
        *cancel("s", "2", answer=False),
    ],
    "a running run was cancelled": [
        START,
        *begun("g"),
        *STEPS,
        *cancel("g", "1", answer=True),
        *ending("g", outcome("cancelled", step=1)),
    ],
    "a runner's own cancel was heard": [
        START,
        *begun("c"),
        ran("c", 0, 1, "a"),
        *cancel("c", "1", answer=True),
        *ending("c", OWN),
    ],
    "a step that was on its way when it was cancelled saw that": [
        START,
        *begun("c"),
        *cancel("c", "1", answer=True),
        ran("c", 0, 1, "a", stop=True),
        *ending("c", OWN),
    ],
    "the process died during a cancel that took effect": [
        START,
        *begun("g"),
        *STEPS,
        line("cancelling", "g", call="1"),
        *ending("g", outcome("cancelled", step=1)),
    ],
    "the process died during a cancel that did not": [
        START,
        *begun("g"),
        *STEPS,
        line("cancelling", "g", call="1"),
        *ending("g", SUCCEEDED),
    ],
    "a late cancel found it ended": [
        START,
        *begun("l"),
        ran("l", 0, 1, "a"),
        *ending("l", outcome("succeeded", result=[[0, "a", []]])),
        *cancel("l", "1", answer=False),
    ],
    "nobody knows that run": [START, *cancel("g", "1", answer=False)],
}


@pytest.mark.parametrize("lines", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_a_sequential_execution_allows_is_no_violation(lines: list[str]) -> None:
    assert found(lines) == []


WRONG = {
    "its submission was never answered": [START, GOOD[1], *GOOD[3:]],
    "it was submitted twice": [*GOOD, line("start", "p1"), *begun("g")],
    "it was there before it was submitted": [
        START,
        GOOD[1],
        line("submitted", "g", new=False),
        *GOOD[3:],
    ],
    "phantom, nobody submitted it": [START, *STEPS, *ending("g", SUCCEEDED)],
    "unknown, and yet it was cancelled": [START, *cancel("g", "1", answer=True)],
    "steps ran in the order [0, 0, 1, 0]": behind(
        "ended", GOOD, ran("g", 0, 3, "z"), line("memo", "g", step=0, key="k", nonce="m")
    ),
    "step 1 was delivered behind the last one": [
        START,
        *begun("f"),
        ran("f", 0, 1, "a"),
        line("returned", "f", step=0, payload="x"),
        ran("f", 1, 1, "b", "x"),
        *ending("f", outcome("failed", "fail at step 0", step=1)),
    ],
    "step 1 was given 2 payloads": behind(
        "returned",
        GOOD,
        line("returned", "g", step=0, payload="other"),
        ran("g", 1, 1, "x", "other"),
    ),
    "step 1 was given what no step before it returned": [
        text.replace(BETWEEN, "other") if text.startswith("returned") else text for text in GOOD
    ],
    "step 0 counted its attempts [2, 1, 2]": behind("submitted", GOOD, ran("g", 0, 2, "x")),
    "step 0 got to attempt 4 of 3": behind("got", GOOD, ran("g", 0, 4, "x")),
    "step 0 was delivered 4 times": [
        *RAN_ONCE,
        *(ran("k", 0, 2, nonce) for nonce in "bcd"),
        *ending("k", outcome("succeeded", result=[[0, "d", []]])),
    ],
    "was computed again after it had been returned": behind(
        "memo", GOOD, line("computing", "g", step=0, key="k", nonce="again")
    ),
    "holds what was never computed for it": behind(
        "computing", GOOD, line("memo", "g", step=0, key="other", nonce="m")
    ),
    "memo 'k' of step 0 has changed": behind(
        "ran",
        GOOD,
        line("computing", "g", step=0, key="k", nonce="first"),
        line("computing", "g", step=0, key="k", nonce="m"),
        line("memo", "g", step=0, key="k", nonce="first"),
    ),
    "read a memo that was not the last one put": [
        text.replace('"a"', "null") if text.startswith("got") else text for text in GOOD
    ],
    "a cancel found it ended, and then a step ran": [
        START,
        *begun("g"),
        *cancel("g", "1", answer=False),
        *STEPS,
        *ending("g", SUCCEEDED),
    ],
    "a step ran after a cancel that returned True": [
        START,
        *begun("g"),
        *STEPS[:-1],
        *cancel("g", "1", answer=True),
        line("start", "p1"),
        ran("g", 1, 1, "c", BETWEEN, stop=True),
        *ending("g", outcome("cancelled", step=1)),
    ],
    "a step that began after a cancel did not see it": [
        START,
        *begun("g"),
        *STEPS[:-1],
        *cancel("g", "1", answer=True),
        STEPS[-1],
        *ending("g", outcome("cancelled", step=1)),
    ],
    "returned before the hook was told": [
        START,
        *begun("s"),
        *cancel("s", "1", answer=True),
        *ending("s", STOPPED),
    ],
    "a cancel after its end returned True": [
        *GOOD[:14],
        *ending("g", outcome("cancelled", step=1)),
        *cancel("g", "1", answer=True),
    ],
    "a cancelled step was not told": behind("ran", GOOD, line("unheard", "g", step=0)),
    "lost, it has no outcome": without("outcome", GOOD),
    "a cancel returned True, and yet it ended as succeeded": [
        START,
        *begun("g"),
        *STEPS,
        *cancel("g", "1", answer=True),
        *ending("g", SUCCEEDED),
    ],
    "a cancel returned True, and yet it ended as failed": [
        START,
        *begun("f"),
        ran("f", 0, 1, "a"),
        *cancel("f", "1", answer=True),
        *ending("f", outcome("failed", "fail at step 0")),
    ],
    "and nobody had cancelled it": [
        START,
        *begun("g"),
        *STEPS,
        *ending("g", outcome("cancelled", step=1)),
    ],
    "which is not in its plan": [
        START,
        *begun("f"),
        ran("f", 0, 1, "a"),
        *ending("f", outcome("failed", "for another reason")),
    ],
    "at step 3 with None, where it was not": [
        START,
        *begun("g"),
        *STEPS,
        *cancel("g", "1", answer=True),
        *ending("g", outcome("cancelled", step=3)),
    ],
    "with attempts left": [*RAN_ONCE, line("start", "p1"), *ending("k", LOST)],
    "and has a result": [
        START,
        *begun("f"),
        ran("f", 0, 1, "a"),
        *ending("f", outcome("failed", "fail at step 0", result=[])),
    ],
    "its result has steps [1]": [
        *GOOD[:-5],
        *ending("g", outcome("succeeded", step=1, result=CHAIN[1:])),
    ],
    "an entry of step 0 that no delivery of it made": [
        *GOOD[:-5],
        *ending("g", outcome("succeeded", step=1, result=[[0, "x", ["m"]], CHAIN[1]])),
    ],
    "memos of step 0 that were not returned to it": [
        *GOOD[:-5],
        *ending("g", outcome("succeeded", step=1, result=[[0, "b", ["x"]], CHAIN[1]])),
    ],
    "somebody who waited got another outcome": [*GOOD, line("ended", "g", **STOPPED)],
    "the hook was never told": without("followup", without("told", GOOD)),
    "the hook was told another end": [
        *GOOD,
        line("told", "g", nonce="x", raises=False, end=STOPPED),
    ],
    "the hook's effect was applied 0 times": without("followup", GOOD),
    "the hook's effect was applied 2 times": [*GOOD, line("followup", "g", nonce="h")],
    "an effect was applied that no hook returned": [
        text.replace('"raises": false', '"raises": true') for text in GOOD
    ],
    "after another open it is listed as []": without("status", GOOD),
}


def test_a_second_delivery_after_a_cancel_is_found() -> None:
    late = [ran("c", 0, attempts, "a", stop=True) for attempts in (1, 2)]
    lines = [START, *begun("c"), *cancel("c", "1", answer=True), *late, *ending("c", OWN)]

    assert found(lines) == ["run c: a step ran after a cancel that returned True"]


@pytest.mark.parametrize(("word", "lines"), WRONG.items(), ids=WRONG.keys())
def test_every_wrong_history_is_found(word: str, lines: list[str]) -> None:
    assert any(word in text for text in found(lines)), found(lines)


def test_a_plan_belongs_to_its_run_id_and_all_kinds_of_plans_are_made() -> None:
    plans = [plan_of(f"p0-0-{number}") for number in range(500)]

    assert plans == [plan_of(f"p0-0-{number}") for number in range(500)]
    assert {plan.way for plan in plans} == set(Way)
    assert {plan.cancelling for plan in plans} == set(Cancelling)
    given_up = [plan.end.error for plan in plans if plan.end and plan.end.error]
    assert any(error.startswith("not yet") for error in given_up)
