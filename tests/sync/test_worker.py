"""The blocking worker loop: plain functions in threads, shut down by an event."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from taquba import (
    Claim,
    Effects,
    JobState,
    OpenOptions,
    PermanentFailure,
    QueueConfig,
    RetryJitter,
    sync,
)
from taquba.exceptions import ArgumentTypeError, FencedError
from taquba.store import MemoryStore
from taquba.sync import _loop
from taquba.sync._inspect import close_unseen
from taquba.sync._queue import _opened

WAIT_SECONDS_MAX = 20.0
CONFIG = QueueConfig(retry_backoff_base=0, retry_jitter=RetryJitter.NONE)
OPTIONS = OpenOptions(fsync=False, default_queue_config=CONFIG)


@pytest.fixture
def queue() -> Iterator[sync.Queue]:
    """An open queue in memory."""
    with sync.Queue.open(MemoryStore(), options=OPTIONS) as queue:
        yield queue


class Sender:
    """Counts, and ends the loop after so many jobs."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.payloads: list[bytes] = []
        self.threads: set[int] = set()
        self.shutdown = threading.Event()
        self._lock = threading.Lock()

    def process(self, job: Claim) -> Effects | None:
        """Does a job."""
        with self._lock:
            self.payloads.append(job.payload)
            self.threads.add(threading.get_ident())
            self.left -= 1
            if self.left == 0:
                self.shutdown.set()
        return Effects().kv_put(f"sent/{job.payload.decode()}", b"yes")


def test_a_worker_does_all_jobs_in_threads_and_returns(queue: sync.Queue) -> None:
    payloads = [b"%d" % n for n in range(100)]
    queue.enqueue_batch("emails", payloads)
    sender = Sender(len(payloads))

    sync.run_worker(queue, "emails", sender, concurrency=4, shutdown=sender.shutdown)

    assert sorted(sender.payloads) == sorted(payloads)
    assert threading.get_ident() not in sender.threads
    assert 1 <= len(sender.threads) <= 4
    # What was settled is durable when the loop returns.
    assert queue.stats().queues["emails"].acked_total == len(payloads)
    assert queue.kv_get("sent/99") == b"yes"


def test_a_worker_may_use_the_queue_itself(queue: sync.Queue) -> None:
    shutdown = threading.Event()

    def send(job: Claim) -> None:
        number = int(job.payload)
        if number == 0:
            shutdown.set()
        else:
            queue.enqueue("emails", b"%d" % (number - 1))

    queue.enqueue("emails", b"5")
    sync.run_worker(queue, "emails", send, shutdown=shutdown)

    assert queue.stats().queues["emails"].acked_total == 6


def test_failures_are_told_apart(queue: sync.Queue) -> None:
    shutdown = threading.Event()
    attempts = []

    def send(job: Claim) -> None:
        if job.payload == b"permanent":
            raise PermanentFailure("never")
        attempts.append(job.attempts)
        if job.attempts < 3:
            raise ValueError("now and then")
        shutdown.set()

    queue.enqueue_batch("emails", [b"permanent", b"retried"])
    sync.run_worker(queue, "emails", send, concurrency=1, shutdown=shutdown)

    [dead] = queue.list_jobs("emails", JobState.DEAD).jobs
    assert (dead.last_error, attempts) == ("never", [1, 2, 3])


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_sys_exit_in_a_worker_fails_its_job_and_ends_nothing(
    queue: sync.Queue, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    shutdown = threading.Event()

    def send(job: Claim) -> None:
        if job.attempts == 1:
            raise error
        shutdown.set()

    queue.enqueue("emails", b"x")
    sync.run_worker(queue, "emails", send, shutdown=shutdown)

    assert f"the function raised {type(error).__name__}" in caplog.text
    assert queue.stats().queues["emails"].acked_total == 1


def test_what_ends_the_loop_behind_ends_nobody_else_s_calls(
    queue: sync.Queue, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        _loop.run(leave)

    assert queue.stats().queues == {}
    assert "came out of the event loop" in caplog.text


def test_what_came_for_an_interrupted_caller_is_given_back(queue: sync.Queue) -> None:
    queue.enqueue("emails", b"x")
    call = _loop.Call(lambda: queue.wrapped.claim("emails"), queue._give_back)  # noqa: SLF001
    call.begin()
    call.wait()

    call.withdraw()

    claim = queue.claim_with_wait("emails", timeout=WAIT_SECONDS_MAX)
    assert claim is not None
    assert claim.attempts == 1


def test_a_queue_that_opened_for_an_interrupted_caller_is_closed() -> None:
    store = MemoryStore()
    call = _loop.Call(lambda: _opened(store, "taquba", OPTIONS), close_unseen)
    call.begin()
    call.wait()
    opened = call.result()

    call.withdraw()

    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while "open" in repr(opened) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert "closed" in repr(opened)


def test_a_call_that_was_withdrawn_first_makes_no_coroutine() -> None:
    made: list[int] = []

    async def make() -> None:
        made.append(1)

    call = _loop.Call(make)
    call.withdraw()
    call.begin()
    _loop.run(asyncio.sleep, 0)

    assert made == []


def test_a_class_instead_of_a_worker_is_refused(queue: sync.Queue) -> None:
    with pytest.raises(ArgumentTypeError, match=r"`worker` .* instance"):
        sync.run_worker(queue, "emails", Sender)  # type: ignore[arg-type]


def test_a_loop_ends_within_its_bound(queue: sync.Queue) -> None:
    shutdown = threading.Event()
    release = threading.Event()

    def send(job: Claim) -> None:
        shutdown.set()
        release.wait(WAIT_SECONDS_MAX)

    queue.enqueue("emails", b"x")
    loop = threading.Thread(
        target=sync.run_worker,
        args=(queue, "emails", send),
        kwargs={"shutdown": shutdown, "shutdown_timeout": 0.05},
    )
    loop.start()
    loop.join(WAIT_SECONDS_MAX / 2)
    ended = not loop.is_alive()
    release.set()
    loop.join(WAIT_SECONDS_MAX)

    assert ended
    claim = queue.claim_with_wait("emails", timeout=WAIT_SECONDS_MAX)
    assert claim is not None
    assert claim.attempts == 2


def test_a_coroutine_is_refused_with_the_way_out(queue: sync.Queue) -> None:
    async def send(job: Claim) -> None: ...

    with pytest.raises(ArgumentTypeError, match=r"taquba\.run_worker"):
        sync.run_worker(queue, "emails", send)  # type: ignore[arg-type]


def test_a_loop_whose_store_was_taken_away_raises() -> None:
    store = MemoryStore()
    taken = threading.Event()
    started = threading.Event()

    def send(job: Claim) -> None:
        started.set()
        taken.wait(WAIT_SECONDS_MAX)

    first = sync.Queue.open(store, options=OPTIONS)
    first.enqueue("emails", b"x")
    found: list[BaseException] = []

    def work() -> None:
        try:
            sync.run_worker(first, "emails", send, shutdown_timeout=1.0)
        except FencedError as error:
            found.append(error)

    loop = threading.Thread(target=work)
    loop.start()
    assert started.wait(WAIT_SECONDS_MAX)
    with sync.Queue.open(store, options=OPTIONS) as second:
        taken.set()
        loop.join(WAIT_SECONDS_MAX)
        assert not loop.is_alive()
        assert second.claim("emails") is not None
    assert len(found) == 1
