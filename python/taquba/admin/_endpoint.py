"""What an endpoint is: one entry of the table that routes, checks and describes all requests."""

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from starlette.responses import Response

from taquba.admin._fields import Field, Schema
from taquba.admin._requests import Asked
from taquba.admin._site import Site

__all__ = [
    "BODY_BYTES_MAX",
    "LARGE_BODY_BYTES_MAX",
    "LOGIN_BODY_BYTES_MAX",
    "Access",
    "Body",
    "Endpoint",
    "Handler",
]

Handler = Callable[[Site, Asked], Awaitable[Mapping[str, object] | Response]]
"""Answers a request that was let in and checked."""

LOGIN_BODY_BYTES_MAX: Final = 8 * 1024
"""Of what is read of everybody."""

BODY_BYTES_MAX: Final = 1024 * 1024
LARGE_BODY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of what carries payloads, and of batches."""


@final
class Access(enum.Enum):
    """Who is answered."""

    ALL = "all"
    """Everybody who reaches the port: what load balancers ask."""
    PLACE = "place"
    """Who comes from where the guard allows: the pages, which hold no data, and the login."""
    IDENTITY = "identity"
    """The same, with the token or a session if one is needed."""


@final
class Body(enum.Enum):
    """What a request carries."""

    NONE = "none"
    OBJECT = "application/json"
    LINES = "application/x-ndjson"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One thing that can be asked.

    Args:
        method: `GET`, which answers `HEAD` too, `POST` or `DELETE`.
        path: Below the place where the app is mounted, with a leading slash.
        summary: What it does, in one line.
        handler: Does it.
        query: What its query may have.
        body: What it carries.
        fields: What its body, or each line of it, may have.
        body_bytes_max: How long its body may be.
        access: Who is answered.
        changes: Whether it changes the store.
        status: That of an answer.
        answer: The schema of an answer.
        media_type: That of an answer.
    """

    method: str
    path: str
    summary: str
    handler: Handler
    query: Sequence[Field] = ()
    body: Body = Body.NONE
    fields: Sequence[Field] = ()
    body_bytes_max: int = BODY_BYTES_MAX
    access: Access = Access.IDENTITY
    changes: bool = False
    status: int = 200
    answer: Schema
    media_type: str = "application/json"

    @property
    def is_safe(self) -> bool:
        """Whether asking changes nothing: what a page of another site may make a browser ask."""
        return self.method == "GET"
