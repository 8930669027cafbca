"""A customer's end of a webhook: takes what is signed, refuses the rest, and counts.

Always holds: a body whose signature does not verify is not counted as received.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from taquba import WebhookVerificationError
from taquba.webhooks import verify


class Receivers:
    """Several customers, each on a port of its own, who count together. Use `listening`."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self.ports: list[int] = []
        self.received: Counter[str] = Counter()
        self.words: dict[str, int] = {}
        self.refused_count = 0
        self._news = asyncio.Event()

    @asynccontextmanager
    async def listening(self, count: int) -> AsyncIterator[None]:
        """Listens on free ports of loopback until the block ends."""
        async with AsyncExitStack() as stack:
            for _ in range(count):
                server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
                await stack.enter_async_context(server)
                self.ports.append(server.sockets[0].getsockname()[1])
            yield

    def url_of(self, index: int) -> str:
        """Where the customer of this job listens."""
        return f"http://127.0.0.1:{self.ports[index % len(self.ports)]}/hook"

    async def until(self, count: int) -> None:
        """Waits until this many jobs were told, or refused: those do not come again."""
        while len(self.received) + self.refused_count < count:
            self._news.clear()
            await self._news.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            lines = (line.partition(": ") for line in head[1:] if line)
            headers = {name.lower(): value for name, _, value in lines}
            body = await reader.readexactly(int(headers["content-length"]))
            status = self._take(headers, body)
            writer.write(f"HTTP/1.1 {status}\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        finally:
            writer.close()

    def _take(self, headers: dict[str, str], body: bytes) -> str:
        self._news.set()
        try:
            verify(self._secret, headers, body)
        except WebhookVerificationError:
            self.refused_count += 1
            return "401 Unauthorized"
        run_id = headers["workflow-run-id"]
        self.received[run_id] += 1
        self.words[run_id] = json.loads(body)["words"]
        return "204 No Content"
