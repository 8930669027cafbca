"""What a request is told that is not answered, and the one form in which it is told.

Invariants:
    1. Every refusal is ``{"error": {"code", "message", "field"}}`` with a status that says whose
       turn it is: 4xx the caller's, 5xx ours or the store's.
    2. A text that may hold what others wrote is redacted before it leaves.
"""

from collections.abc import Mapping
from typing import Final, final

from starlette.responses import Response

from taquba._redact import redact_text
from taquba.admin._wire import as_json
from taquba.exceptions import InvalidArgumentError, TaqubaError

__all__ = ["Refusal", "refusal_of"]

_STATUS_BY_CODE: Final[Mapping[str, int]] = {
    "read-only": 403,
    "job-not-found": 404,
    "run-not-found": 404,
    "input-mismatch": 409,
    "too-many-queues": 409,
    "wrong-job-state": 409,
    "batch-too-large": 413,
    "headers-too-large": 413,
    "payload-too-large": 413,
    "value-too-large": 413,
    "corrupted": 500,
    "internal": 500,
    "unsupported-format": 500,
    "closed": 503,
    "fenced": 503,
    "forked": 503,
    "permission-denied": 503,
    "store-not-found": 503,
    "store-owned": 503,
    "store-unavailable": 503,
}

# What the arguments of the package are called in a request.
_FIELD_BY_CODE: Final[Mapping[str, str]] = {
    "invalid-job-id": "job_id",
    "invalid-key": "key",
    "invalid-queue-name": "queue",
    "invalid-run-id": "run_id",
    "invalid-dedup-key": "dedup_key",
    "headers-too-large": "headers",
    "payload-too-large": "payload",
    "reserved-header": "headers",
    "value-too-large": "value",
}


@final
class Refusal(Exception):  # noqa: N818 - it is an answer
    """A request that is not answered.

    Args:
        status: The HTTP status, 400 to 599.
        code: A stable, machine-readable name.
        message: What is wrong, and what to do.
        field: Which part of the request it is about.
        headers: More headers of the answer.
        extra: More members of the answer, beside `error`.
    """

    def __init__(  # noqa: PLR0913 - keyword arguments describe it
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers
        self.extra = extra or {}

    def response(self) -> Response:
        """Return the answer that says so."""
        error = {"code": self.code, "message": redact_text(self.message), "field": self.field}
        return Response(
            as_json({"error": error, **self.extra}),
            self.status,
            self.headers,
            media_type="application/json",
        )


def refusal_of(error: TaqubaError) -> Refusal:
    """Return the refusal that tells an error of the package."""
    status = _STATUS_BY_CODE.get(error.code, 400)
    field = _FIELD_BY_CODE.get(error.code)
    if field is None and isinstance(error, InvalidArgumentError):
        field = getattr(error, "name", None)
    return Refusal(status, error.code, str(error), field=field)
