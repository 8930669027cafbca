"""The queue, the runs and the webhooks of the process, from its start to its end.

Always holds:
    1. Whoever enters `running` owns the store; whoever has left it owes it nothing.
    2. If the work ends by itself (another process took the store, the store is gone), the whole
       process ends, and its supervisor starts it again. It never serves on without working.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from settings import Settings
from work import count_words

from taquba import OpenOptions, Queue, QueueConfig, WorkflowRuntime, run_worker
from taquba.webhooks import WebhookTerminalHook, WebhookWorker

# 20 attempts over two days: a receiver may be down for a day.
PATIENT = QueueConfig(retry_backoff_base=5, retry_backoff_max=6 * 3600)
# Together with the draining of requests this is less than the 30 seconds that supervisors wait
# between SIGTERM and SIGKILL.
DRAIN_SECONDS = 15.0


@dataclass(frozen=True)
class Service:
    """What requests need."""

    queue: Queue
    runtime: WorkflowRuntime
    working: asyncio.Task[None]


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    """Opens the store and works until the block ends, then drains and closes."""
    rules = settings.webhook_rules()
    options = OpenOptions(queue_configs={"webhooks": PATIENT})
    async with Queue.open(settings.store, options=options) as queue:
        runtime = WorkflowRuntime(
            queue,
            count_words,
            WebhookTerminalHook(queue, "webhooks", content_type="application/json", **rules),
            queue_name="jobs",
            concurrency=500,
            shutdown_timeout=DRAIN_SECONDS,
        )
        sender = WebhookWorker(secrets={"key-1": settings.webhook_secret}, **rules)
        shutdown = asyncio.Event()
        working = asyncio.create_task(_work(queue, runtime, sender, shutdown))
        working.add_done_callback(lambda _: _stop_process(shutdown))
        try:
            yield Service(queue, runtime, working)
        finally:
            shutdown.set()
            await working


async def _work(
    queue: Queue, runtime: WorkflowRuntime, sender: WebhookWorker, shutdown: asyncio.Event
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(runtime.run(shutdown))
        group.create_task(
            run_worker(queue, "webhooks", sender, shutdown=shutdown, shutdown_timeout=DRAIN_SECONDS)
        )


def _stop_process(shutdown: asyncio.Event) -> None:
    if not shutdown.is_set():
        signal.raise_signal(signal.SIGTERM)
