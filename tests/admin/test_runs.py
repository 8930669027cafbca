"""Runs over HTTP: listing, showing, submitting, cancelling, waking, retrying."""

from collections.abc import AsyncIterator

import pytest

from taquba import (
    MockClock,
    Queue,
    QueueReader,
    RunOutcome,
    RunState,
    Step,
    StepError,
    StepOutcome,
    WorkflowRuntime,
)
from taquba.admin import create_app
from taquba.store import MemoryStore
from tests.admin.asking import Asker, asking
from tests.waiting import eventually


async def decide(step: Step) -> StepOutcome:
    """Does what the input says."""
    wish, _, rest = step.payload.decode().partition(" ")
    if wish == "fail":
        raise StepError.permanent(f"no {rest}")
    if wish == "end":
        return StepOutcome.Fail(f"no {rest}")
    if wish == "flaky":
        raise StepError.transient("api_key=hunter2 is busy")
    if wish == "two":
        return StepOutcome.Continue(rest.encode())
    if wish == "later":
        return StepOutcome.ContinueAfter(rest.encode(), delay=3600)
    return StepOutcome.Succeed(
        await step.memo.get_or_compute("key", lambda: b"memo: " + step.payload)
    )


@pytest.fixture
async def runtime(owned: Queue) -> AsyncIterator[WorkflowRuntime]:
    """Works on runs."""
    async with WorkflowRuntime(owned, decide) as runtime:
        yield runtime


@pytest.fixture
async def asker(owned: Queue, runtime: WorkflowRuntime) -> AsyncIterator[Asker]:
    """Asks an app that submits runs and shows payloads."""
    async with asking(create_app(owned, runtimes=[runtime], show_payloads=True)) as asker:
        yield asker


async def in_state(queue: Queue, run_id: str, *states: RunState) -> None:
    """Waits until a run is in one of some states."""

    async def is_there() -> bool:
        return (await queue.get_run(run_id)).state in states

    await eventually(is_there, f"run `{run_id}` in {states}")


async def submitted(asker: Asker, queue: Queue, payload: str, *states: RunState) -> None:
    """Submits a run that is called as its input begins, and waits for its state."""
    run_id = payload.partition(" ")[0]
    await asker.post("/api/runs", 201, payload=payload, run_id=run_id, headers={"tenant": run_id})
    await in_state(queue, run_id, *states)


async def test_a_run_is_submitted_once(asker: Asker) -> None:
    first = await asker.post("/api/runs", 201, payload="x", run_id="one", priority=5)
    again = await asker.post("/api/runs", 201, payload="x", run_id="one")
    other = await asker.post("/api/runs", 409, payload="y", run_id="one")

    assert first == {"run_id": "one", "newly_submitted": True}
    assert again == {"run_id": "one", "newly_submitted": False}
    assert other["error"]["code"] == "input-mismatch"


async def test_a_batch_of_runs_is_submitted(owned: Queue, asker: Asker) -> None:
    lines = b'{"payload":"a","run_id":"one"}\n{"payload":"b"}'

    answer = await asker.lines("/api/runs/batch", 201, lines)
    bad = await asker.lines("/api/runs/batch", 400, b'{"payload":"a"}\n{"run_id":"x"}')

    assert [run["newly_submitted"] for run in answer["runs"]] == [True, True]
    assert answer["runs"][0]["run_id"] == "one"
    assert bad["error"]["message"].startswith("line 2: ")
    assert len((await owned.list_runs()).runs) == 2


async def test_a_run_may_start_later(owned: Queue, asker: Asker) -> None:
    await asker.post("/api/runs", 201, payload="x", run_id="one", delay_seconds=60)

    assert (await owned.get_run("one")).state is RunState.SCHEDULED
    [run] = (await asker.get("/api/runs", state="scheduled"))["runs"]
    assert run["run_at"] == "2030-01-01T00:01:00.000Z"


async def test_without_a_runtime_no_run_is_submitted(owned: Queue) -> None:
    async with asking(create_app(owned)) as asker:
        error = (await asker.post("/api/runs", 409, payload="x"))["error"]

    assert error["code"] == "no-runtime"


async def test_of_several_runtimes_one_is_named(owned: Queue, runtime: WorkflowRuntime) -> None:
    books = WorkflowRuntime(owned, decide, queue_name="books")

    async with asking(create_app(owned, runtimes=[runtime, books])) as asker:
        unnamed = await asker.post("/api/runs", 400, payload="x")
        other = await asker.post("/api/runs", 409, payload="x", queue="films")
        answer = await asker.post("/api/runs", 201, payload="x", queue="books")

    assert unnamed["error"]["field"] == "queue"
    assert other["error"]["code"] == "no-runtime"
    assert (await owned.get_run(answer["run_id"])).queue == "books"


async def test_a_hook_that_refuses_a_submission_is_heard(owned: Queue) -> None:
    class Picky:
        async def on_termination(self, outcome: RunOutcome) -> None:
            """Hear of an end."""

        async def check_submission(self, spec: object) -> None:
            raise ValueError("token=hunter2 is of no use")

    runtime = WorkflowRuntime(owned, decide, Picky())

    async with asking(create_app(owned, runtimes=[runtime])) as asker:
        error = (await asker.post("/api/runs", 400, payload="x"))["error"]

    assert error["code"] == "refused-by-hook"
    assert error["message"] == "token=[redacted] is of no use"


async def test_a_run_is_shown_with_its_steps(
    owned: Queue, asker: Asker, memory: MemoryStore
) -> None:
    await submitted(asker, owned, "two fail luck", RunState.FAILED)

    async with QueueReader.open(memory) as reader, asking(create_app(reader)) as reading:
        shown = await asker.get("/api/run", run_id="two")
        assert await reading.get("/api/run", run_id="two") == shown

    assert (shown["run"]["state"], shown["run"]["error"]) == ("failed", "no luck")
    assert [(step["step_number"], step["error"]) for step in shown["steps"]] == [
        (0, None),
        (1, "no luck"),
    ]
    assert [attempt["end"] for attempt in shown["attempts"]] == ["dead-lettered"]


async def test_a_result_and_memos_are_shown(owned: Queue, asker: Asker) -> None:
    await submitted(asker, owned, "good", RunState.SUCCEEDED)
    await asker.post("/api/runs", 201, payload="later x", run_id="later")

    result = await asker.get("/api/run/result", run_id="good")
    none_yet = await asker.get("/api/run/result", run_id="later")
    memos = await asker.get("/api/run/memos", run_id="good")

    assert result["payload"]["text"] == "memo: good"
    assert none_yet == {"payload": None}
    assert [(memo["step_number"], memo["value_bytes"]) for memo in memos["memos"]] == [(0, 10)]
    async with asking(create_app(owned)) as hiding:
        error = (await hiding.get("/api/run/result", 403, run_id="good"))["error"]
    assert error["code"] == "payloads-hidden"


async def test_runs_are_found_by_state_header_error_and_id(owned: Queue, asker: Asker) -> None:
    await submitted(asker, owned, "fail order 17", RunState.FAILED)
    await submitted(asker, owned, "good", RunState.SUCCEEDED)
    await submitted(asker, owned, "flaky", RunState.SCHEDULED)

    async def found(**query: str) -> list[str]:
        return [run["run_id"] for run in (await asker.get("/api/runs", **query))["runs"]]

    assert await found() == ["flaky", "good", "fail"]
    assert await found(state="failed,succeeded") == ["good", "fail"]
    assert await found(prefix="f") == ["flaky", "fail"]
    assert await found(header="tenant:good") == ["good"]
    assert await found(error="order #") == ["fail"]
    assert await found(error="is busy") == ["flaky"]
    assert await found(error="hunter2") == []
    assert await found(queue="elsewhere") == []
    error = (await asker.get("/api/runs", 400, state="failed,odd"))["error"]
    assert error["field"] == "state"


async def test_a_page_of_runs_goes_on_where_it_ended(owned: Queue, asker: Asker) -> None:
    lines = b"".join(b'{"payload":"later x","run_id":"run-%d"}\n' % n for n in range(5))
    await asker.lines("/api/runs/batch", 201, lines)

    first = await asker.get("/api/runs", limit=3)
    rest = await asker.get("/api/runs", limit=3, cursor=first["cursor"])

    assert [run["run_id"] for run in first["runs"]] == ["run-4", "run-3", "run-2"]
    assert [run["run_id"] for run in rest["runs"]] == ["run-1", "run-0"]
    assert rest["cursor"] is None


async def test_a_waiting_run_is_cancelled(owned: Queue, asker: Asker) -> None:
    await submitted(asker, owned, "later x", RunState.SCHEDULED)

    assert await asker.post("/api/run/cancel", run_id="later") == {"is_cancelled": True}
    assert await asker.post("/api/run/cancel", run_id="later") == {"is_cancelled": False}

    assert (await owned.get_run("later")).state is RunState.CANCELLED
    assert (await asker.post("/api/run/cancel", 404, run_id="no"))["error"]["code"] == (
        "run-not-found"
    )


async def test_a_run_is_cancelled_without_a_runtime_and_its_hook_is_told(owned: Queue) -> None:
    told: list[str] = []

    async def hook(outcome: RunOutcome) -> None:
        told.append(outcome.run_id)

    async with WorkflowRuntime(owned, decide, hook) as runtime:
        async with asking(create_app(owned, runtimes=[runtime])) as submitter:
            await submitted(submitter, owned, "later x", RunState.SCHEDULED)
        async with asking(create_app(owned)) as asker:
            assert await asker.post("/api/run/cancel", run_id="later") == {"is_cancelled": True}

        async def is_told() -> bool:
            return told == ["later"]

        await eventually(is_told, "the hook of the runtime that works")


@pytest.mark.parametrize("call", ["wake", "retry"])
async def test_a_run_that_waits_for_its_retry_goes_on(
    owned: Queue, asker: Asker, call: str
) -> None:
    await submitted(asker, owned, "flaky", RunState.SCHEDULED)

    await asker.post(f"/api/run/{call}", run_id="flaky")

    async def was_tried_again() -> bool:
        return (await owned.get_run("flaky")).attempts == 2

    await eventually(was_tried_again, "a second attempt")


async def test_a_run_that_waits_for_its_time_is_woken(
    owned: Queue, asker: Asker, clock: MockClock
) -> None:
    await submitted(asker, owned, "later x", RunState.SCHEDULED)
    before = clock.now()

    assert await asker.post("/api/run/wake", run_id="later") == {}

    await in_state(owned, "later", RunState.SUCCEEDED)
    assert clock.now() == before
    ended = await asker.post("/api/run/wake", 409, run_id="later")
    assert ended["error"]["code"] == "wrong-run-state"


async def test_a_run_whose_first_step_failed_is_submitted_again(owned: Queue, asker: Asker) -> None:
    await submitted(asker, owned, "fail luck", RunState.FAILED)

    first = await asker.post("/api/run/retry", run_id="fail")
    await in_state(owned, "fail-retry-1", RunState.FAILED)
    second = await asker.post("/api/run/retry", run_id="fail-retry-1")

    assert (first, second) == ({"run_id": "fail-retry-1"}, {"run_id": "fail-retry-2"})
    again = await owned.get_run("fail-retry-1")
    assert (again.headers, again.error) == ({"tenant": "fail"}, "no luck")


async def test_what_a_retry_has_done_is_not_done_again(owned: Queue) -> None:
    async def luck(step: Step) -> StepOutcome:
        return await decide(step) if step.run_id == "fail" else StepOutcome.Succeed(b"")

    async with (
        WorkflowRuntime(owned, luck) as runtime,
        asking(create_app(owned, runtimes=[runtime])) as asker,
    ):
        await submitted(asker, owned, "fail luck", RunState.FAILED)
        await asker.post("/api/run/retry", run_id="fail")
        await in_state(owned, "fail-retry-1", RunState.SUCCEEDED)
        error = (await asker.post("/api/run/retry", 409, run_id="fail"))["error"]

    assert "`fail-retry-1` is succeeded" in error["message"]


async def test_an_id_that_looks_like_a_retry_is_one_of_its_own(owned: Queue, asker: Asker) -> None:
    await asker.post("/api/runs", 201, run_id="card-retry-1", payload="fail luck")
    await in_state(owned, "card-retry-1", RunState.FAILED)

    answer = await asker.post("/api/run/retry", run_id="card-retry-1")

    assert answer == {"run_id": "card-retry-1-retry-1"}


async def test_a_run_whose_input_is_kept_is_repeatable(owned: Queue, asker: Asker) -> None:
    await submitted(asker, owned, "fail luck", RunState.FAILED)
    await submitted(asker, owned, "end luck", RunState.FAILED)
    await submitted(asker, owned, "good", RunState.SUCCEEDED)

    runs = [await asker.get("/api/run", run_id=run_id) for run_id in ("fail", "end", "good")]

    assert [run["is_repeatable"] for run in runs] == [True, False, False]


async def test_what_cannot_be_retried_says_why(owned: Queue, asker: Asker) -> None:
    await submitted(asker, owned, "good", RunState.SUCCEEDED)
    await submitted(asker, owned, "two fail luck", RunState.FAILED)
    await submitted(asker, owned, "fail luck", RunState.FAILED)
    await owned.purge_dead("workflow")

    reasons = [
        (await asker.post("/api/run/retry", 409, run_id=run_id))["error"]["message"]
        for run_id in ("good", "two", "fail")
    ]

    assert ["only a run that waits or has failed" in reasons[0]] == [True]
    assert "it failed after its first step" in reasons[1]
    assert "its job is gone" in reasons[2]
