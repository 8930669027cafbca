"""The parts of requests that several endpoints share: ids, names, pages, new jobs and runs."""

from collections.abc import Mapping
from typing import Final

from taquba import _taquba
from taquba._checks import PRIORITY_MAX
from taquba.admin._fields import Base64, Field, Number, Text, TextMap, Whole, refuse

__all__ = [
    "CURSOR",
    "HEADERS",
    "JOB_ID",
    "LIMIT",
    "NEW_JOB",
    "NEW_RUN",
    "QUEUE",
    "QUEUE_NAME",
    "RUN_ID",
    "payload_of",
    "required",
]

_SECONDS_MAX: Final = _taquba.DURATION_MAX.total_seconds()
_JOB_ID_BYTES_MAX: Final = 64
_CURSOR_BYTES_MAX: Final = 4_096
_HEADER_COUNT_MAX: Final = 64
_LIMIT_DEFAULT: Final = 50

# Checked by the package too; the longest ones are refused before they get there.
QUEUE_NAME: Final = Text(255, 1, r"^[A-Za-z0-9][A-Za-z0-9._-]*$", _taquba.check_queue_name)
_RUN_ID: Final = Text(128, 1, r"^[A-Za-z0-9_-]+$", _taquba.check_run_id)

QUEUE: Final = Field("queue", QUEUE_NAME, "Queue name.")
JOB_ID: Final = Field("job_id", Text(_JOB_ID_BYTES_MAX, 1), "The job's id.", is_required=True)
RUN_ID: Final = Field("run_id", _RUN_ID, "The run's id.", is_required=True)
CURSOR: Final = Field(
    "cursor", Text(_CURSOR_BYTES_MAX, 1), "Where to go on: that of the page before."
)
LIMIT: Final = Field(
    "limit", Whole(1, _taquba.LIST_COUNT_MAX), "At most this many.", default=_LIMIT_DEFAULT
)
HEADERS: Final = Field("headers", TextMap(_HEADER_COUNT_MAX), "String metadata.")

_PAYLOAD: Final = Field("payload", Text(_taquba.PAYLOAD_BYTES_MAX), "The payload, as text.")
_PAYLOAD_BASE64: Final = Field("payload_base64", Base64(), "The same as base64; instead of it.")
_PRIORITY: Final = Field("priority", Whole(0, PRIORITY_MAX), "Lower is claimed first.")
_MAX_ATTEMPTS: Final = Field(
    "max_attempts", Whole(1, _taquba.MAX_ATTEMPTS_MAX), "Deliveries before it is given up."
)
_DELAY: Final = Field("delay_seconds", Number(0, _SECONDS_MAX), "How long it waits at first.")

NEW_JOB: Final = (
    _PAYLOAD,
    _PAYLOAD_BASE64,
    HEADERS,
    _PRIORITY,
    _DELAY,
    Field(
        "dedup_key", Text(_taquba.DEDUP_KEY_BYTES_MAX, 1), "At most one live job per queue and key."
    ),
    _MAX_ATTEMPTS,
)
NEW_RUN: Final = (
    _PAYLOAD,
    _PAYLOAD_BASE64,
    Field("run_id", _RUN_ID, "An id of your own, which makes submitting again safe."),
    HEADERS,
    _PRIORITY,
    _MAX_ATTEMPTS,
    _DELAY,
)


def required(field: Field) -> Field:
    """Return the same field, without which a request is refused."""
    return Field(field.name, field.kind, field.description, is_required=True)


def payload_of(given: Mapping[str, object], name: str = "payload") -> bytes:
    """Return the bytes of a payload that was given as text or as base64."""
    text, data = given[name], given[f"{name}_base64"]
    if (text is None) == (data is None):
        refuse(name, f"or `{name}_base64` must be given, not both")
    if isinstance(text, str):
        return text.encode()
    assert isinstance(data, bytes), "a field of base64 is bytes"  # noqa: S101 - ours
    return data
