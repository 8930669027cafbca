"""Logging in and out: a token becomes the cookie of a session."""

from starlette.responses import Response

from taquba.admin._guard import COOKIE
from taquba.admin._refusal import Refusal
from taquba.admin._requests import Asked
from taquba.admin._sessions import SESSION_SECONDS
from taquba.admin._site import Site

__all__ = ["login", "logout"]


async def login(site: Site, asked: Asked) -> Response:
    """Open a session."""
    if not site.sessions.has_token:
        raise Refusal(409, "no-token", "nobody needs to log in here")
    site.sessions.check_token(asked.body["token"].encode())
    response = _empty()
    scope = asked.request.scope
    response.set_cookie(
        COOKIE,
        site.sessions.begin(),
        max_age=SESSION_SECONDS,
        path=_place(asked),
        secure=scope["scheme"] == "https",
        httponly=True,
        samesite="strict",
    )
    return response


async def logout(site: Site, asked: Asked) -> Response:
    """Close the session."""
    if asked.identity.session is not None:
        site.sessions.end(asked.identity.session)
    response = _empty()
    response.delete_cookie(COOKIE, path=_place(asked), httponly=True, samesite="strict")
    return response


def _empty() -> Response:
    return Response(b"{}", media_type="application/json")


def _place(asked: Asked) -> str:
    root: str = asked.request.scope.get("root_path", "")
    return f"{root}/"
