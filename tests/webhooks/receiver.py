"""A receiver of webhooks on loopback that behaves as a test wants it to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.waiting import eventually

LOOPBACK = ("127.0.0.0/8",)


@dataclass(frozen=True)
class Received:
    """One request, as it came over the wire."""

    request_line: str
    header_lines: list[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """Headers by name in lower case."""
        return dict(self.header_lines)


Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """The bytes of an answer, after which the connection is closed."""
    lines = [f"HTTP/1.1 {status} Text", f"content-length: {len(body)}", "connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


class Receiver:
    """Answers every request in the same way. Made by `receiving`."""

    def __init__(self, behaviour: Behaviour | bytes, *, keeps_open: bool) -> None:
        self.behaviour = behaviour
        self.keeps_open = keeps_open
        self.received: list[Received] = []
        self.connection_count = 0
        self.closed_count = 0
        self.sent_bytes = 0
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook?token=secret"

    @property
    def same_under_another_name(self) -> str:
        """The same place, for which there is another gate."""
        return f"http://localhost:{self.port}/hook"

    @property
    def ports(self) -> list[int]:
        """What to list in `ports`."""
        return [self.port]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connection_count += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self.answer(reader, writer)
                while self.keeps_open:
                    await self.answer(reader, writer)
            self.closed_count += 1
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a request and behave."""
        self.received.append(await read(reader))
        if isinstance(self.behaviour, bytes):
            writer.write(self.behaviour)
            await writer.drain()
        else:
            await self.behaviour(writer)

    async def has_received(self, count: int) -> list[Received]:
        """Wait until so many requests came."""

        async def probe() -> bool:
            return len(self.received) >= count

        await eventually(probe, f"{count} requests")
        return self.received


async def read(reader: asyncio.StreamReader) -> Received:
    """Read one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    pairs = [
        (name.lower(), value.strip()) for name, _, value in (ln.partition(":") for ln in lines)
    ]
    body = await reader.readexactly(int(dict(pairs).get("content-length", "0")))
    return Received(request_line, pairs, body)


@asynccontextmanager
async def receiving(
    behaviour: Behaviour | bytes, tls: ssl.SSLContext | None = None, *, keeps_open: bool = False
) -> AsyncIterator[Receiver]:
    """A receiver for the length of a test."""
    receiver = Receiver(behaviour, keeps_open=keeps_open)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(receiver.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in connections.copy():
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        # An aborted transport closes its socket in the next turn of the loop.
        await asyncio.sleep(0)
        await server.wait_closed()
