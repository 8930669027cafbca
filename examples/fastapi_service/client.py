"""As much of an HTTP client as a load needs: it must not be what is measured.

Each connection is kept open and has one request under way at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

JSON = "application/json"
NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = JSON


@dataclass
class Answers:
    """What came back, in the order of the requests."""

    bodies: list[bytes]
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def percentile_ms(self, percent: float) -> float:
        """The latency that this many requests of a hundred did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


class Client:
    """Requests to one host and port."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    async def all(self, requests: Iterable[Request], connection_count: int) -> Answers:
        """Makes requests over several connections, and fails with the first that is refused."""
        waiting = list(enumerate(requests))
        answers = Answers([b""] * len(waiting))
        waiting.reverse()

        async def work() -> None:
            async with self._connection() as (reader, writer):
                while waiting:
                    index, request = waiting.pop()
                    begun = perf_counter()
                    code, answers.bodies[index] = await self._exchange(reader, writer, request)
                    answers.latencies.append(perf_counter() - begun)
                    if code >= 300:  # noqa: PLR2004 - statuses are known by their numbers
                        body = answers.bodies[index].decode()
                        raise RuntimeError(f"{request.method} {request.path}: {code} {body}")

        begun = perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(connection_count, len(waiting))):
                group.create_task(work())
        answers.seconds = perf_counter() - begun
        return answers

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**24)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request
    ) -> tuple[int, bytes]:
        head = (
            f"{request.method} {request.path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
            f"content-type: {request.content_type}\r\ncontent-length: {len(request.body)}\r\n\r\n"
        )
        writer.write(head.encode() + request.body)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        return int(status.split(" ")[1]), await reader.readexactly(int(headers["content-length"]))
