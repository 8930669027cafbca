"""The routes as the app itself tells them, so that a new one is under these tests by itself."""

import json
from typing import Final

from taquba.admin._endpoint import Access, Body, Endpoint
from taquba.admin._routes import ENDPOINTS
from tests.admin.security.conftest import QUEUE, Site

__all__ = [
    "ALL",
    "BROWSER",
    "CHANGES",
    "GUARDED",
    "PLACED",
    "READS",
    "STREAMS",
    "body_of",
    "name_of",
    "target_of",
]

ALL: Final[list[Endpoint]] = list(ENDPOINTS)
GUARDED: Final = [each for each in ALL if each.access is Access.IDENTITY]
"""What needs the token, if there is one."""
PLACED: Final = [each for each in ALL if each.access is not Access.ALL]
"""What the place of the client decides about."""
BROWSER: Final = [each for each in ALL if each.method != "GET"]
"""What a page of another site must not be able to ask for."""
CHANGES: Final = [each for each in ALL if each.changes]
STREAMS: Final = [each for each in ALL if each.media_type == "text/event-stream"]
"""What never ends: read in `test_streams.py`."""
READS: Final = [each for each in ALL if each.method == "GET" and each not in STREAMS]


def name_of(endpoint: Endpoint) -> str:
    """A test id."""
    return f"{endpoint.method} {endpoint.path}"


def _value(name: str, site: Site) -> object:
    values: dict[str, object] = {
        "cursor": None,
        "error": None,
        "job_id": site.pending_id,
        "key": "key",
        "limit": 10,
        "older_than_seconds": 0,
        "payload": "payload",
        "queue": QUEUE,
        "run_id": site.run_id,
        "token": "wrong",
        "value": "changed",
    }
    return values.get(name)


def target_of(endpoint: Endpoint, site: Site) -> str:
    """Where to ask, with what the endpoint needs in its query."""
    needed = [each.name for each in endpoint.query if each.is_required]
    query = "&".join(f"{name}={_value(name, site)}" for name in needed)
    return f"{endpoint.path}?{query}" if query else endpoint.path


def body_of(endpoint: Endpoint, site: Site) -> tuple[str, bytes]:
    """The content type and a body that would do something, were it let through."""
    known = {each.name for each in endpoint.fields}
    wanted = {each.name for each in endpoint.fields if each.is_required}
    # One of two names for a payload or a value is needed, which the table cannot say.
    wanted |= known & {"payload", "value"}
    given = {name: _value(name, site) for name in sorted(wanted)}
    body = b"" if endpoint.body is Body.NONE else json.dumps(given).encode()
    kind = endpoint.body.value if endpoint.body is Body.LINES else "application/json"
    return kind, body
