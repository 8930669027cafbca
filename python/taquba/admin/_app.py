"""The app: finds the endpoint of a request, lets it in or not, has it checked and answered.

Invariants:
    1. A request is guarded by the rules of the very endpoint that answers it: the path is looked up
       once.
    2. Every answer has the headers of `_HEADERS`, refusals and files among them.
    3. An error of ours is logged and told without its text.
"""

import contextlib
import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final, final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from taquba._checks import check_instance, refuse
from taquba.admin._endpoint import Access, Body, Endpoint
from taquba.admin._guard import Guard, Identity, is_host
from taquba.admin._overview import Overview
from taquba.admin._ownership import Ownership
from taquba.admin._readiness import Readiness
from taquba.admin._refusal import Refusal, refusal_of
from taquba.admin._requests import Asked, read_body, read_lines, read_object, read_query
from taquba.admin._routes import BY_PATH
from taquba.admin._sessions import Sessions
from taquba.admin._site import Site, runtimes_by_queue
from taquba.admin._static import find_files
from taquba.admin._streams import Streams
from taquba.admin._wire import as_json
from taquba.exceptions import TaqubaError
from taquba.queue import Queue, QueueReader
from taquba.workflow import WorkflowRuntime

__all__ = ["create_app", "site_of", "stop"]

_logger = logging.getLogger("taquba.admin")

_TOKEN: Final = re.compile(r"[!-~]{16,4096}")
_LOGGED_CHARACTERS_MAX: Final = 200
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def create_app(  # noqa: PLR0913 - keyword arguments are the settings
    source: Queue | QueueReader,
    *,
    runtimes: Iterable[WorkflowRuntime] = (),
    token: str | None = None,
    hosts: Iterable[str] = (),
    allow_actions: bool = True,
    show_payloads: bool = False,
) -> Starlette:
    """Make the admin app of a queue: an API and a dashboard, to be mounted or served.

    Without a token it answers this machine only, and nothing that a proxy has forwarded. With one
    it answers who has it, in `Authorization: Bearer`, or has logged in with it.

    Args:
        source: An open queue, or a reader, whose app changes nothing.
        runtimes: What submits runs, one for each queue of steps; of this queue.
        token: What who asks has to know, at least 16 characters; `new_token` makes one.
        hosts: Names, with or without a port, under which the app is reached beside those of this
            machine; with a token any name if absent. Without a token they change nothing.
        allow_actions: Whether jobs and runs may be added, changed and removed.
        show_payloads: Whether payloads, results and values may be seen.

    Returns:
        An ASGI app.

    Raises:
        InvalidArgumentError: A value is outside its bounds; the message names both.

    Example:
        >>> app = create_app(queue, token=new_token())
        >>> await serve(app)
    """
    check_instance("source", source, (Queue, QueueReader))
    check_instance("allow_actions", allow_actions, bool)
    check_instance("show_payloads", show_payloads, bool)
    if token is not None:
        _check_token(token)
    sessions = Sessions(token)
    ownership = Ownership(source)
    site = Site(
        source=source,
        runtimes=runtimes_by_queue(source, runtimes),
        allow_actions=allow_actions,
        show_payloads=show_payloads,
        sessions=sessions,
        guard=Guard(sessions, _checked_hosts(hosts)),
        overview=Overview(source, ownership),
        ownership=ownership,
        readiness=Readiness(source, ownership),
        streams=Streams(),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        site.start()
        yield
        site.stop()

    app = Starlette(
        routes=[Mount("", app=_Door(site))],
        lifespan=lifespan,
        exception_handlers={HTTPException: _tell},
    )
    app.state.site = site
    return app


def stop(app: Starlette) -> None:
    """End the event streams of an app, so that the server that it is mounted in can end.

    A server that ends in good order waits for open connections, and a dashboard keeps one. Call
    this when the process is told to stop. `serve` does it by itself.

    Args:
        app: What `create_app` returned.

    Raises:
        ArgumentTypeError: It is another app.
    """
    site_of(app).stop()


def site_of(app: Starlette) -> Site:
    """Return what an app of `create_app` is about.

    Raises:
        ArgumentTypeError: It is another app.
    """
    site = getattr(getattr(app, "state", None), "site", None)
    check_instance("app", site, Site)
    assert isinstance(site, Site), "it was checked"  # noqa: S101 - for the type checker
    return site


def _check_token(token: str) -> None:
    check_instance("token", token, str)
    if _TOKEN.fullmatch(token) is None:
        # The value itself is a secret.
        remedy = "give 16 to 4,096 printable characters of ASCII without blanks, as of `new_token`"
        refuse("token", "not shown", remedy)


def _checked_hosts(hosts: Iterable[str]) -> list[str]:
    if isinstance(hosts, str):
        refuse("hosts", hosts, "give several: a tuple or a list")
    names = list(hosts)
    for name in names:
        check_instance("hosts", name, str)
        if not is_host(name):
            refuse("hosts", name, "give names such as `example.com` or `example.com:8443`")
    return names


@final
class _Door:
    """What every request passes."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._files = find_files()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; turn away what is no HTTP."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Refusal as refusal:
            response = refusal.response()
        except TaqubaError as error:
            response = refusal_of(error).response()
        except ClientDisconnect:
            return
        except Exception:
            _logger.exception("a request to %r failed", _path_of(scope)[:_LOGGED_CHARACTERS_MAX])
            message = "something went wrong here; the log of this process says what"
            response = Refusal(500, "internal", message).response()
        _finish(response, request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path, method = _path_of(request.scope), request.method
        reading = "GET" if method == "HEAD" else method
        by_method = BY_PATH.get(path, {})
        endpoint = by_method.get(reading)
        if endpoint is None or endpoint.access is not Access.ALL:
            self._site.guard.check_place(request)
        if path in self._files and reading == "GET":
            return self._files[path].answer(request)
        if endpoint is not None:
            return await self._asked(request, endpoint)
        if not path and reading == "GET":
            return RedirectResponse(f"{request.scope.get('root_path', '')}/")
        if by_method or path in self._files:
            allowed = sorted({*by_method} or {"GET"})
            headers = {"Allow": ", ".join([*allowed, *(["HEAD"] if "GET" in allowed else [])])}
            message = f"`{method[:16]}` is not done here"
            raise Refusal(405, "method-not-allowed", message, headers=headers)
        raise Refusal(404, "not-found", "nothing is here")

    async def _asked(self, request: Request, endpoint: Endpoint) -> Response:
        identity = self._admitted(request, endpoint)
        try:
            asked = await _read(request, endpoint, identity)
        except Refusal:
            if self._is_login(endpoint):
                self._site.sessions.count_wrong()
            raise
        answer = await endpoint.handler(self._site, asked)
        if endpoint.changes:
            self._site.overview.expire()
        if isinstance(answer, Response):
            return answer
        return Response(as_json(answer), endpoint.status, media_type=endpoint.media_type)

    def _admitted(self, request: Request, endpoint: Endpoint) -> Identity:
        """Let a request in, or refuse it."""
        guard = self._site.guard
        if endpoint.access is Access.ALL:
            return Identity()
        if endpoint.is_safe:
            guard.check_site(request)
        else:
            guard.check_page(request)
            _check_content_type(request, endpoint)
        # A login has nothing to show yet.
        is_login = self._is_login(endpoint)
        identity = Identity() if is_login else guard.identify(request)
        if not endpoint.is_safe and not is_login:
            guard.check_proof(request, identity)
        if endpoint.changes:
            self._site.queue()
        return identity

    def _is_login(self, endpoint: Endpoint) -> bool:
        return endpoint.access is Access.PLACE and self._site.sessions.has_token


async def _read(request: Request, endpoint: Endpoint, identity: Identity) -> Asked:
    """Read what a request asks for, and check it."""
    query = read_query(request.scope["query_string"], endpoint.query)
    if endpoint.body is Body.NONE:
        return Asked(request, identity, query)
    body = await read_body(request, endpoint.body_bytes_max)
    if endpoint.body is Body.OBJECT:
        return Asked(request, identity, query, read_object(body, endpoint.fields))
    lines = await read_lines(body, endpoint.fields)
    return Asked(request, identity, query, lines=lines)


def _check_content_type(request: Request, endpoint: Endpoint) -> None:
    wanted = endpoint.body if endpoint.body is not Body.NONE else Body.OBJECT
    given = request.headers.getlist("content-type")
    media_type, _, parameters = (given[0] if len(given) == 1 else "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media_type.strip().lower() != wanted.value or charset not in {"", "charset=utf-8"}:
        message = f"`Content-Type` must be `{wanted.value}`"
        raise Refusal(415, "unsupported-media-type", message, field="Content-Type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        message = "a compressed body is not read"
        raise Refusal(415, "unsupported-media-type", message, field="Content-Encoding")


def _path_of(scope: Scope) -> str:
    """Return the path below the place where the app is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    is_below = path == root or path.startswith(f"{root}/")
    return path[len(root) :] if root and is_below else path


def _finish(response: Response, request: Request) -> None:
    """Give an answer what every answer has, and take from it what none to `HEAD` has."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.method == "HEAD":
        response.body = b""


async def _tell(request: Request, error: Exception) -> Response:
    """Answer what does not even have a path."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    response = Refusal(status, "not-found", "nothing is here").response()
    _finish(response, request)
    return response
