"""Text for people: what users wrote made harmless, instants as ages, sizes.

Invariants:
    1. No character that moves the cursor, changes colours or the direction of writing, or cannot
       be seen, reaches a terminal as itself: what users wrote may hold them on purpose.
    2. An age is of the clock of this machine, and never below zero.
"""

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["age", "cut", "duration", "escaped", "instant", "read_instant", "size"]

# Control, format (bidirectional overrides, zero width), surrogates, private use, line and paragraph
# separators. Unassigned ones too: what a terminal makes of them is anybody's guess.
_HOSTILE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BYTE_MAX: Final = 0xFF
_SHORT_MAX: Final = 0xFFFF
_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_ELLIPSIS: Final = "..."

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_DAY: Final = 86400.0
_TEN: Final = 10.0
_KIBI: Final = 1024


def escaped(text: str) -> str:
    """Return a text with its hostile characters spelled out, by their numbers."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def cut(text: str, length: int) -> str:
    """Return at most so many characters of a text, with three dots at the end if it was longer."""
    if len(text) <= length:
        return text
    return text[: max(0, length - len(_ELLIPSIS))] + _ELLIPSIS[:length]


def read_instant(text: str | None) -> datetime | None:
    """Read an instant of an answer: ISO 8601 in UTC."""
    return None if text is None else datetime.fromisoformat(text)


def instant(text: str | None, *, is_relative: bool = True) -> str:
    """Return an instant for people: date, time, and how long ago or until then; empty for none."""
    at = read_instant(text)
    if at is None:
        return ""
    shown = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    if not is_relative:
        return shown
    passed = datetime.now(UTC) - at
    ahead = passed < timedelta()
    return f"{shown} ({f'in {duration(-passed)}' if ahead else f'{duration(passed)} ago'})"


def age(text: str | None) -> str:
    """Return how long ago an instant was, or `in` how long it will be; empty for none."""
    at = read_instant(text)
    if at is None:
        return ""
    passed = datetime.now(UTC) - at
    return f"in {duration(-passed)}" if passed < timedelta() else duration(passed)


def duration(passed: timedelta | float) -> str:
    """Return a duration with the two digits or the two units that say something."""
    seconds = passed.total_seconds() if isinstance(passed, timedelta) else passed
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < _TEN:
        return f"{seconds:.1f}s"
    if seconds < _MINUTE:
        return f"{seconds:.0f}s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f}m{seconds % _MINUTE:02.0f}s"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f}h{seconds % _HOUR // _MINUTE:02.0f}m"
    return f"{seconds // _DAY:.0f}d{seconds % _DAY // _HOUR:02.0f}h"


def size(count: int) -> str:
    """Return a number of bytes, in the unit that keeps it short."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIBI:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _KIBI
    return f"{value:.1f} TiB"


def _shown(character: str) -> str:
    code = ord(character)
    if unicodedata.category(character) not in _HOSTILE:
        return character
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if code <= _BYTE_MAX:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _SHORT_MAX else f"\\U{code:08x}"
