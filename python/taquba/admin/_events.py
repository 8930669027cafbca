"""Server-sent events: the overview, again and again, to whoever listens.

Invariants:
    1. At most `STREAM_COUNT_MAX` listen at once.
    2. A stream ends when its listener goes or does not read, its session is closed, the store is
       lost or the app is stopped.
"""

import asyncio
from typing import Any, Final, final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from taquba.admin._refusal import Refusal
from taquba.admin._requests import Asked
from taquba.admin._site import Site
from taquba.exceptions import TaqubaError

__all__ = ["STREAM_COUNT_MAX", "events"]

STREAM_COUNT_MAX: Final = 64

_INTERVAL_SECONDS: Final = 2.0
# Who does not read holds up each event, and the end of the app.
_SEND_SECONDS_MAX: Final = 10.0
_LAST_SECONDS_MAX: Final = 0.5
_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    # Asks proxies to pass on each event as it comes.
    "x-accel-buffering": "no",
}


_Ends = set[asyncio.Task[Any]]


async def events(site: Site, asked: Asked) -> Response:
    """Send the overview every two seconds."""
    if site.streams.count >= STREAM_COUNT_MAX:
        message = f"{STREAM_COUNT_MAX} listen already: come back later"
        raise Refusal(503, "too-many-streams", message, headers={"Retry-After": "10"})
    # Counted here, or any number of requests would pass while the first ones wait.
    site.streams.count += 1
    try:
        # What goes wrong at once is told as for any other request.
        await site.overview.current()
    except BaseException:
        site.streams.count -= 1
        raise
    return _Stream(site, asked)


@final
class _Stream(Response):
    """The answer that goes on."""

    def __init__(self, site: Site, asked: Asked) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._site = site
        self._session = asked.identity.session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until somebody has enough."""
        ending = asyncio.create_task(_gone(receive))
        stopping = asyncio.create_task(self._site.streams.stopped.wait())
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            is_read = await _send(send, start, {ending, stopping})
            if is_read and scope["method"] != "HEAD":
                is_read = await self._send_all(send, {ending, stopping})
            # What is not read has no end: the server closes the connection.
            if is_read:
                await _send(send, {"type": "http.response.body", "body": b""}, {ending, stopping})
        finally:
            ending.cancel()
            stopping.cancel()
            self._site.streams.count -= 1

    async def _send_all(self, send: Send, ends: _Ends) -> bool:
        """Send events until one of the ends; return whether the last one was taken."""
        sent: bytes | None = None
        while self._session is None or self._site.sessions.is_open(self._session):
            try:
                overview = await self._site.overview.current()
            except TaqubaError:
                # Who connects again is told what it is.
                return True
            is_new = overview is not sent
            body = b"event: overview\ndata: " + overview if is_new else b": keep-alive"
            sent = overview
            message = {"type": "http.response.body", "body": body + b"\n\n", "more_body": True}
            if not await _send(send, message, ends):
                return False
            done, _ = await asyncio.wait(
                ends, timeout=_INTERVAL_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return True
        return True


async def _send(send: Send, message: Message, ends: _Ends) -> bool:
    """Send a message; return whether it was taken in time, which is short after one of the ends."""
    sending = asyncio.ensure_future(send(message))
    try:
        await asyncio.wait(
            {sending, *ends}, timeout=_SEND_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED
        )
        if not sending.done() and any(end.done() for end in ends):
            await asyncio.wait({sending}, timeout=_LAST_SECONDS_MAX)
        if sending.done():
            sending.result()
            return True
        return False
    finally:
        sending.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
