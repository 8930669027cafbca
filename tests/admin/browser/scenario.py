"""A small company's afternoon: work that goes well, and work that is stuck.

All of it goes through the public API. Its clock begins `AGO` before now and is moved up to now, so
that what waits has really waited, by what the engine has written down.

Stuck are: the run `contract-8-acme`, which waits for a retry that is due in half an hour; the queue
`reports`, which nobody works on; the delivery of `contract-4-hooli`, which does not end; and the
dead letters of `emails` and `documents`.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import final

from taquba import (
    Claim,
    EnqueueOptions,
    MockClock,
    OpenOptions,
    PermanentFailure,
    Queue,
    QueueConfig,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    TransientFailure,
    WorkflowRuntime,
    run_worker,
)
from taquba.store import MemoryStore

AGO = timedelta(minutes=24)
STUCK_RUN = "contract-8-acme"
LONG_RUN = "contract-4-hooli"
FAILED_RUN = "contract-3-globex"
DONE_RUN = "contract-1-initech"
IDLE_QUEUE = "reports"
BUSY_SERVER = "smtp.example.com:25 did not answer within 30 s"

# Seconds that each step takes: fetch, read, summarise, file.
_STEP_SECONDS = (4, 31, 66, 9)
_CLOCK_STEP_SECONDS = 6
_RETRY_SECONDS = 3600
_TENANTS = ("initech", "acme", "globex", "hooli", "umbrella", "wonka")


@final
class Afternoon:
    """The store, its workers, and the clock.

    Args:
        clock: The engine's time.
    """

    def __init__(self, clock: MockClock) -> None:
        self.clock = clock
        self.store = MemoryStore()
        self.queue: Queue
        self.runtime: WorkflowRuntime
        self.is_server_up = False

    async def work(self, step: Step) -> StepOutcome:
        """Do one step of a document, as its payload says."""
        plan = json.loads(step.payload)
        number = step.step_number
        await self._take(_STEP_SECONDS[number])
        if number == 1:
            await step.memo.get_or_compute("pages", lambda: b'{"pages": 14}')
        if plan["kind"] == "scan" and number == 1:
            message = "page 4 cannot be read: the scan is upside down"
            raise StepError.permanent(message)
        if plan["kind"] == "reset" and number == 1 and step.attempts == 1:
            message = "connection reset by the archive"
            raise StepError.transient(message, retry_after=40)
        if plan["kind"] == "limited" and number == 2 and step.attempts <= 2:
            wait = 120 if step.attempts == 1 else _RETRY_SECONDS
            message = "the model provider answered 429: 60 requests an hour are allowed"
            raise StepError.transient(message, retry_after=wait)
        if plan["kind"] == "slow" and number == 2:
            await step.cancel_token.wait()
        if plan["kind"] == "review" and number == 2:
            return StepOutcome.ContinueAfter(step.payload, delay=6 * 3600)
        if number == len(_STEP_SECONDS) - 1:
            return StepOutcome.Succeed(
                b'{"summary": "twelve months, renewed in writing", "pages": 14}'
            )
        return StepOutcome.Continue(step.payload)

    async def send(self, job: Claim) -> None:
        """Send a message, if the server is there."""
        if job.payload.startswith(b"former-"):
            message = f"550 5.1.1 mailbox {len(job.payload) + 48_000} does not exist"
            raise PermanentFailure(message)
        if job.payload.startswith(b"slow-") and not self.is_server_up:
            raise TransientFailure(BUSY_SERVER, retry_after=30)

    async def submit(self, number: int, kind: str = "plain") -> None:
        """Submit one document."""
        tenant = _TENANTS[(number - 1) % len(_TENANTS)]
        plan = {"kind": kind, "document": f"contracts/{number}.pdf", "pages": 14}
        spec = RunSpec(
            json.dumps(plan).encode(),
            run_id=f"contract-{number}-{tenant}",
            headers={"tenant": tenant, "source": "upload"},
            max_attempts=5,
        )
        await self.runtime.submit(spec)

    async def live_through(self) -> None:
        """Let the afternoon pass, up to now."""
        kinds = {3: "scan", 4: "slow", 5: "reset", 6: "review", 8: "limited"}
        await self._fill_queues()
        for number in range(1, 11):
            await self.submit(number, kinds.get(number, "plain"))
            await self.pass_time(50)
        await self.pass_time((datetime.now(UTC) - self.clock.now()).total_seconds())

    async def pass_time(self, seconds: float) -> None:
        """Move the clock in small steps, so that what falls due is done in between."""
        # The clock counts whole milliseconds.
        left = round(seconds, 3)
        while left > 0:
            self.clock.advance(min(left, _CLOCK_STEP_SECONDS))
            left = round(left - _CLOCK_STEP_SECONDS, 3)
            await asyncio.sleep(0.004)

    async def _fill_queues(self) -> None:
        queue = self.queue
        await queue.enqueue_batch(
            "emails", [b"former-colleague-%d@example.com" % n for n in range(3)]
        )
        await queue.enqueue_batch("emails", [b"slow-%d@example.com" % n for n in range(4)])
        await queue.enqueue_batch("emails", [b"user-%d@example.com" % n for n in range(40)])
        options = EnqueueOptions(headers={"tenant": "acme"}, dedup_key="weekly-report-acme")
        await queue.enqueue(IDLE_QUEUE, b"weekly report", options)
        await queue.enqueue_batch(IDLE_QUEUE, [b"monthly report %d" % n for n in range(6)])
        for hours in (1, 5, 20):
            later = EnqueueOptions(delay=hours * 3600, headers={"tenant": "initech"})
            await queue.enqueue("emails", b"reminder@example.com", later)
        await queue.kv_put("cursor/archive", b'{"page": 118}')
        await queue.kv_put("cursor/mailbox", b"2026-11-20")
        await queue.kv_put("limits/provider", b'{"an_hour": 60}')

    async def _take(self, seconds: float) -> None:
        until = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < until:  # noqa: ASYNC110 - nothing to wait on
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def afternoon() -> AsyncIterator[Afternoon]:
    """Open a store in memory, and let the afternoon pass; its workers go on until the end."""
    scene = Afternoon(MockClock(datetime.now(UTC) - AGO))
    emails = QueueConfig(max_attempts=3, keep_done_jobs=3600.0)
    options = OpenOptions(clock=scene.clock, queue_configs={"emails": emails})
    shutdown = asyncio.Event()
    async with await Queue.open(scene.store, options=options) as queue:
        scene.queue = queue
        scene.runtime = WorkflowRuntime(
            queue, scene.work, queue_name="documents", concurrency=32, shutdown_timeout=0
        )
        async with scene.runtime, asyncio.TaskGroup() as tasks:
            tasks.create_task(run_worker(queue, "emails", scene.send, shutdown=shutdown))
            try:
                await scene.live_through()
                yield scene
            finally:
                shutdown.set()
