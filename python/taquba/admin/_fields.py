"""What a part of a request may be: the kinds of values, and the names under which they come.

One description checks what came and is what the OpenAPI document says, so the two cannot differ.

Invariants:
    1. What is checked is of its kind: handlers convert nothing and check nothing of it again.
    2. A refusal names the field and the bound that was crossed, never the value.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol, final

from taquba.admin._refusal import Refusal, refusal_of
from taquba.exceptions import TaqubaError

__all__ = [
    "Base64",
    "Choice",
    "Field",
    "Flag",
    "Kind",
    "Number",
    "Several",
    "Text",
    "TextList",
    "TextMap",
    "Whole",
    "refuse",
]

Schema = dict[str, object]
"""A JSON schema, as OpenAPI 3.1 has it."""

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_NUMBER_CHARACTERS_MAX: Final = 32
_FLAGS: Final[Mapping[str, bool]] = {"1": True, "true": True, "0": False, "false": False}


class Kind(Protocol):
    """A kind of values."""

    def of_json(self, name: str, value: object) -> Any:  # noqa: ANN401 - each kind has its own
        """Check a value of a JSON body."""

    def of_text(self, name: str, text: str) -> Any:  # noqa: ANN401 - the same
        """Read a value of a query."""

    def schema(self) -> Schema:
        """Describe it."""


@final
@dataclass(frozen=True, slots=True)
class Field:
    """A named part of a query or of a body.

    Args:
        name: What it is called.
        kind: What it may be.
        description: What it is for, in one sentence.
        is_required: Whether a request without it is refused. Null is as good as absent.
        default: What it is if absent.
    """

    name: str
    kind: Kind
    description: str
    is_required: bool = False
    default: object = None


def refuse(name: str, message: str) -> NoReturn:
    """Refuse a request for one of its parts."""
    raise Refusal(400, "invalid-field", f"`{name}` {message}", field=name)


@final
@dataclass(frozen=True, slots=True)
class Text:
    """Text of so many bytes of UTF-8; `check` is the package's own rule for it."""

    bytes_max: int
    bytes_min: int = 0
    pattern: str | None = None
    check: Callable[[str], None] | None = None

    def of_json(self, name: str, value: object) -> str:
        """Check a value of a JSON body."""
        if not isinstance(value, str):
            refuse(name, "must be a string")
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            refuse(name, "has half of a surrogate pair")
        if not self.bytes_min <= size <= self.bytes_max:
            refuse(name, f"has {size} bytes: give {self.bytes_min} to {self.bytes_max}")
        if self.check is not None:
            try:
                self.check(value)
            except TaqubaError as error:
                refusal = refusal_of(error)
                refusal.field = name
                raise refusal from error
        return value

    def of_text(self, name: str, text: str) -> str:
        """Read a value of a query."""
        return self.of_json(name, text)

    def schema(self) -> Schema:
        """Describe it."""
        shown: Schema = {"type": "string", "maxLength": self.bytes_max}
        if self.bytes_min:
            shown["minLength"] = self.bytes_min
        if self.pattern is not None:
            shown["pattern"] = self.pattern
        return shown


@final
@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds."""

    minimum: int
    maximum: int

    def of_json(self, name: str, value: object) -> int:
        """Check a value of a JSON body."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            refuse(name, "must be a whole number")
        if not self.minimum <= value <= self.maximum:
            refuse(name, f"must be {self.minimum} to {self.maximum}")
        return value

    def of_text(self, name: str, text: str) -> int:
        """Read a value of a query."""
        if _WHOLE.fullmatch(text) is None:
            refuse(name, "must be a whole number")
        return self.of_json(name, int(text))

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@final
@dataclass(frozen=True, slots=True)
class Number:
    """A finite number within bounds."""

    minimum: float
    maximum: float

    def of_json(self, name: str, value: object) -> float:
        """Check a value of a JSON body."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            refuse(name, "must be a number")
        # Compared before it is made a `float`: a whole number may be too large for one.
        if not (self.minimum <= value <= self.maximum) or not math.isfinite(value):
            refuse(name, f"must be {self.minimum:g} to {self.maximum:g}")
        return float(value)

    def of_text(self, name: str, text: str) -> float:
        """Read a value of a query."""
        if len(text) > _NUMBER_CHARACTERS_MAX or not text.isascii():
            refuse(name, "must be a number")
        try:
            number = float(text)
        except ValueError:
            refuse(name, "must be a number")
        return self.of_json(name, number)

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "number", "minimum": self.minimum, "maximum": self.maximum}


@final
@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    def of_json(self, name: str, value: object) -> bool:
        """Check a value of a JSON body."""
        if not isinstance(value, bool):
            refuse(name, "must be true or false")
        return value

    def of_text(self, name: str, text: str) -> bool:
        """Read a value of a query."""
        flag = _FLAGS.get(text)
        if flag is None:
            refuse(name, "must be 1, true, 0 or false")
        return flag

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "boolean"}


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """One of some names."""

    names: Sequence[str]

    def of_json(self, name: str, value: object) -> str:
        """Check a value of a JSON body."""
        if not isinstance(value, str) or value not in self.names:
            refuse(name, f"must be one of: {', '.join(self.names)}")
        return value

    def of_text(self, name: str, text: str) -> str:
        """Read a value of a query."""
        return self.of_json(name, text)

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "string", "enum": list(self.names)}


@final
@dataclass(frozen=True, slots=True)
class Several:
    """Some of some names, with commas between them; for queries."""

    names: Sequence[str]

    def of_json(self, name: str, value: object) -> list[str]:
        """Check a value of a JSON body."""
        if not isinstance(value, str):
            refuse(name, "must be a string")
        parts = value.split(",", len(self.names))
        if not set(parts) <= set(self.names):
            refuse(name, f"must be some of: {', '.join(self.names)}; with commas between them")
        return sorted(set(parts))

    def of_text(self, name: str, text: str) -> list[str]:
        """Read a value of a query."""
        return self.of_json(name, text)

    def schema(self) -> Schema:
        """Describe it."""
        one = "|".join(self.names)
        # As many as there are names, so that no list of them is too long to be read.
        pattern = f"^({one})(,({one})){{0,{len(self.names) - 1}}}$"
        return {"type": "string", "pattern": pattern}


@final
@dataclass(frozen=True, slots=True)
class TextList:
    """Texts; for bodies."""

    one: Text
    count_max: int

    def of_json(self, name: str, value: object) -> list[str]:
        """Check a value of a JSON body."""
        if not isinstance(value, list):
            refuse(name, "must be a list")
        if len(value) > self.count_max:
            refuse(name, f"has {len(value)} items: give at most {self.count_max}")
        return [self.one.of_json(name, each) for each in value]

    def of_text(self, name: str, text: str) -> list[str]:
        """Read a value of a query."""
        return [self.one.of_text(name, text)]

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "array", "items": self.one.schema(), "maxItems": self.count_max}


@final
@dataclass(frozen=True, slots=True)
class TextMap:
    """Texts by names; for bodies. How long they may be the package says."""

    count_max: int

    def of_json(self, name: str, value: object) -> dict[str, str]:
        """Check a value of a JSON body."""
        if not isinstance(value, dict):
            refuse(name, "must be an object of strings")
        if len(value) > self.count_max:
            refuse(name, f"has {len(value)} members: give at most {self.count_max}")
        kind = Text(_MAP_TEXT_BYTES_MAX)
        return {kind.of_json(name, key): kind.of_json(name, each) for key, each in value.items()}

    def of_text(self, name: str, _text: str) -> dict[str, str]:
        """Refuse: a query has no objects."""
        refuse(name, "must be an object of strings")

    def schema(self) -> Schema:
        """Describe it."""
        return {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "maxProperties": self.count_max,
        }


_MAP_TEXT_BYTES_MAX: Final = 64 * 1024


@final
@dataclass(frozen=True, slots=True)
class Base64:
    """Bytes, as base64 of the standard alphabet with padding; for bodies."""

    def of_json(self, name: str, value: object) -> bytes:
        """Check a value of a JSON body."""
        if not isinstance(value, str):
            refuse(name, "must be a string")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            refuse(name, "must be base64")

    def of_text(self, name: str, text: str) -> bytes:
        """Read a value of a query."""
        return self.of_json(name, text)

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "string", "contentEncoding": "base64"}
