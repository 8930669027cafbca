"""Serving the app by itself, beside the work of a process.

Invariants:
    1. Without a token nothing but a loopback address is listened on.
    2. Signals stay with the process: whoever serves ends it by cancelling it.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Final, final

import uvicorn
from starlette.applications import Starlette

from taquba._checks import PORT_MAX, check_count, check_instance, refuse
from taquba._loopback import is_loopback
from taquba.admin._app import site_of

__all__ = ["serve"]

_SHUTDOWN_SECONDS: Final = 3


async def serve(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8420,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve an admin app over HTTP until cancelled.

    Cancellation: stops listening, lets requests under way end for up to 3 seconds, then raises
    `CancelledError`.

    Args:
        app: What `create_app` returned.
        host: The address to listen on. Others than those of this machine need a token.
        port: The port, 0 to 65,535; 0 takes a free one.
        on_ready: Is called with the URL once requests are answered.

    Raises:
        InvalidArgumentError: `host` is not of this machine, and the app has no token.
        OSError: The address cannot be listened on.

    Example:
        >>> app = create_app(queue)
        >>> serving = asyncio.create_task(serve(app, on_ready=print))
    """
    site = site_of(app)
    check_instance("host", host, str)
    check_count("port", port, PORT_MAX, 0)
    if not site.sessions.has_token and not is_loopback(host):
        refuse("host", host, "give `create_app` a token, or listen on 127.0.0.1")
    with await _listener(host, port) as listener:
        config = uvicorn.Config(
            app,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            # Without a token nothing forwarded is answered at all.
            proxy_headers=site.sessions.has_token,
        )
        bound = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        server = _Server(config, lambda: on_ready and on_ready(f"http://{shown}:{bound}/"))
        serving = asyncio.ensure_future(server.serve([listener]))
        try:
            await asyncio.shield(serving)
        finally:
            # Streams of events would go on for as long as somebody listens.
            site.stop()
            server.should_exit = True
            await serving


@final
class _Server(uvicorn.Server):
    """A server that says when it is ready, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def _listener(host: str, port: int) -> socket.socket:
    """Bind here, where a failure is an error: uvicorn ends the process."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    return socket.create_server((address[0], port), family=family)
