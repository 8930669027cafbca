"""What the package returns, as JSON.

Invariants:
    1. An instant is ISO 8601 in UTC with milliseconds, or null; a duration is a number of seconds.
    2. Headers and error texts are redacted; ids and names are as they are: they are sent back.
    3. Every text that JSON can hold is held: the encoding is plain ASCII, with escapes.
    4. Of a payload at most `PAYLOAD_BYTES_MAX` bytes are shown.
"""

import base64
import json
from typing import Final

__all__ = ["PAYLOAD_BYTES_MAX", "as_json", "payload"]

PAYLOAD_BYTES_MAX: Final = 64 * 1024
"""How much of a payload, a result or a value is shown."""

# The longest sequence of UTF-8 that a cut can leave unfinished.
_UTF8_REST_MAX: Final = 3


def as_json(value: object) -> bytes:
    """Return the bytes of an answer."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def payload(data: bytes | None) -> dict[str, object] | None:
    """Return the beginning of a payload, as text too if it is UTF-8."""
    if data is None:
        return None
    shown = data[:PAYLOAD_BYTES_MAX]
    return {
        "bytes": len(data),
        "text": _text_of(shown, is_cut=len(shown) < len(data)),
        "base64": base64.b64encode(shown).decode(),
        "is_cut": len(shown) < len(data),
    }


def _text_of(data: bytes, *, is_cut: bool) -> str | None:
    for rest in range(_UTF8_REST_MAX + 1 if is_cut else 1):
        try:
            return data[: len(data) - rest].decode()
        except UnicodeDecodeError:
            continue
    return None
