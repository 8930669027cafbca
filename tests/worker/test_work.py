"""What a worker sees, what its return does, and how many work at once."""

import asyncio
import threading

import pytest

from taquba import Claim, Effects, EnqueueOptions, Queue, run_worker
from taquba.exceptions import ArgumentTypeError, InvalidArgumentError, InvalidQueueNameError
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.conftest import OpenQueue
from tests.waiting import WAIT_SECONDS_MAX, drain, eventually
from tests.worker.working import all_acked, dead_job, working


async def test_a_worker_object_does_each_job_once(queue: Queue) -> None:
    class Sender:
        def __init__(self) -> None:
            self.sent: list[bytes] = []

        async def process(self, job: Claim) -> None:
            self.sent.append(job.payload)

    sender = Sender()
    payloads = [b"%d" % n for n in range(200)]
    await queue.enqueue_batch("emails", payloads)

    async with working(queue, sender):
        await all_acked(queue, len(payloads))

    assert sorted(sender.sent) == sorted(payloads)
    assert await drain(queue, "emails") == []


async def test_a_bare_coroutine_function_is_a_worker(queue: Queue) -> None:
    seen: list[Claim] = []

    async def send(job: Claim) -> None:
        seen.append(job)

    options = EnqueueOptions(headers={"k": "v"}, priority=7, max_attempts=9)
    job_id = await queue.enqueue("emails", b"x", options)
    async with working(queue, send):
        await all_acked(queue, 1)

    [job] = seen
    assert (job.job_id, job.queue, job.payload) == (job_id, "emails", b"x")
    assert (job.headers, job.priority, job.attempts, job.max_attempts) == ({"k": "v"}, 7, 1, 9)


async def test_a_plain_function_runs_in_a_thread_of_its_own(queue: Queue) -> None:
    here = threading.get_ident()
    threads: list[int] = []
    both = threading.Barrier(2, timeout=WAIT_SECONDS_MAX)

    def send(job: Claim) -> None:
        threads.append(threading.get_ident())
        # Both are here at the same time, and the event loop is free meanwhile.
        both.wait()

    await queue.enqueue_batch("emails", [b"x", b"y"])
    async with working(queue, send, concurrency=2):
        await all_acked(queue, 2)

    assert here not in threads
    assert len(set(threads)) == 2


async def test_effects_that_a_worker_returns_are_applied_with_the_ack(
    open_queue: OpenQueue,
) -> None:
    queue = await open_queue()

    async def send(job: Claim) -> Effects:
        return Effects().enqueue("invoices", job.payload + b"!").kv_put("sent", job.payload)

    await queue.enqueue("emails", b"x")
    async with working(queue, send):
        await all_acked(queue, 1)
    await queue.close()

    again = await open_queue()
    assert [claim.payload for claim in await drain(again, "invoices")] == [b"x!"]
    assert await again.kv_get("sent") == b"x"


async def test_a_worker_that_enqueues_for_itself_goes_on(queue: Queue) -> None:
    seen: list[int] = []

    async def count_down(job: Claim) -> Effects | None:
        number = int(job.payload)
        seen.append(number)
        return Effects().enqueue("emails", b"%d" % (number - 1)) if number else None

    await queue.enqueue("emails", b"20")
    async with working(queue, count_down):
        await all_acked(queue, 21)

    assert seen == list(range(20, -1, -1))


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_never_more_jobs_run_than_allowed(queue: Queue, concurrency: int) -> None:
    running = most = 0
    full = asyncio.Event()

    async def send(job: Claim) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == concurrency:
            full.set()
        await full.wait()
        # Room for one too many to come in.
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1

    await queue.enqueue_batch("emails", [b"x"] * 30)
    async with working(queue, send, concurrency=concurrency):
        await all_acked(queue, 30)

    assert most == concurrency


async def test_a_job_wakes_the_worker_up(queue: Queue) -> None:
    # Each job is enqueued when the one before is done: a loop that polled would need a
    # period of its polling for each of them.
    done: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(job: Claim) -> None:
        done.put_nowait(job.payload)

    async with working(queue, send), asyncio.timeout(WAIT_SECONDS_MAX):
        for number in range(200):
            await queue.enqueue("emails", b"%d" % number)
            assert await done.get() == b"%d" % number


async def test_several_workers_share_a_queue(queue: Queue) -> None:
    counts = {"a": 0, "b": 0}
    meeting = asyncio.Barrier(2)

    def worker(name: str) -> object:
        async def send(job: Claim) -> None:
            counts[name] += 1
            if job.payload == b"meet":
                await meeting.wait()

        return send

    await queue.enqueue_batch("emails", [b"meet", b"meet", *[b"x"] * 50])
    async with (
        working(queue, worker("a"), concurrency=1),
        working(queue, worker("b"), concurrency=1),
    ):
        await all_acked(queue, 52)

    assert sum(counts.values()) == 52
    assert min(counts.values()) >= 1


async def test_the_token_of_a_running_job_fires_when_it_is_cancelled(queue: Queue) -> None:
    started = asyncio.Event()
    stopped = asyncio.Event()

    async def send(job: Claim) -> None:
        started.set()
        await job.cancel_token.wait()
        stopped.set()

    job_id = await queue.enqueue("emails", b"x")
    async with working(queue, send), asyncio.timeout(WAIT_SECONDS_MAX):
        await started.wait()
        await queue.cancel(job_id)
        await stopped.wait()

    assert await drain(queue, "emails") == []


async def test_a_step_on_a_worker_s_queue_is_not_run_as_a_job(queue: Queue) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(b"")

    async def send(job: Claim) -> None:
        raise AssertionError("a step came as a job")

    runtime = WorkflowRuntime(queue, runner, queue_name="emails")
    await runtime.submit(RunSpec(b"", run_id="run", max_attempts=1))
    async with working(queue, send):
        dead = await dead_job(queue)

    assert dead.run_id == "run"
    assert "WorkflowRuntime" in (dead.last_error or "")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 100_001}, "concurrency"),
        ({"job_timeout": -1}, "job_timeout"),
        ({"shutdown_timeout": float("nan")}, "shutdown_timeout"),
    ],
)
async def test_an_option_outside_its_bounds_is_refused_by_name(
    queue: Queue, options: dict[str, float], name: str
) -> None:
    async def send(job: Claim) -> None: ...

    with pytest.raises(InvalidArgumentError, match=name):
        await run_worker(queue, "emails", send, **options)  # type: ignore[arg-type]


async def test_what_cannot_work_is_refused(queue: Queue) -> None:
    async def send(job: Claim) -> None: ...

    with pytest.raises(InvalidQueueNameError):
        await run_worker(queue, "a b", send)
    over = asyncio.Event()
    over.set()
    for worker in (None, 7, object()):
        with pytest.raises(ArgumentTypeError, match=r"^`worker` is of type .* `process`"):
            await run_worker(queue, "emails", worker, shutdown=over)  # type: ignore[arg-type]


async def test_a_class_instead_of_a_worker_is_refused(queue: Queue) -> None:
    class Sender:
        async def process(self, job: Claim) -> None: ...

    with pytest.raises(ArgumentTypeError, match=r"`worker` .* instance, such as `Sender\(\.\.\)`"):
        await run_worker(queue, "emails", Sender)  # type: ignore[arg-type]


async def test_a_loop_ends_beside_another_that_never_rests(queue: Queue) -> None:
    async def again(job: Claim) -> Effects:
        return Effects().enqueue("emails", b"")

    async def send(job: Claim) -> None: ...

    await queue.enqueue_batch("emails", [b""] * 1000)
    shutdown = asyncio.Event()
    async with working(queue, again, concurrency=1000):
        other = asyncio.create_task(run_worker(queue, "other", send, shutdown=shutdown))
        await asyncio.sleep(0.05)
        shutdown.set()
        async with asyncio.timeout(WAIT_SECONDS_MAX / 2):
            await other


async def test_a_worker_takes_a_job_that_becomes_due(queue: Queue) -> None:
    async def send(job: Claim) -> None: ...

    await queue.enqueue("emails", b"x", EnqueueOptions(delay=0.05))
    async with working(queue, send):
        await all_acked(queue, 1)


async def test_jobs_are_begun_in_their_order(queue: Queue) -> None:
    begun: list[bytes] = []

    async def send(job: Claim) -> None:
        begun.append(job.payload)

    low = EnqueueOptions(priority=10_000)
    await queue.enqueue("emails", b"low", low)
    await queue.enqueue_batch("emails", [b"%d" % n for n in range(20)])
    async with working(queue, send, concurrency=1):
        await all_acked(queue, 21)

    assert begun == [*(b"%d" % n for n in range(20)), b"low"]


async def test_a_worker_loop_sees_jobs_of_its_queue_only(queue: Queue) -> None:
    seen: list[str] = []

    async def send(job: Claim) -> None:
        seen.append(job.queue)

    await queue.enqueue("other", b"x")
    await queue.enqueue("emails", b"x")
    async with working(queue, send):
        await all_acked(queue, 1)

    async def other_is_there() -> bool:
        return (await queue.stats()).queues["other"].pending_count == 1

    await eventually(other_is_there, "the job of the other queue")
    assert seen == ["emails"]
