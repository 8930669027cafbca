"""Submitting runs: ids, headers, idempotence, what comes first."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taquba import EnqueueOptions, Queue
from taquba.exceptions import (
    BatchTooLargeError,
    InputMismatchError,
    InvalidArgumentError,
    InvalidRunIdError,
    PayloadTooLargeError,
    ReservedHeaderError,
    RunNotFoundError,
)
from taquba.workflow import (
    HEADER_RUN_ID,
    HEADER_STEP,
    RESERVED_HEADER_PREFIX,
    RunSpec,
    Step,
    StepOutcome,
    WorkflowRuntime,
)
from tests.waiting import claim_one
from tests.workflow.conftest import StartRuntime
from tests.workflow.hooks import RecordingHook


async def echo(step: Step) -> StepOutcome:
    """Ends each run with its input."""
    return StepOutcome.Succeed(step.payload)


@pytest.mark.parametrize(
    "run_id",
    [
        "",
        "a/b",
        "..",
        "a.b",
        "a b",
        "ü",
        "a\n",
        "a" * 129,
        "x/0_victim",
        "run:1",
        "a\x00b",
        "\u3000a",
        "\uff41",
        "a\u0301",
        "a\\b",
        "%2e%2e",
    ],
)
async def test_a_run_id_that_could_escape_its_prefix_is_refused(
    start: StartRuntime, run_id: str
) -> None:
    runtime = await start(echo)

    with pytest.raises(InvalidRunIdError, match="128"):
        await runtime.submit(RunSpec(b"", run_id=run_id))


async def test_a_run_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="run_id") as caught:
        RunSpec(b"", run_id="\ud800")
    assert "surrogate" in str(caught.value)
    with pytest.raises(TypeError, match="run_id"):
        RunSpec(b"", run_id=b"bytes")  # type: ignore[arg-type]


@pytest.mark.parametrize("run_id", ["a", "-", "_", "A-b_9", "a" * 128])
async def test_a_run_id_at_the_edge_of_the_rule_is_accepted(
    start: StartRuntime, run_id: str
) -> None:
    runtime = await start(echo)

    handle = await runtime.submit(RunSpec(b"x", run_id=run_id))

    assert handle.run_id == run_id
    assert (await handle.outcome(timeout=20)).run_id == run_id


async def test_generated_run_ids_differ_and_keep_the_rule(start: StartRuntime) -> None:
    runtime = await start(echo)

    ids = [handle.run_id for handle in await runtime.submit_many([RunSpec(b"")] * 50)]
    ids.append((await runtime.submit(RunSpec(b""))).run_id)

    assert len(set(ids)) == 51
    assert all(0 < len(run_id) <= 128 for run_id in ids)
    assert all(set(run_id) <= set("-_") | set(filter(str.isalnum, run_id)) for run_id in ids)


async def test_headers_reach_every_step_and_the_hook_without_reserved_keys(
    start: StartRuntime,
) -> None:
    seen: list[dict[str, str]] = []
    hook = RecordingHook()
    headers = {"tenant": "7", "callback_url": "https://example.com", "workflows": "not reserved"}

    async def runner(step: Step) -> StepOutcome:
        seen.append(step.headers)
        return StepOutcome.Continue(b"") if step.step_number < 2 else StepOutcome.Succeed(b"")

    runtime = await start(runner, hook=hook)
    handle = await runtime.submit(RunSpec(b"", headers=headers))
    outcome = await handle.outcome(timeout=20)

    assert seen == [headers] * 3
    assert outcome.headers == headers
    assert (await hook.told()).headers == headers


@pytest.mark.parametrize("key", ["\uff57orkflow.step", "workflow\u2024step", "work\ufb02ow.x"])
def test_a_header_that_only_looks_reserved_is_refused(key: str) -> None:
    with pytest.raises(ReservedHeaderError, match=r"workflow\."):
        RunSpec(b"", headers={key: "x"})


@pytest.mark.parametrize(
    "key",
    [
        HEADER_RUN_ID,
        HEADER_STEP,
        "workflow.",
        "workflow.mine",
        "Workflow.Run_Id",
        "WORKFLOW.STEP",
        " workflow.step",
        "\tworkflow.run_id ",
    ],
)
async def test_a_reserved_header_is_refused_and_nothing_is_submitted(
    queue: Queue, start: StartRuntime, key: str
) -> None:
    assert key.strip().lower().startswith(RESERVED_HEADER_PREFIX)
    runtime = await start(echo)

    with pytest.raises(ReservedHeaderError, match=re.escape(key.strip())):
        await runtime.submit_many(
            [RunSpec(b"", run_id="fine"), RunSpec(b"", run_id="bad", headers={key: "x"})]
        )

    with pytest.raises(RunNotFoundError):
        await runtime.handle("fine").outcome(timeout=20)


async def test_a_step_claimed_as_a_job_carries_its_run_and_number(queue: Queue) -> None:
    runtime = WorkflowRuntime(queue, echo)
    await runtime.submit(RunSpec(b"in", run_id="run-1", headers={"k": "v"}))

    claim = await claim_one(queue, "workflow")

    assert claim.headers == {"k": "v", HEADER_RUN_ID: "run-1", HEADER_STEP: "0"}
    assert (HEADER_RUN_ID, HEADER_STEP) == ("workflow.run_id", "workflow.step")


async def test_submitting_a_live_run_again_with_the_same_input_changes_nothing(
    start: StartRuntime,
) -> None:
    gate = asyncio.Event()
    delivery_count = 0

    async def runner(step: Step) -> StepOutcome:
        nonlocal delivery_count
        delivery_count += 1
        await gate.wait()
        return StepOutcome.Succeed(step.payload)

    runtime = await start(runner)
    first = await runtime.submit(RunSpec(b"in", run_id="run"))
    second = await runtime.submit(RunSpec(b"in", run_id="run"))
    gate.set()
    outcomes = [await handle.outcome(timeout=20) for handle in (first, second)]

    assert (first.newly_submitted, second.newly_submitted) == (True, False)
    assert outcomes[0] == outcomes[1]
    assert delivery_count == 1


async def test_submitting_an_ended_run_again_gives_its_end(start: StartRuntime) -> None:
    delivery_count = 0

    async def runner(step: Step) -> StepOutcome:
        nonlocal delivery_count
        delivery_count += 1
        return StepOutcome.Succeed(b"%d" % delivery_count)

    runtime = await start(runner)
    await (await runtime.submit(RunSpec(b"in", run_id="run"))).outcome(timeout=20)

    again = await runtime.submit(RunSpec(b"in", run_id="run"))

    assert again.newly_submitted is False
    assert (await again.outcome(timeout=20)).result == b"1"


@pytest.mark.parametrize("ended", [False, True], ids=["live", "ended"])
async def test_submitting_a_known_run_with_another_input_is_refused(
    start: StartRuntime, ended: bool
) -> None:
    gate = asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        await gate.wait()
        return StepOutcome.Succeed(step.payload)

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(b"in", run_id="run"))
    if ended:
        gate.set()
        await handle.outcome(timeout=20)

    with pytest.raises(InputMismatchError, match="run"):
        await runtime.submit(RunSpec(b"other", run_id="run"))

    gate.set()
    assert (await handle.outcome(timeout=20)).result == b"in"


async def test_a_run_may_be_submitted_anew_once_its_retention_has_passed(
    start: StartRuntime,
) -> None:
    runtime = await start(echo, run_retention=0.05)
    await (await runtime.submit(RunSpec(b"first", run_id="run"))).outcome(timeout=20)

    async with asyncio.timeout(20):
        while True:
            try:
                handle = await runtime.submit(RunSpec(b"second", run_id="run"))
                break
            except InputMismatchError:
                await asyncio.sleep(0.01)

    assert handle.newly_submitted is True
    assert (await handle.outcome(timeout=20)).result == b"second"


async def test_concurrent_submissions_of_one_run_are_one_run(start: StartRuntime) -> None:
    runtime = await start(echo)
    specs = [RunSpec(b"in", run_id="run") for _ in range(20)]

    handles = await asyncio.gather(*(runtime.submit(spec) for spec in specs))

    assert [handle.newly_submitted for handle in handles].count(True) == 1


async def test_an_unknown_run_is_named_in_the_error(start: StartRuntime) -> None:
    runtime = await start(echo)

    with pytest.raises(RunNotFoundError, match="nobody") as caught:
        await runtime.handle("nobody").outcome(timeout=20)

    assert isinstance(caught.value, LookupError)


async def test_submit_many_is_all_or_none_and_keeps_the_order(start: StartRuntime) -> None:
    runtime = await start(echo)
    too_large = RunSpec(bytes(64 * 1024 * 1024 + 1), run_id="large")

    with pytest.raises(PayloadTooLargeError):
        await runtime.submit_many([RunSpec(b"a", run_id="a"), too_large])

    with pytest.raises(RunNotFoundError):
        await runtime.handle("a").outcome(timeout=20)
    handles = await runtime.submit_many([RunSpec(b"", run_id=f"r{n}") for n in range(10)])
    assert [handle.run_id for handle in handles] == [f"r{n}" for n in range(10)]


async def test_more_runs_than_one_commit_carries_are_refused(start: StartRuntime) -> None:
    runtime = await start(echo)

    with pytest.raises(BatchTooLargeError, match="10000"):
        await runtime.submit_many([RunSpec(b"")] * 10_001)


async def test_runs_start_by_priority(queue: Queue, start: StartRuntime) -> None:
    order: list[str] = []

    async def runner(step: Step) -> StepOutcome:
        order.append(step.run_id)
        return StepOutcome.Succeed(b"")

    submitter = WorkflowRuntime(queue, runner)
    handles = await submitter.submit_many(
        [
            RunSpec(b"", run_id="low", priority=10_000),
            RunSpec(b"", run_id="normal"),
            RunSpec(b"", run_id="high", priority=100),
        ]
    )
    runtime = await start(runner, concurrency=1)
    for handle in handles:
        await runtime.handle(handle.run_id).outcome(timeout=20)

    assert order == ["high", "normal", "low"]


async def test_a_run_may_start_later(queue: Queue, start: StartRuntime) -> None:
    runtime = await start(echo)
    run_at = datetime.now(UTC) + timedelta(hours=1)

    handle = await runtime.submit(RunSpec(b"", run_at=run_at))

    with pytest.raises(TimeoutError):
        await handle.outcome(timeout=0.05)
    assert (await queue.stats()).queues["workflow"].scheduled_count == 1


async def test_runs_of_one_queue_name_are_not_seen_by_the_runtime_of_another(
    start: StartRuntime,
) -> None:
    async def wrong(step: Step) -> StepOutcome:
        raise AssertionError(f"step of {step.run_id} came to the wrong runtime")

    await start(wrong, queue_name="b")
    runtime = await start(echo, queue_name="a")

    outcome = await (await runtime.submit(RunSpec(b"mine"))).outcome(timeout=20)

    assert outcome.result == b"mine"


async def test_a_plain_job_in_the_workflow_queue_does_not_stop_the_runs(
    queue: Queue, start: StartRuntime
) -> None:
    delivered: list[Any] = []

    async def runner(step: Step) -> StepOutcome:
        delivered.append(step.run_id)
        return StepOutcome.Succeed(b"")

    await queue.enqueue("workflow", b"no step", EnqueueOptions(max_attempts=1))
    runtime = await start(runner)

    outcome = await (await runtime.submit(RunSpec(b"", run_id="run"))).outcome(timeout=20)

    assert outcome.result == b""
    assert delivered == ["run"]
