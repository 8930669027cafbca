"""Server-sent events: the overview, again and again, until somebody has enough."""

import asyncio
import json

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from taquba import Queue
from taquba.admin import _events, create_app, stop
from taquba.admin._app import site_of
from tests.admin.asking import scope_of, text_of
from tests.waiting import eventually


class Listener:
    """One who listens, until it goes."""

    def __init__(self, app: Starlette) -> None:
        self.messages: list[Message] = []
        self.gone = asyncio.Event()
        self.task = asyncio.ensure_future(app(scope_of("/api/events"), self._receive, self._send))

    async def first(self) -> None:
        """Waits for the first event."""

        async def has_heard() -> bool:
            return len(self.messages) > 1

        await eventually(has_heard, "the first event")

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.messages.append(message)


async def test_a_listener_hears_the_overview_and_goes(owned: Queue) -> None:
    await owned.enqueue("emails", b"x")
    app = create_app(owned)

    listener = Listener(app)
    await listener.first()
    assert site_of(app).streams.count == 1
    listener.gone.set()
    await listener.task

    start, *_ = listener.messages
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert b"content-security-policy" in headers
    name, data = text_of(listener.messages).split("\n\n")[0].split("\n")
    assert name == "event: overview"
    assert json.loads(data.removeprefix("data: "))["queues"][0]["name"] == "emails"
    assert site_of(app).streams.count == 0


async def test_a_stopped_app_ends_its_streams(owned: Queue) -> None:
    app = create_app(owned)
    listener = Listener(app)
    await listener.first()

    stop(app)

    await listener.task
    assert listener.messages[-1] == {"type": "http.response.body", "body": b""}


async def test_a_queue_that_is_closed_ends_its_streams(
    owned: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_events, "_INTERVAL_SECONDS", 0.05)
    app = create_app(owned)
    listener = Listener(app)
    await listener.first()

    await owned.close()
    site_of(app).overview.expire()

    await listener.task
    refused = Listener(app)
    await refused.task
    assert refused.messages[0]["status"] == 503


@pytest.mark.parametrize("is_stopped", [False, True])
async def test_who_does_not_read_is_let_go(
    owned: Queue, monkeypatch: pytest.MonkeyPatch, *, is_stopped: bool
) -> None:
    monkeypatch.setattr(_events, "_SEND_SECONDS_MAX", 3_600.0 if is_stopped else 0.05)
    monkeypatch.setattr(_events, "_LAST_SECONDS_MAX", 0.05)
    app = create_app(owned)
    is_blocked = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            is_blocked.set()
            await asyncio.Event().wait()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.ensure_future(app(scope_of("/api/events"), receive, send))
    async with asyncio.timeout(20):
        await is_blocked.wait()
        if is_stopped:
            stop(app)
        await task

    assert site_of(app).streams.count == 0


async def test_sixty_four_listen_at_most(owned: Queue) -> None:
    app = create_app(owned)
    listeners = [Listener(app) for _ in range(64)]
    for listener in listeners:
        await listener.first()

    late = Listener(app)
    await late.task
    listeners[0].gone.set()
    await listeners[0].task
    later = Listener(app)
    await later.first()

    assert late.messages[0]["status"] == 503
    assert json.loads(text_of(late.messages))["error"]["code"] == "too-many-streams"
    assert later.messages[0]["status"] == 200
    for listener in (*listeners, later):
        listener.gone.set()
        await listener.task
