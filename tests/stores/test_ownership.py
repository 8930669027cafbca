"""One owner per store: opening it takes ownership, and the owner before learns it."""

import asyncio
from pathlib import Path

import pytest

from taquba import OpenOptions, Queue
from taquba.exceptions import FencedError, Recovery
from taquba.store import MemoryStore
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.conftest import Store
from tests.waiting import drain

pytestmark = pytest.mark.timeout(30)
FAST = OpenOptions(fsync=False)


async def test_the_previous_owner_is_fenced_at_its_next_commit(store: Store) -> None:
    first = await Queue.open(store, options=FAST)
    await first.enqueue("emails", b"before")
    [claim] = await first.claim_batch("emails", 1, lease=3600.0)
    second = await Queue.open(store, options=FAST)

    with pytest.raises(FencedError, match="another process") as caught:
        await first.ack(claim)

    assert caught.value.recovery is Recovery.REOPEN
    # What the first owner had claimed is the second one's now, and its ack was not applied.
    assert [claim.payload for claim in await drain(second, "emails")] == [b"before"]
    await second.close()


async def test_a_fenced_owner_fails_every_later_call(store: Store) -> None:
    first = await Queue.open(store, options=FAST)
    second = await Queue.open(store, options=FAST)
    with pytest.raises(FencedError):
        await first.enqueue("emails", b"x")

    for call in (
        lambda: first.enqueue("emails", b"y"),
        lambda: first.enqueue_batch("emails", [b"y"]),
        lambda: first.claim_batch("emails", 1, lease=1.0),
        lambda: first.stats(),
    ):
        with pytest.raises(FencedError):
            await call()

    assert await drain(second, "emails") == []
    await second.close()


async def test_everyone_who_waits_for_the_fenced_owner_is_told(store: Store) -> None:
    first = await Queue.open(store, options=FAST)
    second = await Queue.open(store, options=FAST)

    results = await asyncio.gather(
        *(first.enqueue("emails", b"%d" % n) for n in range(50)), return_exceptions=True
    )

    assert [type(result) for result in results] == [FencedError] * 50
    assert await drain(second, "emails") == []
    await second.close()


async def test_the_store_can_be_taken_back(store: Store) -> None:
    first = await Queue.open(store, options=FAST)
    second = await Queue.open(store, options=FAST)
    await second.enqueue("emails", b"from the second")
    third = await Queue.open(store, options=FAST)

    with pytest.raises(FencedError):
        await second.enqueue("emails", b"too late")
    with pytest.raises(FencedError):
        await first.enqueue("emails", b"much too late")

    delivered = [claim.payload for claim in await drain(third, "emails")]
    assert delivered == [b"from the second"]
    await third.close()


async def test_opening_ten_times_at_once_leaves_exactly_one_owner(tmp_path: Path) -> None:
    opened = await asyncio.gather(
        *(Queue.open(tmp_path, options=FAST) for _ in range(10)), return_exceptions=True
    )
    queues = [queue for queue in opened if isinstance(queue, Queue)]
    results = await asyncio.gather(
        *(queue.enqueue("emails", b"x") for queue in queues), return_exceptions=True
    )

    assert all(isinstance(queue, Queue | FencedError) for queue in opened)
    assert sum(isinstance(result, str) for result in results) == 1
    assert all(isinstance(result, str | FencedError) for result in results)
    async with Queue.open(tmp_path, options=FAST) as queue:
        assert len(await drain(queue, "emails")) == 1


async def test_a_fenced_runtime_stops_with_the_error_and_its_run_goes_on_elsewhere() -> None:
    store = MemoryStore()
    started = asyncio.Event()
    release = asyncio.Event()

    async def slow(step: Step) -> StepOutcome:
        started.set()
        await release.wait()
        return StepOutcome.Succeed(b"first owner")

    async def quick(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"second owner")

    first = await Queue.open(store)
    with pytest.raises(FencedError):
        async with WorkflowRuntime(first, slow) as runtime:
            handle = await runtime.submit(RunSpec(b"", run_id="run"))
            await started.wait()
            async with Queue.open(store) as second, WorkflowRuntime(second, quick) as other:
                outcome = await other.handle("run").outcome(timeout=20)
                release.set()
                await handle.outcome(timeout=20)

    assert outcome.result == b"second owner"
