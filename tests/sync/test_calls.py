"""Blocking calls: the whole API from plain threads, each call leaving the interpreter to others."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taquba import (
    Effects,
    EnqueueOptions,
    JobCancelled,
    JobState,
    MockClock,
    OpenOptions,
    QueueConfig,
    RetryJitter,
    sync,
)
from taquba.exceptions import ClaimLostError, ClosedError, InvalidQueueNameError, JobNotFoundError
from taquba.store import MemoryStore

WAIT_SECONDS_MAX = 20.0
CONFIG = QueueConfig(retry_backoff_base=0, retry_jitter=RetryJitter.NONE)
OPTIONS = OpenOptions(fsync=False, default_queue_config=CONFIG)


@pytest.fixture
def queue() -> Iterator[sync.Queue]:
    """An open queue in memory."""
    with sync.Queue.open(MemoryStore(), options=OPTIONS) as queue:
        yield queue


def test_a_job_s_life_without_a_single_await(queue: sync.Queue) -> None:
    job_id = queue.enqueue("emails", b"x", EnqueueOptions(headers={"k": "v"}))
    claim = queue.claim("emails", lease=60.0)
    assert claim is not None
    assert (claim.job_id, claim.payload, claim.attempts) == (job_id, b"x", 1)
    queue.renew(claim, 60.0)
    queue.ensure_at_least(claim, 120.0)
    queue.nack(claim, "again")

    [claim] = queue.claim_batch("emails", 10)
    queue.ack_with(claim, Effects().enqueue("invoices", b"y").kv_put("sent", b"yes"))

    assert queue.kv_get("sent") == b"yes"
    follow_up = queue.claim_with_wait("invoices", timeout=WAIT_SECONDS_MAX)
    assert follow_up is not None
    queue.dead_letter(follow_up, "no")
    [dead] = queue.dead_jobs("invoices").jobs
    queue.requeue_dead_job(dead.job_id)
    assert queue.cancel(dead.job_id) is JobCancelled.REMOVED
    assert queue.list_queues() == ["emails", "invoices"]
    assert queue.stats().queues["emails"].acked_total == 1


def test_the_rest_of_the_calls(queue: sync.Queue) -> None:
    ids = queue.enqueue_batch("emails", [b"0", b"1", b"2"])
    later = queue.enqueue("emails", b"later", EnqueueOptions(delay=3600))
    queue.wake_scheduled(later)
    assert [job.job_id for job in queue.list_jobs("emails", JobState.PENDING).jobs] == [
        *ids,
        later,
    ]
    first, second, third, _ = queue.claim_batch("emails", 4)
    queue.ack(first)
    queue.nack_with(second, "again", Effects().kv_put("a", b"1"))
    queue.dead_letter_with(third, "no", Effects().kv_put("b", b"2"))
    [attempt] = queue.attempt_history(third.job_id)
    assert attempt.error == "no"
    assert queue.get_job(third.job_id).state is JobState.DEAD
    assert queue.purge_dead("emails") == 1

    queue.kv_put("c", b"3")
    assert queue.kv_compare_put("c", b"3", b"4")
    assert not queue.kv_compare_delete("c", b"3")
    queue.kv_delete("a")
    assert list(queue.kv_scan().entries) == [("b", b"2"), ("c", b"4")]
    owner = queue.owner()
    assert owner is not None
    assert owner.is_alive


def test_errors_are_the_same_and_show_where_the_call_was_made(queue: sync.Queue) -> None:
    with pytest.raises(InvalidQueueNameError):
        queue.enqueue("a b", b"")
    queue.enqueue("emails", b"x")
    [claim] = queue.claim_batch("emails")
    queue.ack(claim)
    with pytest.raises(ClaimLostError, match=claim.job_id) as caught:
        queue.ack(claim)
    assert any(str(entry.path).endswith("test_calls.py") for entry in caught.traceback)
    with pytest.raises(JobNotFoundError):
        queue.get_job(claim.job_id)


def test_a_closed_queue_says_so_and_closing_again_is_fine() -> None:
    queue = sync.Queue.open("memory://")
    queue.close()
    queue.close()

    with pytest.raises(ClosedError, match="open it again"):
        queue.enqueue("emails", b"")


def test_threads_share_a_queue_and_its_commits(queue: sync.Queue) -> None:
    queue.enqueue("emails", b"first")
    before = queue.stats().commit_count
    all_here = threading.Barrier(32, timeout=WAIT_SECONDS_MAX)

    def enqueue(number: int) -> list[str]:
        all_here.wait()
        return [queue.enqueue("emails", b"%d" % number) for _ in range(10)]

    with ThreadPoolExecutor(32) as pool:
        ids = {job_id for batch in pool.map(enqueue, range(32)) for job_id in batch}

    stats = queue.stats()
    assert len(ids) == 320
    assert stats.queues["emails"].pending_count == 321
    assert stats.commit_count - before < 320


def test_of_concurrent_conditional_writes_none_is_lost(queue: sync.Queue) -> None:
    def add(_: int) -> None:
        for _ in range(10):
            while True:
                found = queue.kv_get("counter")
                value = b"%d" % (int(found or b"0") + 1)
                if queue.kv_compare_put("counter", found, value):
                    break

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))

    assert queue.kv_get("counter") == b"80"


def test_a_waiting_call_leaves_the_interpreter_to_others(queue: sync.Queue) -> None:
    counted = 0
    claimed = threading.Event()

    def wait_for_a_job() -> None:
        claim = queue.claim_with_wait("emails", timeout=WAIT_SECONDS_MAX)
        assert claim is not None
        claimed.set()

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(wait_for_a_job) for _ in range(4)]
        # Were a waiting thread to hold the interpreter, this loop would not get far.
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            counted += 1
        assert not claimed.is_set()
        queue.enqueue_batch("emails", [b"x"] * 4)
        for one in waiting:
            one.result(WAIT_SECONDS_MAX)

    assert counted > 10_000


def test_a_reader_reads_beside_the_owner(tmp_path: Path) -> None:
    with sync.Queue.open(tmp_path, options=OPTIONS) as queue:
        job_id = queue.enqueue("emails", b"x")
        queue.kv_put("k", b"v")
        with sync.QueueReader.open(tmp_path) as reader:
            assert reader.stats().queues["emails"].pending_count == 1
            assert reader.get_job(job_id).payload == b"x"
            assert reader.kv_get("k") == b"v"
            owner = reader.owner()
            assert owner is not None
            assert owner.is_alive
        assert queue.claim("emails") is not None


def test_a_mock_clock_moves_a_blocking_queue() -> None:
    clock = MockClock()
    options = OpenOptions(clock=clock)
    with sync.Queue.open("memory://", options=options) as queue:
        queue.enqueue("emails", b"x", EnqueueOptions(delay=86_400))
        assert queue.claim("emails") is None

        clock.advance(86_400)

        assert queue.claim_with_wait("emails", timeout=60.0) is not None


def test_two_queues_are_open_at_once() -> None:
    with sync.Queue.open("memory://") as first, sync.Queue.open("memory://") as second:
        first.enqueue("emails", b"x")

        assert second.claim("emails") is None
        assert first.claim("emails") is not None


def test_a_queue_is_opened_used_and_closed_by_different_threads(tmp_path: Path) -> None:
    def in_thread(call: "object") -> object:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(call).result(WAIT_SECONDS_MAX)  # type: ignore[arg-type]

    queue = in_thread(lambda: sync.Queue.open(tmp_path, options=OPTIONS))
    assert isinstance(queue, sync.Queue)
    in_thread(lambda: queue.enqueue("emails", b"x"))
    assert in_thread(lambda: len(queue.claim_batch("emails", 5))) == 1
    in_thread(queue.close)
