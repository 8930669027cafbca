"""The process that owns a store, asked through its admin API.

Invariants:
    1. What was sent to one address goes to no other: no redirect is followed, and no proxy is used
       for this machine.
    2. The token is read from the environment, and is in no argument, address or message.
    3. An answer is read up to a bound, and whatever it holds is data.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, final
from urllib.parse import urlencode, urlsplit

from taquba._loopback import is_loopback
from taquba.cli._command import CommandError
from taquba.cli._wire import Json

__all__ = ["Owner"]

# A look at a queue of a million jobs takes seconds.
_TIMEOUT_SECONDS: Final = 60.0
_ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
_CSRF_HEADER: Final = "X-Taquba-CSRF"
_JSON: Final = "application/json"
_NDJSON: Final = "application/x-ndjson"


@final
class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an answer."""

    def redirect_request(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - as its parent
        return None


@final
class Owner:
    """The admin API of an owner.

    Args:
        address: Where it is served, with the path under which it is mounted.
        token: What it wants to see, if it wants any.

    Raises:
        CommandError: That is no address, or no token.
    """

    def __init__(self, address: str, token: str | None) -> None:
        self._base = _base(address)
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            message = "the token has characters that no token has: set TAQUBA_ADMIN_TOKEN anew"
            raise CommandError(message, code="invalid-token")
        self._token = token
        self._csrf: str | None = None
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if is_loopback(urlsplit(self._base).hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, route: str, **query: object) -> Json:
        """Ask for something.

        Args:
            route: Below the address.
            **query: Parameters; those that are `None` are left out.

        Raises:
            CommandError: The owner cannot be reached, or has refused.
        """
        return self._ask(self._request("GET", route, query), _TIMEOUT_SECONDS)

    def post(self, route: str, body: Json, *, timeout: float = _TIMEOUT_SECONDS) -> Json:
        """Have something changed; see `get`."""
        content = json.dumps({name: value for name, value in body.items() if value is not None})
        return self._change(self._request("POST", route, {}, content.encode()), _JSON, timeout)

    def post_lines(self, route: str, lines: bytes, **query: object) -> Json:
        """Have something done for each of some lines of JSON; see `get`."""
        return self._change(self._request("POST", route, query, lines), _NDJSON)

    def delete(self, route: str, **query: object) -> Json:
        """Have something removed; see `get`."""
        return self._change(self._request("DELETE", route, query), _JSON)

    def _request(
        self, method: str, route: str, query: Mapping[str, object], content: bytes | None = None
    ) -> urllib.request.Request:
        given = {name: value for name, value in query.items() if value is not None}
        address = f"{self._base}/{route}" + (f"?{urlencode(given)}" if given else "")
        request = urllib.request.Request(  # noqa: S310 - `_base` lets http and https through only
            address, data=content, method=method
        )
        request.add_header("Accept", _JSON)
        if self._token is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        return request

    def _change(
        self, request: urllib.request.Request, content_type: str, timeout: float = _TIMEOUT_SECONDS
    ) -> Json:
        request.add_header("Content-Type", content_type)
        if self._token is None:
            if self._csrf is None:
                self._csrf = str(self.get("api/info")["csrf"])
            request.add_header(_CSRF_HEADER, self._csrf)
        return self._ask(request, timeout)

    def _ask(self, request: urllib.request.Request, timeout: float) -> Json:
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                return self._read(answer.read(_ANSWER_BYTES_MAX + 1))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            message = f"the owner at {self._base} does not answer: {reason}"
            raise CommandError(message, code="owner-unreachable") from None

    def _read(self, content: bytes) -> Json:
        if len(content) <= _ANSWER_BYTES_MAX:
            try:
                answer = json.loads(content)
            except ValueError:
                answer = None
            if isinstance(answer, dict):
                return answer
        message = f"what answers at {self._base} is not taquba.admin: see where that is mounted"
        raise CommandError(message, code="not-an-owner")

    def _refusal(self, error: urllib.error.HTTPError) -> CommandError:
        """Return what the owner has said, or what its silence means."""
        try:
            told = self._read(error.read(_ANSWER_BYTES_MAX + 1)).get("error")
        except (CommandError, OSError, http.client.HTTPException):
            told = None
        if not isinstance(told, dict):
            message = f"{self._base} answered {error.code}: it may not be taquba.admin"
            return CommandError(message, code=f"http-{error.code}")
        message = str(told.get("message"))
        if error.code == http.HTTPStatus.UNAUTHORIZED:
            message += ": set TAQUBA_ADMIN_TOKEN"
        return CommandError(message, code=str(told.get("code")))


def _base(address: str) -> str:
    try:
        parts = urlsplit(address)
        is_address = bool(parts.hostname) and parts.scheme in {"http", "https"}
        # Read, because it is checked only then.
        is_address = is_address and (parts.port is None or parts.port > 0)
    except ValueError:
        is_address = False
    if not is_address:
        message = "--admin: give http://HOST:PORT or https://HOST, with the path of the mount"
        raise CommandError(message, code="invalid-address")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        message = "--admin: no user, password or query; the token is TAQUBA_ADMIN_TOKEN"
        raise CommandError(message, code="invalid-address")
    if any(character <= " " or character > "~" for character in address):
        message = "--admin: the address has characters that no address has"
        raise CommandError(message, code="invalid-address")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
