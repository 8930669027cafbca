"""One worker in several event loops, one after the other, and what it holds of the process."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from taquba import Claim, Queue
from taquba.webhooks import WebhookWorker, webhook_job
from taquba.worker import TransientFailure
from tests.webhooks.receiver import LOOPBACK


def descriptors() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port at which connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


async def claimed(port: int) -> Claim:
    """The claim of a delivery."""
    async with Queue.open("memory://") as queue:
        url = f"http://127.0.0.1:{port}/"
        job = webhook_job(url, b"", allow_http=True, allow_networks=LOOPBACK, ports=[port])
        await queue.enqueue_batch("webhooks", [job])
        claim = await queue.claim("webhooks")
        assert claim is not None
        return claim


def test_loops_that_are_closed_with_deliveries_under_way_leave_no_descriptors(
    silent_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    claim = asyncio.run(claimed(silent_port))
    worker = WebhookWorker(
        allow_http=True, allow_networks=LOOPBACK, ports=[silent_port], timeout=0.2
    )

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        delivery = loop.create_task(worker.process(claim))
        with contextlib.suppress(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(asyncio.shield(delivery), 0.02))
        loop.close()

    def deliver() -> None:
        # In vain, as nobody answers; what counts is that it is not disturbed by those before it.
        with pytest.raises(TransientFailure, match="did not answer"):
            asyncio.run(worker.process(claim))
        gc.collect()

    deliver()
    before = descriptors()
    for _ in range(4):
        abandon()
    deliver()

    assert descriptors() <= before
