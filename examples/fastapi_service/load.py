"""Drives the service, and checks that it did what it said.

Starts the service on a fresh directory, submits jobs one by one and in batches, asks for each of
them, takes the webhooks, and prints the rates. It fails (exit code 1) unless every job ended with
the right answer and every webhook arrived and was signed.

    python examples/fastapi_service/load.py --single 4000 --batch 20000 --webhooks 2000
"""

import argparse
import asyncio
import base64
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client import NDJSON, Answers, Client, Request
from receiver import Receivers

APP = Path(__file__).with_name("app.py")
BATCH_SIZE = 1_000
BATCH_CONNECTIONS = 4
START_SECONDS_MAX = 20.0
END_SECONDS_MAX = 120.0
WEBHOOK_SECONDS_MAX = 120.0


@dataclass(frozen=True)
class Load:
    """How much of what."""

    single: int
    batch: int
    webhooks: int
    customers: int
    connections: int


def words_of(index: int) -> int:
    """How many words the job with this index has."""
    return index % 40 + 1


def jobs(count: int, receivers: Receivers | None = None) -> Iterator[bytes]:
    """Jobs as customers send them."""
    for index in range(count):
        url = None if receivers is None else receivers.url_of(index)
        yield json.dumps({"text": "word " * words_of(index), "callback_url": url}).encode()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def service(store: str, secret: str, receivers: Receivers) -> AsyncIterator[Client]:
    """The service in a process of its own; ended by SIGTERM, as a supervisor ends it."""
    port = free_port()
    environment = {
        **os.environ,
        "TAQUBA_URL": store,
        "WEBHOOK_SECRET": secret,
        "WEBHOOK_LOOPBACK_PORTS": " ".join(map(str, receivers.ports)),
        "SERVICE_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(APP), env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None  # noqa: S101 - it was asked for
    log = asyncio.create_task(process.stderr.read())
    try:
        client = Client("127.0.0.1", port)
        await _until_ready(client, process)
        yield client
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        text = (await log).decode()
    if process.returncode not in {0, -signal.SIGTERM}:
        raise RuntimeError(f"the service ended with {process.returncode}:\n{text}")


async def _until_ready(client: Client, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_SECONDS_MAX):
        while process.returncode is None:
            try:
                await client.all([Request("GET", "/readyz")], 1)
            except* OSError:
                await asyncio.sleep(0.05)
            else:
                return
    raise RuntimeError("the service did not start")


async def ends(client: Client, job_ids: list[str], connections: int) -> list[dict[str, Any]]:
    """Asks for every job until all have ended."""
    ended: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(END_SECONDS_MAX):
        while waiting := [job_id for job_id in job_ids if job_id not in ended]:
            requests = [Request("GET", f"/jobs/{job_id}?wait=10") for job_id in waiting]
            for body in (await client.all(requests, connections)).bodies:
                job = json.loads(body)
                if job["ended_at_ms"] is not None:
                    ended[job["job_id"]] = job
    return [ended[job_id] for job_id in job_ids]


async def check(client: Client, name: str, job_ids: list[str], connections: int) -> None:
    """Asks for every job, and says how fast they were done, by the service's own times."""
    ended = await ends(client, job_ids, connections)
    for index, job in enumerate(ended):
        if job["state"] != "succeeded" or job["report"] != {"words": words_of(index)}:
            raise RuntimeError(f"{name}: job {index} ended as {job}")
    if len({job["job_id"] for job in ended}) != len(job_ids):
        raise RuntimeError(f"{name}: two jobs have one id")
    begun = min(job["submitted_at_ms"] for job in ended)
    # A few jobs may be done within the millisecond that the service tells.
    seconds = max(max(job["ended_at_ms"] for job in ended) - begun, 1) / 1000
    took = Answers([], 0.0, [(job["ended_at_ms"] - job["submitted_at_ms"]) / 1000 for job in ended])
    print(
        f"{name:9} completed {len(ended):>7,} jobs: {len(ended) / seconds:>7,.0f} jobs/s, "
        f"{took.percentile_ms(50):.1f} ms each at the median, {took.percentile_ms(99):.1f} ms p99"
    )


def tell_accepted(name: str, count: int, answers: Answers) -> None:
    """Says how fast jobs were taken, each of them durable when its request was answered."""
    print(
        f"{name:9} accepted  {count:>7,} jobs: {count / answers.seconds:>7,.0f} jobs/s, "
        f"{answers.percentile_ms(50):.1f} ms a request at the median, "
        f"{answers.percentile_ms(99):.1f} ms p99"
    )


async def drive_single(client: Client, load: Load) -> None:
    """One job a request."""
    requests = [Request("POST", "/jobs", job) for job in jobs(load.single)]
    answers = await client.all(requests, load.connections)
    tell_accepted("single", load.single, answers)
    job_ids = [json.loads(body)["job_id"] for body in answers.bodies]
    await check(client, "single", job_ids, load.connections)


async def drive_batches(
    client: Client, name: str, count: int, load: Load, receivers: Receivers | None = None
) -> list[str]:
    """A thousand jobs a request."""
    lines = list(jobs(count, receivers))
    pages = [lines[start : start + BATCH_SIZE] for start in range(0, count, BATCH_SIZE)]
    requests = [Request("POST", "/jobs/batch", b"\n".join(page), NDJSON) for page in pages]
    answers = await client.all(requests, BATCH_CONNECTIONS)
    tell_accepted(name, count, answers)
    job_ids = [job_id for body in answers.bodies for job_id in json.loads(body)["job_ids"]]
    await check(client, name, job_ids, load.connections)
    return job_ids


async def await_webhooks(receivers: Receivers, job_ids: list[str], begun: float) -> None:
    """Waits until each job was told, and checks what was told."""
    async with asyncio.timeout(WEBHOOK_SECONDS_MAX):
        await receivers.until(len(job_ids))
    seconds = asyncio.get_running_loop().time() - begun
    if receivers.refused_count:
        raise RuntimeError(f"{receivers.refused_count} webhooks were refused")
    told = [receivers.words[job_id] for job_id in job_ids]
    if told != [words_of(index) for index in range(len(job_ids))]:
        raise RuntimeError("a wrong answer was told")
    again = receivers.received.total() - len(job_ids)
    print(
        f"webhooks  delivered {len(job_ids):>7,} signed: {len(job_ids) / seconds:>7,.0f} a second, "
        f"{again} of them more than once"
    )


async def drive(load: Load, store: str) -> None:
    """The whole of it."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    receivers = Receivers(secret)
    async with receivers.listening(load.customers), service(store, secret, receivers) as client:
        await drive_single(client, load)
        await drive_batches(client, "batch", load.batch, load)
        begun = asyncio.get_running_loop().time()
        job_ids = await drive_batches(client, "webhooks", load.webhooks, load, receivers)
        await await_webhooks(receivers, job_ids, begun)
    print("every job ended with the right answer, every webhook was signed")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--single", type=int, default=4_000, help="jobs, one a request")
    parser.add_argument("--batch", type=int, default=20_000, help="jobs, a thousand a request")
    parser.add_argument("--webhooks", type=int, default=2_000, help="jobs that are told")
    parser.add_argument("--customers", type=int, default=16, help="receivers of the webhooks")
    parser.add_argument("--connections", type=int, default=64, help="requests at the same time")
    parser.add_argument("--store", help="a new place; a temporary directory if absent")
    arguments = vars(parser.parse_args())
    store = arguments.pop("store")
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(drive(Load(**arguments), store or directory))


if __name__ == "__main__":
    main()
