"""From the end of a run to its receiver, and many receivers beside each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from taquba import (
    Effects,
    EnqueueOptions,
    JobState,
    NewJob,
    Queue,
    QueueConfig,
    RetryJitter,
    RunSpec,
    Step,
    StepOutcome,
    TerminalStatus,
    WorkflowRuntime,
    run_worker,
)
from taquba.exceptions import InvalidArgumentError, RunNotFoundError
from taquba.webhooks import WebhookTerminalHook, WebhookWorker, _gates, verify
from tests.conftest import OpenQueue
from tests.waiting import WAIT_SECONDS_MAX, eventually
from tests.webhooks.conftest import SECRET, job_for, worker_for
from tests.webhooks.receiver import LOOPBACK, Receiver, answer, receiving

QUICK = QueueConfig(
    retry_backoff_base=0.001, retry_backoff_max=0.001, retry_jitter=RetryJitter.NONE
)


@pytest.fixture
async def queue(open_queue: OpenQueue) -> Queue:
    """An open queue whose retries come at once."""
    return await open_queue(default_queue_config=QUICK)


@asynccontextmanager
async def delivering(
    queue: Queue, worker: WebhookWorker, concurrency: int = 64
) -> AsyncIterator[None]:
    """The worker loop of the queue `webhooks`."""
    shutdown = asyncio.Event()
    loop = asyncio.create_task(
        run_worker(
            queue,
            "webhooks",
            worker,
            shutdown=shutdown,
            concurrency=concurrency,
            shutdown_timeout=0.1,
        )
    )
    try:
        yield
    finally:
        shutdown.set()
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await loop


def hook_for(queue: Queue, receiver: Receiver, **options: Any) -> WebhookTerminalHook:
    """A hook that may send to a receiver."""
    settings = {"allow_http": True, "allow_networks": LOOPBACK, "ports": receiver.ports}
    return WebhookTerminalHook(queue, "webhooks", **{**settings, **options})


async def end_as_asked(step: Step) -> Any:
    """Ends the run in the way that its input names."""
    return {
        b"succeed": StepOutcome.Succeed(b"\0result\xff"),
        b"fail": StepOutcome.Fail("reäson"),
        b"cancel": StepOutcome.Cancel(""),
    }[step.payload]


@pytest.mark.parametrize(
    ("way", "status", "body", "content_type"),
    [
        (b"succeed", "succeeded", b"\0result\xff", "application/octet-stream"),
        (b"fail", "failed", "reäson".encode(), "text/plain; charset=utf-8"),
        (b"cancel", "cancelled", b"", "text/plain; charset=utf-8"),
    ],
)
async def test_the_end_of_a_run_is_delivered(
    queue: Queue, way: bytes, status: str, body: bytes, content_type: str
) -> None:
    async with receiving(answer(204)) as receiver:
        worker = worker_for(receiver, secrets={"key-1": SECRET})
        runtime = WorkflowRuntime(queue, end_as_asked, hook_for(queue, receiver))
        async with runtime, delivering(queue, worker):
            headers = {"callback_url": receiver.url}
            await runtime.submit(RunSpec(way, run_id="run-1", headers=headers))
            [received] = await receiver.has_received(1)

    assert received.body == body
    assert received.headers["workflow-run-id"] == "run-1"
    assert received.headers["workflow-run-status"] == status
    assert received.headers["content-type"] == content_type
    verify(SECRET, received.headers, received.body)


async def test_a_run_that_is_cancelled_from_outside_is_delivered_too(queue: Queue) -> None:
    async with receiving(answer(200)) as receiver:
        runtime = WorkflowRuntime(queue, end_as_asked, hook_for(queue, receiver))
        headers = {"callback_url": receiver.url}
        await runtime.submit(RunSpec(b"succeed", run_id="run-1", headers=headers))
        assert await runtime.cancel("run-1")
        async with delivering(queue, worker_for(receiver)):
            [received] = await receiver.has_received(1)

    assert (received.headers["workflow-run-status"], received.body) == ("cancelled", b"")


async def test_a_repeated_attempt_has_the_same_id_and_body(queue: Queue) -> None:
    statuses = iter([503, 429, 500, 200])

    async def get_better(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(next(statuses)))

    async with receiving(get_better) as receiver:
        worker = worker_for(receiver, secrets={"key-1": SECRET})
        runtime = WorkflowRuntime(queue, end_as_asked, hook_for(queue, receiver))
        async with runtime, delivering(queue, worker):
            await runtime.submit(RunSpec(b"succeed", headers={"callback_url": receiver.url}))
            received = await receiver.has_received(4)

            async def is_done() -> bool:
                return (await queue.stats()).queues["webhooks"].acked_total == 1

            await eventually(is_done, "the delivery")

    assert len({one.headers["webhook-id"] for one in received}) == 1
    assert len({one.body for one in received}) == 1
    for one in received:
        verify(SECRET, one.headers, one.body)


async def test_the_delivery_is_there_once_the_run_was_told(queue: Queue) -> None:
    async with receiving(b"") as receiver:
        hook = hook_for(queue, receiver, timeout=7, max_attempts=4, key_id="key-1")
        async with WorkflowRuntime(queue, end_as_asked, hook) as runtime:
            headers = {"callback_url": receiver.url, "tenant": "a"}
            await runtime.submit(RunSpec(b"succeed", run_id="run-1", headers=headers))

            async def jobs() -> Any:
                return (await queue.list_jobs("webhooks")).jobs

            [job] = await eventually(jobs, "the delivery")

    assert (job.state, job.max_attempts) == (JobState.PENDING, 4)
    assert len(job.headers["webhook.id"]) == 32
    assert job.headers == {
        "webhook.id": job.headers["webhook.id"],
        "webhook.url": receiver.url,
        "webhook.run_id": "run-1",
        "webhook.run_status": "succeeded",
        "webhook.timeout": "7.0",
        "webhook.key_id": "key-1",
        "webhook.content_type": "application/octet-stream",
    }


async def test_runs_that_name_no_url_are_not_delivered(queue: Queue) -> None:
    async with receiving(answer(200)) as receiver:
        hook = hook_for(queue, receiver, statuses=[TerminalStatus.Failed])
        async with WorkflowRuntime(queue, end_as_asked, hook) as runtime:
            url = {"callback_url": receiver.url}
            for way, headers in ((b"fail", {}), (b"succeed", url), (b"cancel", url)):
                await (await runtime.submit(RunSpec(way, headers=headers))).outcome(20)

            async def nothing_is_left() -> bool:
                stats = (await queue.stats()).queues["workflow"]
                return stats.pending_count + stats.claimed_count == 0

            await eventually(nothing_is_left, "the end of all work")

    assert "webhooks" not in (await queue.stats()).queues


async def test_a_run_with_a_refused_url_is_not_submitted(queue: Queue) -> None:
    runtime = WorkflowRuntime(queue, end_as_asked, WebhookTerminalHook(queue, "webhooks"))
    headers = {"callback_url": "http://169.254.169.254/latest/meta-data/"}

    with pytest.raises(InvalidArgumentError, match="`callback_url` is refused"):
        await runtime.submit(RunSpec(b"succeed", run_id="run-1", headers=headers))

    with pytest.raises(RunNotFoundError):
        await runtime.handle("run-1").outcome(20)


async def test_a_url_that_is_refused_by_then_is_logged_and_the_run_ends(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"callback_url": "http://example.com/"}
    lenient = WebhookTerminalHook(queue, "webhooks", allow_http=True)
    await WorkflowRuntime(queue, end_as_asked, lenient).submit(
        RunSpec(b"succeed", run_id="run-1", headers=headers)
    )

    strict = WebhookTerminalHook(queue, "webhooks")
    async with WorkflowRuntime(queue, end_as_asked, strict) as runtime:
        await runtime.handle("run-1").outcome(20)

        async def is_logged() -> bool:
            return "run run-1: its end is not delivered" in caplog.text

        await eventually(is_logged, "the warning")

    assert "webhooks" not in (await queue.stats()).queues


async def test_the_hook_says_what_it_does_without_a_runtime(queue: Queue) -> None:
    async with WorkflowRuntime(queue, end_as_asked) as runtime:
        headers = {"callback_url": "https://example.com/"}
        handle = await runtime.submit(RunSpec(b"succeed", headers=headers))
        outcome = await handle.outcome(20)

    told = await WebhookTerminalHook(queue, "webhooks").on_termination(outcome)
    ignored = await WebhookTerminalHook(queue, "webhooks", url_header="x").on_termination(outcome)

    assert isinstance(told, Effects)
    assert (len(told), ignored) == (1, None)


async def test_a_silent_receiver_does_not_hold_up_the_others(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gates, "_WAIT_SECONDS", 0.05)

    async def stay_silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with receiving(stay_silent) as silent, receiving(answer(200)) as good:
        worker = worker_for(silent, good, timeout=60, host_concurrency=2)
        jobs: list[NewJob] = [job_for(silent)] * 40
        jobs += [job_for(good, url=good.same_under_another_name)] * 10
        await queue.enqueue_batch("webhooks", jobs)
        async with delivering(queue, worker, concurrency=4):
            await good.has_received(10)

    assert silent.connection_count == 2


async def test_a_burst_for_one_receiver_arrives_without_using_up_attempts(queue: Queue) -> None:
    async with receiving(answer(200)) as receiver:
        job = job_for(receiver, options=EnqueueOptions(max_attempts=1))
        await queue.enqueue_batch("webhooks", [job] * 200)
        async with delivering(queue, worker_for(receiver, host_concurrency=4)):

            async def is_done() -> bool:
                return (await queue.stats()).queues["webhooks"].acked_total == 200

            await eventually(is_done, "200 deliveries")

    assert len(receiver.received) == 200
    assert (await queue.stats()).queues["webhooks"].dead_total == 0


async def test_webhooks_of_two_stores_that_count_alike_have_different_ids() -> None:
    async with receiving(answer(200)) as receiver:
        for count in (2, 4):
            async with Queue.open("memory://") as queue:
                runtime = WorkflowRuntime(queue, end_as_asked, hook_for(queue, receiver))
                worker = worker_for(receiver, secrets={"key-1": SECRET})
                headers = {"callback_url": receiver.url}
                async with runtime, delivering(queue, worker):
                    for _ in range(2):
                        await runtime.submit(RunSpec(b"succeed", headers=headers))
                    received = await receiver.has_received(count)

    assert len({one.headers["webhook-id"] for one in received}) == 4


async def test_what_cannot_be_delivered_is_a_dead_letter_that_says_why(queue: Queue) -> None:
    async with receiving(answer(410)) as receiver:
        [job_id] = await queue.enqueue_batch("webhooks", [job_for(receiver)])
        async with delivering(queue, worker_for(receiver)):

            async def is_dead() -> bool:
                return (await queue.get_job(job_id)).state is JobState.DEAD

            await eventually(is_dead, "the dead letter")

    job = await queue.get_job(job_id)
    assert (job.attempts, job.last_error) == (1, "host `127.0.0.1` answered 410")
