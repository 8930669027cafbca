"""Over a real connection: what a server passes on, and what it does not let pass."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from taquba.admin import serve
from tests.admin.security.asking import TOKEN
from tests.admin.security.conftest import QUEUE, Site, opened
from tests.admin.security.test_other_sites import contents

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = "a" * 100_000

# What is sent as it stands; HOST and CSRF are put in. None of it may be answered with data.
REFUSED: dict[str, str] = {
    "no host": "GET /api/info HTTP/1.1\r\n\r\n",
    "no host of old": "GET /api/info HTTP/1.0\r\n\r\n",
    "two hosts": "GET /api/info HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n",
    "another host": "GET /api/info HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a host over two lines": "GET /api/info HTTP/1.1\r\nHost: HOST,\r\n evil.example\r\n\r\n",
    "a space before the colon": "GET /api/info HTTP/1.1\r\nHost : HOST\r\n\r\n",
    "a NUL in a header": "GET /api/info HTTP/1.1\r\nHost: HOST\r\nA: \x00\r\n\r\n",
    "a NUL in the path": "GET /api/info\x00 HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "another address in the target": (
        "GET http://evil.example/api/info HTTP/1.1\r\nHost: HOST\r\n\r\n"
    ),
    "an address and another host": (
        "GET http://HOST/api/info HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    ),
    "a proxy's target": "CONNECT evil.example:443 HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "no target": "OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "an echo": "TRACE /api/info HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "another protocol": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no protocol": "GET /api/info\r\n\r\n",
    "a path above": "GET /../../../etc/passwd HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "a path above the files": "GET /static/../../../etc/passwd HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "an encoded path above": (
        "GET /static/%2e%2e%2f%2e%2e%2f__init__.py HTTP/1.1\r\nHost: HOST\r\n\r\n"
    ),
    "a backslash": "GET /static/..\\..\\__init__.py HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "a proxy": "GET /api/info HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
    "a long line": f"GET /api/info?{LONG} HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "nonsense": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}

LAST = "GET /api/health HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
JOB = '{"queue":"email","payload":"smuggled"}'
HEAD = "POST /api/jobs HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n"

# Bodies whose end two parsers would see in two places.
AMBIGUOUS: dict[str, str] = {
    "two lengths": f"{HEAD}Content-Length: 0\r\nContent-Length: 38\r\n\r\n{JOB}",
    "two lengths in one": f"{HEAD}Content-Length: 0, 38\r\n\r\n{JOB}",
    "a signed length": f"{HEAD}Content-Length: +38\r\n\r\n{JOB}",
    "a negative length": f"{HEAD}Content-Length: -1\r\n\r\n{JOB}",
    "a hexadecimal length": f"{HEAD}Content-Length: 0x26\r\n\r\n{JOB}",
    "an unknown coding": f"{HEAD}Transfer-Encoding: xchunked\r\n\r\n26\r\n{JOB}\r\n0\r\n\r\n",
    "two codings": f"{HEAD}Transfer-Encoding: chunked, identity\r\n\r\n26\r\n{JOB}\r\n0\r\n\r\n",
    "a chunk without a size": f"{HEAD}Transfer-Encoding: chunked\r\n\r\nx\r\n{JOB}\r\n0\r\n\r\n",
    "a chunk that is too long": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n{JOB}\r\n0\r\n\r\n",
    "a request in a body": f"{HEAD}Content-Length: 0\r\n\r\n{HEAD}Content-Length: 38\r\n\r\n{JOB}",
}


@dataclass(frozen=True)
class Server:
    """Where an app is served, and what it is about."""

    site: Site
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def say(self, text: str, *, goes: bool = False) -> str:
        """Send bytes as they stand, and read what comes back until the server closes.

        Args:
            text: What is sent.
            goes: Whether the client goes away then; else it asks a last question, whose answer
                ends the connection.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        sent = text if goes else text + LAST
        with contextlib.suppress(ConnectionError):
            writer.write(sent.replace("HOST", self.host).encode("latin-1"))
            if goes:
                writer.write_eof()
            await writer.drain()
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := await asyncio.wait_for(reader.read(65_536), 20.0):
                answer += part
        writer.transport.abort()
        return answer.decode("latin-1")

    async def csrf(self) -> str:
        """What proves that a page of the app asks."""
        info = await self.say("GET /api/info HTTP/1.1\r\nHost: HOST\r\n\r\n")
        return info.partition('"csrf":"')[2].partition('"')[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    """An app without a token, served on loopback: one for all, since its end takes a while."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with opened() as site:
        serving = asyncio.ensure_future(serve(site.app(), port=0, on_ready=ready.set_result))
        try:
            url = await asyncio.wait_for(ready, 20.0)
            yield Server(site, int(url.rstrip("/").rpartition(":")[2]))
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


def statuses(text: str) -> list[int]:
    """The statuses of the answers that came."""
    return [int(status) for status in re.findall(r"HTTP/1\.[01] ([0-9]{3}) ", text)]


async def test_a_plain_request_is_answered_and_the_server_does_not_say_what_it_is(
    server: Server,
) -> None:
    answer = await server.say("GET /api/info HTTP/1.1\r\nHost: HOST\r\n\r\n")

    assert statuses(answer) == [200, 200]
    assert '"csrf"' in answer
    assert "\r\nserver:" not in answer.lower()
    assert "x-powered-by" not in answer.lower()


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
async def test_an_odd_request_gets_no_data(server: Server, request_: str) -> None:
    answer = await server.say(request_)

    assert 400 <= statuses(answer)[0] < 500
    for content in ('"csrf"', "root:", "import ", "Traceback"):
        assert content not in answer


async def test_a_job_whose_length_is_clear_is_taken(server: Server) -> None:
    proof = f"X-Taquba-CSRF: {await server.csrf()}\r\nContent-Length: {len(JOB)}\r\n"

    answer = await server.say(f"{HEAD}{proof}\r\n{JOB}")

    assert statuses(answer) == [201, 200]


@pytest.mark.parametrize("request_", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_no_job_is_smuggled_in_a_body(server: Server, request_: str) -> None:
    before = await contents(server.site)
    proof = f"X-Taquba-CSRF: {await server.csrf()}\r\n"

    answer = await server.say(request_.replace(HEAD, HEAD + proof, 1))

    assert 400 <= statuses(answer)[0] < 500
    assert 201 not in statuses(answer)
    assert await contents(server.site) == before


async def test_a_client_that_goes_in_the_midst_of_its_body_changes_nothing(server: Server) -> None:
    csrf = await server.csrf()
    before = await contents(server.site)

    answer = await server.say(
        f"{HEAD}X-Taquba-CSRF: {csrf}\r\nContent-Length: 1000000\r\n\r\n{JOB}", goes=True
    )

    assert 201 not in statuses(answer)
    assert await contents(server.site) == before


async def test_a_body_without_an_end_is_answered_before_it_ends(server: Server) -> None:
    csrf = await server.csrf()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = HEAD.replace("/api/jobs", "/api/kv").replace("HOST", server.host)
    writer.write(f"{head}X-Taquba-CSRF: {csrf}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())

    async def pour() -> None:
        while True:
            writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            await writer.drain()

    pouring = asyncio.ensure_future(pour())
    status_line = await asyncio.wait_for(reader.readline(), 20.0)
    pouring.cancel()
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        await pouring
    writer.transport.abort()

    assert b" 413 " in status_line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "taquba.example", ""])  # noqa: S104
async def test_nothing_is_bound_beyond_this_machine_without_a_token(site: Site, host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        await serve(site.app(), host=host, port=0)

    assert QUEUE in await site.queue.list_queues()


async def test_with_a_token_it_may_be_bound_anywhere(site: Site) -> None:
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = site.app(token=TOKEN)
    serving = asyncio.ensure_future(
        serve(app, host="0.0.0.0", port=0, on_ready=bound.set_result)  # noqa: S104 - as it says
    )

    url = await asyncio.wait_for(bound, 20.0)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving

    assert url.startswith("http://")
