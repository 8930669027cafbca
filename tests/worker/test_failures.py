"""Workers that fail: retried, given up, timed out, and never the end of the loop."""

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable

import pytest

from taquba import (
    AttemptEnd,
    Claim,
    Effects,
    EnqueueOptions,
    PermanentFailure,
    Queue,
    QueueConfig,
    RetryJitter,
    run_worker,
)
from tests.conftest import OpenQueue
from tests.waiting import WAIT_SECONDS_MAX, drain
from tests.worker.working import all_acked, dead_job, working

NO_BACKOFF = QueueConfig(
    max_attempts=3, retry_backoff_base=0, retry_jitter=RetryJitter.NONE, keep_done_jobs=3600.0
)


@pytest.fixture
async def retrying_queue(open_queue: OpenQueue) -> Queue:
    """A queue whose retries do not wait."""
    return await open_queue(default_queue_config=NO_BACKOFF)


class NastyError(Exception):
    """An exception that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise RuntimeError("no text either")


class OwnTimeoutError(TimeoutError):
    """A timeout of the worker's own."""


def make_group() -> BaseException:
    """Several errors at once."""
    return ExceptionGroup("several", [ValueError("one"), KeyError("two")])


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: ValueError("the text"), "ValueError"),
        (lambda: ValueError("ü" * 10_000), "ValueError"),
        (lambda: KeyError("key"), "KeyError"),
        (lambda: OSError(28, "No space left"), "No space left"),
        (lambda: TimeoutError("of its own"), "TimeoutError"),
        (OwnTimeoutError, "OwnTimeoutError"),
        (lambda: RecursionError("deep"), "RecursionError"),
        (lambda: MemoryError("full"), "MemoryError"),
        (lambda: StopIteration("stop"), "StopIteration"),
        (lambda: StopAsyncIteration("stop"), "StopAsyncIteration"),
        (make_group, "several"),
        (NastyError, "NastyError"),
        (lambda: Exception("a\x00b\nc\ud800"), "Exception"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_job_whose_worker_raises_is_retried_and_then_given_up(
    retrying_queue: Queue, make: Callable[[], BaseException], word: str
) -> None:
    attempts: list[int] = []

    async def send(job: Claim) -> None:
        if job.payload == b"fails":
            attempts.append(job.attempts)
            raise make()

    await retrying_queue.enqueue_batch("emails", [b"fails", b"works"])
    async with working(retrying_queue, send):
        dead = await dead_job(retrying_queue)
        await all_acked(retrying_queue, 1)

    assert attempts == [1, 2, 3]
    assert word in (dead.last_error or "")


async def test_an_error_names_type_text_and_place(retrying_queue: Queue) -> None:
    async def send_the_email(job: Claim) -> None:
        raise ValueError("no such address")

    await retrying_queue.enqueue("emails", b"x", EnqueueOptions(max_attempts=1))
    async with working(retrying_queue, send_the_email):
        dead = await dead_job(retrying_queue)

    for word in ("ValueError", "no such address", "test_failures.py", "send_the_email"):
        assert word in (dead.last_error or "")


async def test_a_job_that_fails_once_is_done_at_the_next_attempt(retrying_queue: Queue) -> None:
    async def send(job: Claim) -> None:
        if job.attempts == 1:
            raise ConnectionError("refused")

    job_id = await retrying_queue.enqueue("emails", b"x")
    async with working(retrying_queue, send):
        await all_acked(retrying_queue, 1)

    history = await retrying_queue.attempt_history(job_id)
    assert [attempt.end for attempt in history] == [AttemptEnd.NACKED, AttemptEnd.ACKED]
    assert "refused" in (history[0].error or "")


async def test_a_permanent_failure_is_given_up_at_once(retrying_queue: Queue) -> None:
    attempts: list[int] = []

    async def send(job: Claim) -> None:
        attempts.append(job.attempts)
        raise PermanentFailure("the account was deleted")

    await retrying_queue.enqueue("emails", b"x")
    async with working(retrying_queue, send):
        dead = await dead_job(retrying_queue)

    assert attempts == [1]
    assert dead.last_error == "the account was deleted"


async def test_a_plain_function_fails_like_a_coroutine(retrying_queue: Queue) -> None:
    def send(job: Claim) -> None:
        if job.payload == b"permanent":
            raise PermanentFailure("never")
        raise ValueError("now and then")

    await retrying_queue.enqueue("emails", b"permanent")
    async with working(retrying_queue, send):
        assert (await dead_job(retrying_queue)).last_error == "never"
        await retrying_queue.purge_dead("emails")
        await retrying_queue.enqueue("emails", b"x")
        assert "ValueError" in ((await dead_job(retrying_queue)).last_error or "")


@pytest.mark.parametrize("returned", [0, False, b"", "text", {}, [Effects()]])
async def test_a_worker_that_returns_nonsense_is_told_and_the_loop_goes_on(
    retrying_queue: Queue, returned: object
) -> None:
    async def send(job: Claim) -> object:
        return returned if job.payload == b"nonsense" else None

    await retrying_queue.enqueue_batch("emails", [b"nonsense", b"fine"])
    async with working(retrying_queue, send):
        dead = await dead_job(retrying_queue)
        await all_acked(retrying_queue, 1)

    assert type(returned).__name__ in (dead.last_error or "")


async def test_effects_that_cannot_be_applied_fail_the_job(retrying_queue: Queue) -> None:
    async def send(job: Claim) -> Effects:
        return Effects().enqueue_batch("other", [b""] * 1001)

    await retrying_queue.enqueue("emails", b"x")
    async with working(retrying_queue, send):
        dead = await dead_job(retrying_queue)

    for word in ("1001", "1000"):
        assert word in (dead.last_error or "")
    assert "other" not in (await retrying_queue.stats()).queues


async def test_a_job_that_takes_too_long_is_interrupted_and_retried(
    retrying_queue: Queue,
) -> None:
    interrupted = 0

    async def send(job: Claim) -> None:
        nonlocal interrupted
        if job.attempts == 1:
            try:
                await asyncio.sleep(3600)
            finally:
                interrupted += 1

    job_id = await retrying_queue.enqueue("emails", b"x")
    async with working(retrying_queue, send, job_timeout=0.05):
        await all_acked(retrying_queue, 1)

    assert interrupted == 1
    history = await retrying_queue.attempt_history(job_id)
    assert [attempt.end for attempt in history] == [AttemptEnd.NACKED, AttemptEnd.ACKED]
    assert "job_timeout" in (history[0].error or "")


async def test_a_job_that_always_takes_too_long_is_given_up(retrying_queue: Queue) -> None:
    async def send(job: Claim) -> None:
        await asyncio.sleep(3600)

    await retrying_queue.enqueue("emails", b"x")
    async with working(retrying_queue, send, job_timeout=0.02):
        dead = await dead_job(retrying_queue)

    assert dead.attempts == 3
    assert "job_timeout" in (dead.last_error or "")


async def test_a_job_may_run_longer_than_its_lease(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=QueueConfig(lease_duration=0.05))
    attempts: list[int] = []

    async def send(job: Claim) -> None:
        attempts.append(job.attempts)
        await asyncio.sleep(0.4)

    await queue.enqueue("emails", b"x")
    async with working(queue, send):
        await all_acked(queue, 1)

    assert attempts == [1]


async def test_a_blocked_event_loop_loses_no_lease(open_queue: OpenQueue) -> None:
    queue = await open_queue(default_queue_config=QueueConfig(lease_duration=0.05))
    attempts: list[int] = []

    async def send(job: Claim) -> None:
        attempts.append(job.attempts)
        if job.payload == b"blocks":
            time.sleep(0.5)  # noqa: ASYNC251 - the loop is to be blocked

    await queue.enqueue_batch("emails", [b"blocks", b"waits", b"waits"])
    async with working(queue, send, concurrency=3):
        await all_acked(queue, 3)

    assert attempts == [1, 1, 1]


async def test_a_job_that_outlives_its_timeout_in_a_thread_is_retried(
    retrying_queue: Queue,
) -> None:
    def send(job: Claim) -> None:
        if job.attempts == 1:
            time.sleep(0.3)

    await retrying_queue.enqueue("emails", b"x")
    async with working(retrying_queue, send, job_timeout=0.05, concurrency=2):
        await all_acked(retrying_queue, 1)


async def test_a_function_that_outlives_its_timeout_takes_no_thread_from_others(
    retrying_queue: Queue,
) -> None:
    release = threading.Event()

    def send(job: Claim) -> None:
        if job.payload == b"hangs":
            release.wait(WAIT_SECONDS_MAX)

    once = EnqueueOptions(priority=1, max_attempts=1)
    await retrying_queue.enqueue("emails", b"hangs", once)
    await retrying_queue.enqueue_batch("emails", [b"x"] * 20)
    try:
        async with working(retrying_queue, send, job_timeout=0.1, concurrency=1):
            await all_acked(retrying_queue, 20)
    finally:
        release.set()

    assert (await dead_job(retrying_queue)).priority == 1


async def test_functions_that_never_end_end_the_loop_with_a_clear_error(
    open_queue: OpenQueue,
) -> None:
    queue = await open_queue(default_queue_config=QueueConfig(max_attempts=1))
    release = threading.Event()
    count = 0

    def send(job: Claim) -> None:
        nonlocal count
        count += 1
        release.wait(WAIT_SECONDS_MAX)

    await queue.enqueue_batch("emails", [b"x"] * 6)
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            with pytest.raises(RuntimeError, match=r"`emails`: 4 .*4 x `concurrency`.* timeout"):
                await run_worker(queue, "emails", send, concurrency=1, job_timeout=0.02)
    finally:
        release.set()

    stats = (await queue.stats()).queues["emails"]
    assert (count, stats.dead_count) == (4, 4)
    # Those that found no thread were not begun.
    assert [claim.attempts for claim in await drain(queue, "emails")] == [1, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SystemExit(3),
        lambda: KeyboardInterrupt("k"),
        lambda: GeneratorExit("g"),
        lambda: StopIteration("s"),
        lambda: asyncio.CancelledError("c"),
        lambda: concurrent.futures.CancelledError("c"),
        lambda: BaseExceptionGroup("several", [SystemExit(1)]),
    ],
    ids=lambda make: type(make()).__name__,
)
async def test_whatever_a_plain_function_raises_fails_its_job_only(
    retrying_queue: Queue, make: Callable[[], BaseException]
) -> None:
    def send(job: Claim) -> None:
        if job.payload == b"fails":
            raise make()

    await retrying_queue.enqueue_batch("emails", [b"fails", b"works"])
    async with working(retrying_queue, send):
        dead = await dead_job(retrying_queue)
        await all_acked(retrying_queue, 1)

    assert dead.attempts == 3
    assert f"the function raised {type(make()).__name__}" in (dead.last_error or "")


async def test_a_permanent_failure_needs_no_reason(retrying_queue: Queue) -> None:
    async def send(job: Claim) -> None:
        raise PermanentFailure

    await retrying_queue.enqueue("emails", b"x")
    async with working(retrying_queue, send):
        dead = await dead_job(retrying_queue)

    assert (dead.attempts, dead.last_error) == (1, "the worker gave no reason")


@pytest.mark.parametrize(
    "make",
    [
        asyncio.CancelledError,
        lambda: BaseExceptionGroup("several", [SystemExit(1)]),
        GeneratorExit,
    ],
    ids=["cancelled", "group", "generator"],
)
async def test_a_worker_that_raises_what_looks_like_an_interruption_fails(
    retrying_queue: Queue, caplog: pytest.LogCaptureFixture, make: Callable[[], BaseException]
) -> None:
    attempts: list[int] = []

    async def send(job: Claim) -> None:
        attempts.append(job.attempts)
        if job.attempts == 1:
            raise make()

    job_id = await retrying_queue.enqueue("emails", b"x")
    async with working(retrying_queue, send), asyncio.timeout(WAIT_SECONDS_MAX):
        await all_acked(retrying_queue, 1)

    assert attempts == [1, 2]
    history = await retrying_queue.attempt_history(job_id)
    assert [attempt.end for attempt in history] == [AttemptEnd.NACKED, AttemptEnd.ACKED]
    assert type(make()).__name__ in (history[0].error or "")
    assert f"job {job_id} failed on attempt 1" in caplog.text
