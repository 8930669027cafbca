"""`ChaosStore`: it fails as it was told to, and a queue on it loses nothing."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from taquba import MemoStore, OpenOptions, Queue, QueueReader
from taquba.exceptions import (
    ArgumentTypeError,
    CorruptedError,
    InvalidArgumentError,
    InvalidStoreError,
    StorePermissionError,
    StoreUnavailableError,
)
from taquba.store import LocalStore, MemoryStore
from taquba.testing import ChaosStore, Fault, FaultRule

JOB_COUNT = 12


async def work_through(store: ChaosStore) -> None:
    """Has jobs enqueued, and acked by the next owner. The store is calm while it is opened."""
    store.calm()
    async with Queue.open(store) as queue:
        store.resume()
        for number in range(JOB_COUNT):
            await queue.enqueue("jobs", b"%d" % number)
        store.calm()
    async with Queue.open(store) as queue:
        store.resume()
        payloads = []
        while (claim := await queue.claim("jobs")) is not None:
            payloads.append(claim.payload)
            await queue.ack(claim)
        store.calm()
        assert payloads == [b"%d" % number for number in range(JOB_COUNT)]
        assert (await queue.stats()).queues["jobs"].acked_total == JOB_COUNT


async def test_a_store_without_faults_is_the_one_below_it() -> None:
    below = MemoryStore()
    async with Queue.open(ChaosStore(below)) as queue:
        job_id = await queue.enqueue("jobs", b"hello")

    async with Queue.open(below) as queue:
        assert (await queue.get_job(job_id)).payload == b"hello"


@pytest.mark.timeout(120)
@pytest.mark.taquba_seeds(2)
@pytest.mark.parametrize("fault", ["fail_before", "fail_after", "conflict_own", "latency"])
async def test_a_queue_loses_nothing(fault: Fault, taquba_seed: int) -> None:
    # At least 24 commits follow each other, so that none is hit has odds of 1 in 200,000.
    store = ChaosStore(faults={fault: 0.4}, seed=taquba_seed)

    await work_through(store)

    assert store.counts().get(fault, 0) > 0
    assert set(store.counts()) == {fault}


async def test_a_rule_says_how_often_where_and_to_what() -> None:
    rule = FaultRule(at_most=2, operations=["put"], paths=["/wal/"])
    store = ChaosStore(faults={"fail_after": rule, "hang": FaultRule(at_most=0)})

    await work_through(store)

    assert store.counts() == {"fail_after": 2}


async def test_the_same_seed_gives_the_same_faults_to_the_same_requests() -> None:
    async def counts(seed: int) -> tuple[dict[str, int], int]:
        store = ChaosStore(faults={"fail_before": 0.3, "fail_after": 0.3}, seed=seed)
        memos = MemoStore(store, "p")
        failed = 0
        for number in range(20):
            try:
                await memos.new_memo("run", number).put("key", b"value")
            except StoreUnavailableError:
                failed += 1
        await memos.close()
        return store.counts(), failed

    seen = [await counts(seed) for seed in (1, 1, 2, 3, 4)]

    assert seen[0] == seen[1]
    assert len({str(each) for each in seen}) > 1


async def test_a_denied_store_refuses_until_it_is_calm() -> None:
    store = ChaosStore()
    store.deny(timedelta(hours=1))

    with pytest.raises(StorePermissionError):
        await Queue.open(store, options=OpenOptions(store_timeout=5))

    store.calm()
    async with Queue.open(store) as queue:
        await queue.enqueue("jobs", b"")
    assert store.counts()["deny_403"] > 0


async def test_a_store_that_hangs_is_given_up_on() -> None:
    store = ChaosStore(faults={"hang": 1.0}, hang_limit=3_600)
    begun = time.monotonic()

    with pytest.raises(StoreUnavailableError):
        await Queue.open(store, options=OpenOptions(store_timeout=0.3))

    assert time.monotonic() - begun < 20


async def test_a_rotten_object_is_named() -> None:
    below = MemoryStore()
    async with Queue.open(below) as queue:
        await queue.enqueue("jobs", b"x" * 1_000)
    store = ChaosStore(below, faults={"rot": FaultRule(paths=["manifest"])})

    with pytest.raises(CorruptedError):
        await Queue.open(store)


async def test_a_reader_and_memos_take_it_too() -> None:
    store = ChaosStore(seed=5)
    async with Queue.open(store) as queue:
        await queue.enqueue("jobs", b"")
        async with QueueReader.open(store) as reader:
            assert await reader.list_queues() == ["jobs"]

    assert store.request_count() > 0
    assert repr(store).endswith("seed=5)")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"faults": {"no_such": 0.1}}, "`no_such`|no_such"),
        ({"faults": {"hang": 1.5}}, "`odds`"),
        ({"faults": {"hang": float("nan")}}, "`odds`"),
        ({"seed": -1}, "`seed`"),
        ({"latency": (2, 1)}, "`latency`"),
        ({"hang_limit": -1}, "`hang_limit`"),
        ({"requests_per_second": 0}, "`requests_per_second`"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidArgumentError, match=match):
        ChaosStore(**arguments)


def test_a_rule_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="`operations`"):
        FaultRule(operations="put")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="operations"):
        ChaosStore(faults={"hang": FaultRule(operations=["pat"])})  # type: ignore[list-item]
    with pytest.raises(ArgumentTypeError, match="`odds`"):
        FaultRule("often")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="`at_most`"):
        FaultRule(at_most=-1)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    for store in (tmp_path, str(tmp_path), f"file://{tmp_path}", LocalStore(tmp_path)):
        with pytest.raises(InvalidStoreError, match="directory"):
            ChaosStore(store)
    with pytest.raises(InvalidStoreError):
        ChaosStore(42)  # type: ignore[arg-type]
