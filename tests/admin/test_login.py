"""Tokens and sessions: who is answered when a token is set."""

import httpx
import pytest
from starlette.applications import Starlette

from taquba import Queue
from taquba.admin import create_app, new_token
from tests.admin.asking import URL, asking

TOKEN = new_token()


@pytest.fixture
def guarded(owned: Queue) -> Starlette:
    """An app with a token."""
    return create_app(owned, token=TOKEN)


def browser(app: Starlette) -> httpx.AsyncClient:
    """A client that keeps cookies."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL)


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {43}


async def test_a_program_gives_the_token_with_each_request(guarded: Starlette) -> None:
    async with asking(guarded, TOKEN) as asker:
        assert (await asker.get("/api/info"))["needs_login"] is True
        assert await asker.post("/api/kv", key="a", value="b") == {}

    async with asking(guarded) as stranger:
        answer = await stranger.get("/api/info", 401)
    assert answer["needs_login"] is True
    assert answer["error"]["code"] == "unauthorized"


async def test_a_browser_logs_in_and_out(guarded: Starlette) -> None:
    async with browser(guarded) as client:
        wrong = await client.post("/api/session", json={"token": "x" * 43})
        login = await client.post("/api/session", json={"token": TOKEN})
        info = await client.get("/api/info")
        proof = {"X-Taquba-CSRF": info.json()["csrf"], "Content-Type": "application/json"}
        unproven = await client.post("/api/kv", json={"key": "a", "value": ""})
        proven = await client.post("/api/kv", json={"key": "a", "value": ""}, headers=proof)
        kept = client.cookies["taquba_session"]
        logout = await client.delete("/api/session", headers=proof)
        client.cookies.set("taquba_session", kept)
        after = await client.get("/api/info")

    statuses = [
        answer.status_code for answer in (wrong, login, info, unproven, proven, logout, after)
    ]
    assert statuses == [401, 200, 200, 403, 200, 200, 401]
    cookie = login.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/;" in cookie
    assert "secure" not in cookie


async def test_over_https_the_cookie_stays_there(guarded: Starlette) -> None:
    transport = httpx.ASGITransport(guarded)
    async with httpx.AsyncClient(transport=transport, base_url="https://taquba.test") as client:
        login = await client.post("/api/session", json={"token": TOKEN})

    assert "secure" in login.headers["set-cookie"].lower()


async def test_the_pages_are_had_without_a_token(guarded: Starlette) -> None:
    async with browser(guarded) as client:
        page = await client.get("/")
        again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
        missing = await client.get("/static/../_app.py")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert (page.status_code, again.status_code, missing.status_code) == (200, 304, 404)


async def test_a_head_has_no_body(guarded: Starlette) -> None:
    async with browser(guarded) as client:
        answer = await client.head("/api/health")

    assert (answer.status_code, answer.content) == (200, b"")


async def test_only_names_that_were_given_are_answered(owned: Queue) -> None:
    app = create_app(owned, token=TOKEN, hosts=["taquba.example:8443", "admin.example"])
    bearer = {"Authorization": f"Bearer {TOKEN}"}

    async def status(host: str) -> int:
        async with browser(app) as client:
            return (await client.get("/api/info", headers={"Host": host, **bearer})).status_code

    assert [await status(host) for host in ("taquba.example:8443", "admin.example:1")] == [200] * 2
    assert [await status(host) for host in ("taquba.example", "evil.example")] == [403] * 2
    assert await status("localhost:8420") == 200


async def test_wrong_tokens_are_slowed_down_and_the_right_one_is_not(guarded: Starlette) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    async with browser(guarded) as client:
        statuses = [(await client.get("/api/info", headers=wrong)).status_code for _ in range(12)]

    assert statuses == [401] * 10 + [429] * 2
    async with asking(guarded, TOKEN) as asker:
        await asker.get("/api/info")


async def test_malformed_logins_are_wrong_tokens_and_long_ones_are_not_read(
    guarded: Starlette,
) -> None:
    header = {"Content-Type": "application/json"}
    async with browser(guarded) as client:
        long = await client.post("/api/session", json={"token": "x" * 8_192})
        malformed = [
            (await client.post("/api/session", content=b"{", headers=header)).status_code
            for _ in range(11)
        ]
        right = await client.post("/api/session", json={"token": TOKEN})

    assert (long.status_code, right.status_code) == (413, 200)
    assert malformed == [400] * 9 + [429] * 2


async def test_nobody_logs_in_where_no_token_is_set(owned: Queue) -> None:
    async with asking(create_app(owned)) as asker:
        error = (await asker.post("/api/session", 409, token="x"))["error"]

    assert error["code"] == "no-token"
