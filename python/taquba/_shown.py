"""What is shown of a store elsewhere: the same JSON from the admin API and from the command line.

Invariants:
    1. No payload and no result: those are asked for by their own calls.
    2. What others wrote, errors, headers and dedup keys, has been redacted; ids and names are as
       they are: they are sent back.
    3. An instant is ISO 8601 in UTC with milliseconds, a state its stable name.
    4. Errors are searched and grouped as they are shown: nobody finds out a secret by searching.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, final

from taquba._redact import redact_headers, redact_text

if TYPE_CHECKING:
    from taquba.queue import JobInfo

__all__ = ["NO_ERROR", "ErrorGroup", "blanked", "has_error", "instant", "record", "shown_error"]

NO_ERROR: Final = "no error text"
"""What stands for an error without a text."""

# A dedup key is chosen by users, and a careless one has a token in it.
_REDACTED: Final = frozenset({"dedup_key", "error", "last_error"})
_HEADERS: Final = "headers"
_PAYLOAD: Final = "payload"

_ERROR_CHARACTERS_MAX: Final = 4_096
# What differs between two errors of one kind: numbers and ids. Hexadecimal of eight digits and more
# is an id; and what lies between two blanks goes with them.
_VARYING: Final = re.compile(r"\b[0-9A-Fa-f]{8,}\b|[0-9]+")
_BLANK: Final = "#"
_BLANKS: Final = re.compile(r"#(?:[-:.#]#)*")


def record(thing: object) -> dict[str, Any]:
    """Return a record as JSON has it.

    Args:
        thing: A dataclass of the package, such as `JobInfo`.
    """
    assert is_dataclass(thing), "records are dataclasses"  # noqa: S101 - ours
    return {
        field.name: _value(field.name, getattr(thing, field.name))
        for field in fields(thing)
        if field.name != _PAYLOAD
    }


def instant(moment: datetime | None) -> str | None:
    """Return an instant as text."""
    if moment is None:
        return None
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def shown_error(text: str | None) -> str:
    """Return an error text as it is shown where errors are compared."""
    return redact_text(text[:_ERROR_CHARACTERS_MAX]) if text else NO_ERROR


def blanked(shown: str) -> str:
    """Return an error text without its numbers and ids: what those of one kind have in common."""
    return _BLANKS.sub(_BLANK, _VARYING.sub(_BLANK, shown))


def has_error(text: str | None, wanted: str) -> bool:
    """Return whether an error holds a text, in itself or without its numbers and ids."""
    shown = shown_error(text)
    return wanted in shown or wanted in blanked(shown)


@final
@dataclass(slots=True)
class ErrorGroup:
    """Dead jobs of one queue that died of the same.

    Args:
        error: What they have in common.
        queue: Their queue.
        job_id: One of them.
        count: How many there are.
        first_at: When the first one died.
        last_at: When the last one did.
    """

    error: str
    queue: str
    job_id: str
    count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None

    def add(self, job: "JobInfo") -> None:
        """Count one more."""
        self.count += 1
        if job.ended_at is not None:
            self.first_at = min(self.first_at or job.ended_at, job.ended_at)
            self.last_at = max(self.last_at or job.ended_at, job.ended_at)

    def shown(self) -> dict[str, Any]:
        """Return it as JSON has it. Its error was redacted before it was blanked."""
        return {**record(self), "error": self.error}


def _value(name: str, value: object) -> object:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, enum.Enum):
        return value.value
    if name == _HEADERS and isinstance(value, Mapping):
        return redact_headers(value)
    if name in _REDACTED and isinstance(value, str):
        return redact_text(value)
    return value
