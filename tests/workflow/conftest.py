"""A runtime that ends with its test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from taquba import Queue, QueueConfig, RetryJitter
from taquba.workflow import WorkflowRuntime
from tests.conftest import OpenQueue

QUICK_RETRIES = QueueConfig(
    max_attempts=3, retry_backoff_base=0.001, retry_backoff_max=0.001, retry_jitter=RetryJitter.NONE
)


class StartRuntime(Protocol):
    """Starts a runtime on the test's queue."""

    async def __call__(self, runner: Any, **options: Any) -> WorkflowRuntime: ...


@pytest.fixture
async def queue(open_queue: OpenQueue) -> Queue:
    """An open queue whose retries come at once."""
    return await open_queue(default_queue_config=QUICK_RETRIES)


@pytest.fixture
async def start(queue: Queue) -> AsyncIterator[StartRuntime]:
    """Starts runtimes that are stopped when the test ends."""
    async with AsyncExitStack() as stack:

        async def start_(runner: Any, **options: Any) -> WorkflowRuntime:
            runtime = WorkflowRuntime(queue, runner, **options)
            return await stack.enter_async_context(runtime)

        yield start_
