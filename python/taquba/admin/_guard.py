"""Who may ask: where a request comes from, whom it was meant for, and what it proves.

Invariants:
    1. Without a token only this machine is answered, under a name that is this machine's, and
       nothing that says it was forwarded is: a proxy would make everybody local. A TCP tunnel, or a
       proxy that adds nothing, cannot be seen: an app that is mounted needs a token.
    2. A name that was not meant for this app is refused, so no other site's name can be pointed at
       it (DNS rebinding).
    3. A change comes from a page of this app, or from a program that has the token: other sites
       can neither set the content type, nor read the proof, nor hide where they are.

Not here:
    Which endpoints exist and what they take is `_routes.py`; sessions are in `_sessions.py`.
"""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

from starlette.requests import Request

from taquba._checks import PORT_MAX
from taquba._loopback import is_loopback
from taquba.admin._refusal import Refusal
from taquba.admin._sessions import Sessions, unauthorized

__all__ = ["COOKIE", "CSRF_HEADER", "Guard", "Identity", "is_host"]

COOKIE: Final = "taquba_session"
CSRF_HEADER: Final = "x-taquba-csrf"

_HOST: Final = re.compile(
    r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9][A-Za-z0-9._-]{0,252})(?::([0-9]{1,5}))?"
)
# What proxies add, or change: many speak HTTP/1.0 to what is behind them.
_FORWARDED: Final = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "cf-connecting-ip", "true-client-ip"}
)
_FORWARDED_PREFIXES: Final = ("x-forwarded", "x-original-")
_DIRECT_VERSIONS: Final = frozenset({"1.1", "2", "3"})
_SAME_SITE: Final = frozenset({"same-origin", "none"})


@final
@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks.

    Args:
        session: The id of the session, if it is a browser that has logged in.
        has_token: Whether the request had the token itself.
    """

    session: str | None = None
    has_token: bool = False


@final
class Guard:
    """The rules of one app.

    Args:
        sessions: Its token and its sessions.
        hosts: The names, with or without a port, under which it is reached beside loopback ones.
    """

    def __init__(self, sessions: Sessions, hosts: Iterable[str]) -> None:
        self._sessions = sessions
        self._hosts = frozenset(host.lower() for host in hosts)

    def check_place(self, request: Request) -> None:
        """Refuse what comes from elsewhere, or was meant for somebody else.

        Raises:
            Refusal: It does, or was.
        """
        host = _host_of(request)
        if not self._sessions.has_token:
            self._check_local(request, host)
        elif not self._takes(host):
            message = "this name is not one of `hosts`"
            raise Refusal(403, "forbidden-host", message)

    def check_page(self, request: Request) -> None:
        """Refuse a change that a page of another site may have sent.

        Raises:
            Refusal: One of its headers says so.
        """
        origins = request.headers.getlist("origin")
        own = f"{request.scope['scheme']}://{request.headers['host']}".lower()
        if any(origin.lower() != own for origin in origins) or len(origins) > 1:
            raise Refusal(403, "forbidden-origin", "this comes from a page of another site")
        self.check_site(request)

    def check_site(self, request: Request) -> None:
        """Refuse what a browser says another site has asked for.

        Raises:
            Refusal: It says so.
        """
        if not _SAME_SITE.issuperset(request.headers.getlist("sec-fetch-site")):
            raise Refusal(403, "forbidden-origin", "this comes from a page of another site")

    def identify(self, request: Request) -> Identity:
        """Find out who asks.

        Raises:
            Refusal: A token is needed, and is missing or wrong.
        """
        if not self._sessions.has_token:
            return Identity()
        given = request.headers.getlist("authorization")
        if given:
            scheme, _, token = given[0].partition(" ")
            if len(given) > 1 or scheme.lower() != "bearer":
                message = "give `Authorization: Bearer TOKEN`"
                raise unauthorized(message)
            # As it came over the wire: a header is Latin-1 here.
            self._sessions.check_token(token.strip(" ").encode("latin-1"))
            return Identity(has_token=True)
        session = request.cookies.get(COOKIE)
        if session is None or not self._sessions.is_open(session):
            message = "log in, or give `Authorization: Bearer TOKEN`"
            raise unauthorized(message)
        return Identity(session)

    def check_proof(self, request: Request, identity: Identity) -> None:
        """Refuse a change whose sender cannot have read the proof.

        Raises:
            Refusal: The header is missing or wrong.
        """
        if identity.has_token:
            return
        given = request.headers.getlist(CSRF_HEADER)
        proof = self._sessions.proof(identity.session)
        sent = given[0].encode("latin-1") if len(given) == 1 else b""
        if not hmac.compare_digest(sent, proof.encode()):
            message = "the header `X-Taquba-CSRF` must be `csrf` of `api/info`"
            raise Refusal(403, "csrf", message, field="X-Taquba-CSRF")

    def _check_local(self, request: Request, host: str) -> None:
        client = request.client
        is_forwarded = request.scope["http_version"] not in _DIRECT_VERSIONS or any(
            name in _FORWARDED or name.startswith(_FORWARDED_PREFIXES) for name in request.headers
        )
        if client is None or not is_loopback(client.host) or is_forwarded:
            message = "only this machine may ask, directly: give `create_app` a token for others"
            raise Refusal(403, "forbidden-client", message)
        if not is_loopback(_name_of(host)):
            message = "without a token this is reached as `localhost` or 127.0.0.1 only"
            raise Refusal(403, "forbidden-host", message)

    def _takes(self, host: str) -> bool:
        name = _name_of(host)
        return not self._hosts or bool({host, name} & self._hosts) or is_loopback(name)


def is_host(text: str) -> bool:
    """Return whether a text is a host name or an address, with or without a port."""
    match = _HOST.fullmatch(text)
    if match is None or int(match[2] or 0) > PORT_MAX:
        return False
    if not text.startswith("["):
        return True
    try:
        ipaddress.IPv6Address(match[1][1:-1])
    except ValueError:
        return False
    return True


def _host_of(request: Request) -> str:
    """Return the one host that the request was meant for, in lower case, with its port."""
    given = request.headers.getlist("host")
    if len(given) != 1 or not is_host(given[0]):
        raise Refusal(400, "invalid-host", "the header `Host` must be there once, and be a name")
    return given[0].lower()


def _name_of(host: str) -> str:
    return host[: host.index("]") + 1] if host.startswith("[") else host.partition(":")[0]
