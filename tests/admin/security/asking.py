"""Asking an app as a hostile client would: raw targets, headers given twice, bodies without an end.

Every answer is held against what all answers must have, whatever they say.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

HOST: Final = "127.0.0.1:8420"
LOCAL: Final = ("127.0.0.1", 50_000)
REMOTE: Final = ("192.0.2.7", 50_000)
TOKEN: Final = "correct-horse-battery-staple-0123456789"  # noqa: S105 - of these tests only
"""Of the apps of these tests."""

CSP: Final = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
}

Headers = Iterable[tuple[str, str]]
Body = bytes | Iterable[bytes]


@dataclass
class Answer:
    """What came back, and how much of the body was taken for it."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    taken_bytes: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def all_of(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str:
        """The value of a header that is there once, or nothing."""
        values = self.all_of(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else ""

    @property
    def kind(self) -> str:
        return self.header("content-type").partition(";")[0]

    def json(self) -> Any:
        assert self.kind == "application/json", self.kind
        return json.loads(self.body)

    @property
    def error(self) -> Mapping[str, Any]:
        """The error that a refusal tells, held against its form."""
        error: dict[str, Any] = self.json()["error"]
        assert error.keys() == {"code", "message", "field"}
        assert isinstance(error["message"], str)
        assert error["message"] != ""
        return error

    @property
    def code(self) -> str:
        code = self.error["code"]
        assert isinstance(code, str)
        return code


def check_answer(answer: Answer) -> None:
    """What holds for every answer, also for errors, pages and files."""
    assert {each.strip() for each in answer.header("content-security-policy").split(";")} == CSP
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("cross-origin-resource-policy") == "same-origin"
    assert answer.header("cache-control") in {"no-store", "no-cache"}
    assert [name for name, _ in answer.headers if name.startswith("access-control-")] == []
    assert answer.status != 500
    # What workers have said is data, and may have frames in it.
    if answer.status >= 400:
        for trace in (b"Traceback", b'File \\"', b".py", b"site-packages"):
            assert trace not in answer.body


def scope_of(
    method: str, target: str, headers: Headers, client: tuple[str, int] | None, scheme: str
) -> dict[str, Any]:
    """A request as a server describes it, with its path decoded once."""
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers],
        "client": client,
        "server": ("127.0.0.1", 8420),
        "state": {},
    }


async def ask(
    app: ASGIApp,
    method: str,
    target: str,
    *,
    host: str | None = HOST,
    headers: Headers = (),
    body: Body = b"",
    client: tuple[str, int] | None = LOCAL,
    scheme: str = "http",
) -> Answer:
    """Ask once, and read the answer to its end.

    Args:
        app: What is asked.
        method: As on the wire.
        target: Path and query as on the wire, percent-encoded or not.
        host: The header `Host`; none if absent.
        headers: The other headers, in this order.
        body: Bytes, or parts of them that are given as they are asked for.
        client: Where it comes from.
        scheme: `http` or `https`.
    """
    given = [*([] if host is None else [("host", host)]), *headers]
    async with asking(app, scope_of(method, target, given, client, scheme), body) as answer:
        await answer.ended.wait()
    check_answer(answer)
    return answer


@asynccontextmanager
async def asking(app: ASGIApp, scope: Mapping[str, Any], body: Body = b"") -> AsyncIterator[Answer]:
    """Ask, and hold the answer open once it has begun: for streams. Leaving is going away."""
    answer = Answer()
    parts = iter([body] if isinstance(body, bytes) else body)
    is_gone = asyncio.Event()
    began = asyncio.Event()
    is_read = False

    async def receive() -> Message:
        nonlocal is_read
        if is_read:
            await is_gone.wait()
            return {"type": "http.disconnect"}
        part = next(parts, None)
        is_read = part is None
        answer.taken_bytes += len(part or b"")
        return {"type": "http.request", "body": part or b"", "more_body": not is_read}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert not began.is_set(), "answered twice"
            answer.status = message["status"]
            answer.headers = [
                (name.decode("latin-1").lower(), value.decode("latin-1"))
                for name, value in message["headers"]
            ]
            began.set()
        else:
            answer.body += message.get("body", b"")
            if not message.get("more_body", False):
                answer.ended.set()

    async def run() -> None:
        try:
            await app(dict(scope), receive, send)
        finally:
            # Without an answer nobody shall wait for one.
            began.set()
            answer.ended.set()

    task = asyncio.ensure_future(run())
    try:
        await began.wait()
        yield answer
    finally:
        is_gone.set()
        await task
