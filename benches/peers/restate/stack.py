# mypy: disable-error-code="import-not-found"
"""The processes of one workload: a Restate server with a store of its own, and a worker."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from benches.peers.servers import free_port

WAIT_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.05
SERVER = Path("node_modules/@restatedev/restate-server-linux-x64/bin/restate-server")
SETTINGS = {
    "RESTATE_DISABLE_TELEMETRY": "true",
    "RESTATE_LISTEN_MODE": "tcp",
    "RESTATE_LOG_FILTER": "off",
    # The default is 24. From 1 to 24 the rates differed by less than the noise of a busy machine.
    "RESTATE_DEFAULT_NUM_PARTITIONS": "4",
}


class Worker:
    """The worker process, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def wait_for(self, word: str) -> float:
        """The number of the line that begins with the word; 0 if it has none."""
        output = self._process.stdout
        while output is not None and (line := await output.readline()):
            said, _, number = line.decode().strip().partition(" ")
            if said == word:
                return float(number or 0)
        message = f"the worker ended before it said `{word}`"
        raise AssertionError(message)

    def open(self, count: int) -> None:
        """Lets jobs be handled; the worker counts them."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"open {count}\n".encode())


class Stack:
    """Server and worker at work, and a client of them."""

    def __init__(
        self, worker: Worker, session: aiohttp.ClientSession, ingress: str, admin: str
    ) -> None:
        self.worker = worker
        self._session = session
        self._ingress = f"{ingress}/Bench"
        self._admin = admin

    async def call(self, handler: str, content: str) -> object:
        """Calls a handler; returns its result."""
        return await self._post(f"{self._ingress}/{handler}", content)

    async def send(self, handler: str, content: str) -> str:
        """Leaves a call with the server; returns its id once that is durable."""
        said: Any = await self._post(f"{self._ingress}/{handler}/send", content)
        return str(said["invocationId"])

    async def count(self, where: str) -> int:
        """How many invocations the server knows for which a condition of SQL holds."""
        query = f"SELECT COUNT(*) AS found FROM sys_invocation WHERE {where}"  # noqa: S608 - ours
        said: Any = await self._post(f"{self._admin}/query", {"query": query})
        return int(said["rows"][0]["found"])

    async def until_all_completed(self) -> None:
        """The worker is done before the server has heard of it."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while await self.count("status <> 'completed'"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(LOOK_SECONDS)

    async def register(self, uri: str) -> None:
        """Tells the server where the worker is."""
        await self._post(f"{self._admin}/deployments", {"uri": uri})

    async def _post(self, url: str, content: object) -> object:
        headers = {"accept": "application/json"}
        async with self._session.post(url, json=content, headers=headers) as answer:
            if not answer.ok:
                message = f"{url}: {answer.status} {await answer.text()}"
                raise AssertionError(message)
            return await answer.json()


@contextlib.asynccontextmanager
async def running(directory: Path, invocation_count_max: int) -> AsyncIterator[Stack]:
    """Starts server and worker, and stops them.

    Args:
        directory: Where the server keeps everything.
        invocation_count_max: How many calls the server gives to the worker at once.
    """
    ports = [free_port() for _ in range(4)]
    node, ingress, admin, service = (f"127.0.0.1:{port}" for port in ports)
    settings = SETTINGS | {
        "RESTATE_BIND_ADDRESS": node,
        "RESTATE_INGRESS__BIND_ADDRESS": ingress,
        "RESTATE_ADMIN__BIND_ADDRESS": admin,
        "RESTATE_WORKER__INVOKER__CONCURRENT_INVOCATIONS_LIMIT": str(invocation_count_max),
    }
    program = str(Path(os.environ["PEER_CACHE"]) / SERVER)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(
            _child(program, "--base-dir", str(directory), "--node-name", "bench", env=settings)
        )
        script = str(Path(__file__).with_name("service.py"))
        child = await stack.enter_async_context(_child(sys.executable, script, str(ports[3])))
        worker = Worker(child)
        await worker.wait_for("ready")
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        site = Stack(worker, session, f"http://{ingress}", f"http://{admin}")
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await _until_healthy(session, f"http://{admin}/health")
            await _until_healthy(session, f"http://{ingress}/restate/health")
            await site.register(f"http://{service}")
        yield site


@contextlib.asynccontextmanager
async def _child(
    *command: str, env: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | (env or {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE if env is None else sys.stderr,
    )
    try:
        yield process
    finally:
        # What they have in memory is of no use any more.
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _until_healthy(session: aiohttp.ClientSession, url: str) -> None:
    while True:
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with session.get(url) as answer:
                if answer.ok:
                    return
        await asyncio.sleep(LOOK_SECONDS)
