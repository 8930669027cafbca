"""Apps over a queue that has something of everything."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.applications import Starlette

from taquba import (
    EnqueueOptions,
    Queue,
    QueueReader,
    RunSpec,
    Step,
    StepOutcome,
    Succeed,
    WorkflowRuntime,
)
from taquba.admin import create_app
from taquba.store import MemoryStore
from tests.admin.security.asking import TOKEN

QUEUE = "email"
RUNS = "agents"


@dataclass(frozen=True)
class Site:
    """A queue, what submits its runs, and the ids of what is in it."""

    queue: Queue
    store: MemoryStore
    runtime: WorkflowRuntime
    pending_id: str
    scheduled_id: str
    dead_id: str
    run_id: str

    def app(self, **options: Any) -> Starlette:
        """An app over the owner."""
        options.setdefault("runtimes", [self.runtime])
        return create_app(self.queue, **options)


async def never_run(_step: Step) -> StepOutcome:
    """The runtime of these tests submits, and is not started."""
    return Succeed(b"")


@asynccontextmanager
async def opened() -> AsyncIterator[Site]:
    """A queue with a job of each state, a run and a key."""
    store = MemoryStore()
    async with await Queue.open(store) as queue:
        runtime = WorkflowRuntime(queue, never_run, queue_name=RUNS)
        dead_id = await queue.enqueue(QUEUE, b"dead", EnqueueOptions(max_attempts=1))
        claims = await queue.claim_batch(QUEUE, 1, lease=30.0)
        await queue.dead_letter(claims[0], "it cannot be done")
        pending_id = await queue.enqueue(QUEUE, b"pending")
        scheduled_id = await queue.enqueue(QUEUE, b"later", EnqueueOptions(delay=3600.0))
        handle = await runtime.submit(RunSpec(b"input", run_id="run-1"))
        await queue.kv_put("key", b"value")
        yield Site(queue, store, runtime, pending_id, scheduled_id, dead_id, handle.run_id)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """What most tests look at."""
    async with opened() as site_:
        yield site_


@pytest.fixture
def app(site: Site) -> Starlette:
    """An app without a token, as on a developer's machine."""
    return site.app()


@pytest.fixture
def guarded(site: Site) -> Starlette:
    """An app with a token."""
    return site.app(token=TOKEN)


@pytest.fixture
async def reader_app(site: Site) -> AsyncIterator[Starlette]:
    """An app over a reader of the same store."""
    async with await QueueReader.open(site.store) as reader:
        yield create_app(reader)
