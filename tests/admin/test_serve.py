"""Serving the app by itself: where it listens, and how it ends."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from taquba import Queue
from taquba.admin import create_app, new_token, serve
from taquba.exceptions import ArgumentTypeError, InvalidArgumentError


@contextlib.asynccontextmanager
async def serving(app: Starlette, **options: str) -> AsyncIterator[str]:
    """Serves an app on a free port, and gives its URL."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, port=0, on_ready=ready.set_result, **options))
    try:
        yield await ready
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_the_app_is_served_until_it_is_cancelled(owned: Queue) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async with serving(create_app(owned)) as url, httpx.AsyncClient(base_url=url) as client:
        assert url.startswith("http://127.0.0.1:")
        assert (await client.get("api/ready")).json() == {"status": "ready"}
        during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    assert during == handlers
    async with httpx.AsyncClient(base_url=url) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("api/ready")


async def test_a_listener_does_not_hold_up_the_end(owned: Queue) -> None:
    async with httpx.AsyncClient() as client:
        async with serving(create_app(owned)) as url:
            request = client.build_request("GET", f"{url}api/events")
            response = await client.send(request, stream=True)
            lines = response.aiter_lines()
            assert await anext(lines) == "event: overview"

        # The stream was ended, not torn off.
        rest = [line async for line in lines]
        await response.aclose()

    assert rest[0].startswith("data: ")


async def test_an_app_may_be_served_again(owned: Queue) -> None:
    app = create_app(owned)

    for _ in range(2):
        async with (
            serving(app) as url,
            httpx.AsyncClient(base_url=url) as client,
            client.stream("GET", "api/events") as response,
        ):
            assert await anext(response.aiter_lines()) == "event: overview"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.com"])  # noqa: S104 - refused
async def test_without_a_token_only_this_machine_is_listened_on(owned: Queue, host: str) -> None:
    with pytest.raises(InvalidArgumentError, match="give `create_app` a token"):
        await serve(create_app(owned), host=host, port=0)


async def test_with_a_token_any_address_may_be_listened_on(owned: Queue) -> None:
    token = new_token()

    app = create_app(owned, token=token)
    bearer = {"Authorization": f"Bearer {token}"}
    async with serving(app, host="0.0.0.0") as url, httpx.AsyncClient() as client:  # noqa: S104
        here = url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - what was listened on
        stranger = await client.get(f"{here}api/info")
        known = await client.get(f"{here}api/info", headers=bearer)

    assert (stranger.status_code, known.status_code) == (401, 200)


async def test_a_port_that_is_taken_is_an_error(owned: Queue) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await serve(create_app(owned), port=taken.getsockname()[1])


async def test_another_app_is_refused(owned: Queue) -> None:
    del owned
    with pytest.raises(ArgumentTypeError, match="app"):
        await serve(Starlette())
