"""Deliveries through a real queue, one attempt at a time."""

from typing import Any, Protocol

import pytest

from taquba import NewJob, Queue
from taquba.store import MemoryStore
from taquba.webhooks import WebhookWorker, webhook_job
from tests.conftest import Store
from tests.webhooks.receiver import LOOPBACK, Receiver

# Published with test vectors: nobody's secret.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - as it says
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"  # noqa: S105 - the same


@pytest.fixture
def store() -> Store:
    """Where jobs are kept makes no difference to their delivery."""
    return MemoryStore()


class Attempt(Protocol):
    """Makes one attempt to deliver a job; raises what the worker raises."""

    async def __call__(self, worker: WebhookWorker, job: NewJob) -> None: ...


@pytest.fixture
async def attempt(queue: Queue) -> Attempt:
    """Makes attempts."""

    async def attempt_(worker: WebhookWorker, job: NewJob) -> None:
        await queue.enqueue_batch("webhooks", [job])
        claim = await queue.claim("webhooks")
        assert claim is not None
        try:
            await worker.process(claim)
        finally:
            await queue.ack(claim)

    return attempt_


def worker_for(*receivers: Receiver, **options: Any) -> WebhookWorker:
    """A worker that may send to the loopback ports of these receivers."""
    ports = [receiver.port for receiver in receivers]
    settings = {"allow_http": True, "allow_networks": LOOPBACK, "ports": ports, "timeout": 10}
    return WebhookWorker(**{**settings, **options})


def job_for(receiver: Receiver, body: bytes = b"body", **options: Any) -> NewJob:
    """A job for one of them."""
    settings = {"allow_http": True, "allow_networks": LOOPBACK, "ports": receiver.ports}
    url = options.pop("url", receiver.url)
    return webhook_job(url, body, **{**settings, **options})


@pytest.fixture
def queue_object(queue: Queue) -> Queue:
    """The open queue, for tests that are no coroutines."""
    return queue
