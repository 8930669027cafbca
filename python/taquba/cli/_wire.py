"""What is asked of a store, or of the admin API of its owner, and what both answer: one shape."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, final

__all__ = ["PAGE_ROWS_MAX", "Content", "Json", "Page", "RunFilter"]

Json: TypeAlias = dict[str, Any]
"""An object of an answer."""


PAGE_ROWS_MAX = 1000
"""Most rows of one page, of a store and of an owner."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RunFilter:
    """Which runs are wanted.

    Args:
        queue: Those of this queue; of all if absent.
        states: Those in one of these states; in any if there is none.
        prefix: Those whose id begins so.
        header: Those that have this header, a name and a value.
        error: Those whose error, the last one or that of their end, has this text in it.
    """

    queue: str | None = None
    states: Sequence[str] = ()
    prefix: str | None = None
    header: tuple[str, str] | None = None
    error: str | None = None


class Page(NamedTuple):
    """Some rows of a listing.

    Args:
        rows: The rows.
        cursor: What gets the next page; `None` if this is the last one.
    """

    rows: list[Json]
    cursor: str | None


@final
@dataclass(frozen=True, slots=True)
class Content:
    """A payload, a result, or a value.

    Args:
        content: Its bytes, or the first of them.
        size_bytes: How many it has.
    """

    content: bytes
    size_bytes: int

    @property
    def is_cut(self) -> bool:
        """Whether bytes are missing."""
        return len(self.content) < self.size_bytes

    def text(self) -> str | None:
        """Return it as text; `None` if it is no UTF-8."""
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            return None

    def as_json(self) -> Json:
        """Return it as an answer gives it."""
        return {
            "bytes": self.size_bytes,
            "text": self.text(),
            "base64": base64.b64encode(self.content).decode(),
            "is_cut": self.is_cut,
        }

    @classmethod
    def of(cls, answer: Json) -> "Content":
        """Read it from an answer."""
        return cls(base64.b64decode(answer["base64"]), answer["bytes"])
