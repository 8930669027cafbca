"""Asking an app in this process, as a page or a program does."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.types import Message

URL = "http://localhost:8420"
JSON = "application/json"
LINES = "application/x-ndjson"


class Asker:
    """One who asks: knows the token if there is one, else proves that it has read `api/info`."""

    def __init__(self, client: httpx.AsyncClient, token: str | None = None) -> None:
        self.client = client
        self._bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._proof: dict[str, str] = {}

    async def get(self, path: str, status: int = 200, /, **query: object) -> Any:
        """Asks, and returns the answer if it has the status."""
        response = await self.client.get(path, params=_known(query), headers=self._bearer)
        return _body(response, status)

    async def post(self, path: str, status: int = 200, /, **body: object) -> Any:
        """Sends a JSON body."""
        response = await self.client.post(path, json=body, headers=await self._headers(JSON))
        return _body(response, status)

    async def lines(self, path: str, status: int, content: bytes, **query: object) -> Any:
        """Sends a batch."""
        headers = await self._headers(LINES)
        response = await self.client.post(
            path, content=content, params=_known(query), headers=headers
        )
        return _body(response, status)

    async def delete(self, path: str, status: int = 200, /, **query: object) -> Any:
        """Deletes."""
        headers = await self._headers(JSON)
        response = await self.client.delete(path, params=_known(query), headers=headers)
        return _body(response, status)

    async def _headers(self, content_type: str) -> dict[str, str]:
        if not self._bearer and not self._proof:
            self._proof = {"X-Taquba-CSRF": (await self.get("/api/info"))["csrf"]}
        return {"Content-Type": content_type, **self._bearer, **self._proof}


@asynccontextmanager
async def asking(app: Starlette, token: str | None = None) -> AsyncIterator[Asker]:
    """Asks an app from this machine."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield Asker(client, token)


def scope_of(path: str, method: str = "GET") -> dict[str, Any]:
    """A request as a server hands it over, for answers that `httpx` would wait for for ever."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost:8420")],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8420),
    }


def text_of(messages: list[Message]) -> str:
    """The body of an answer."""
    return b"".join(message.get("body", b"") for message in messages).decode()


def _known(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}


def _body(response: httpx.Response, status: int) -> Any:
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith(JSON)
    return response.json()
