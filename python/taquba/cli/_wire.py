"""What answers hold, of a store itself or of the admin API of its owner: one shape for both."""

import base64
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, final

__all__ = ["Content", "Json", "Page"]

Json: TypeAlias = dict[str, Any]
"""An object of an answer."""


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
