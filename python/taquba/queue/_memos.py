"""Memos of a run, looked at."""

from dataclasses import dataclass
from typing import Any, final

__all__ = ["MemoInfo", "MemoPage", "read_memo"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class MemoInfo:
    """One memo of a run: not its value, and of its key only the digest.

    Args:
        step_number: The step that wrote it.
        key_sha256: SHA-256 of its key, in 64 hexadecimal digits.
        value_bytes: Size of its value.
        is_object: Whether its value is an object of its own.
    """

    step_number: int
    key_sha256: str
    value_bytes: int
    is_object: bool


@final
@dataclass(frozen=True, slots=True)
class MemoPage:
    """Some memos of a run, by step.

    Args:
        memos: The memos.
        cursor: What gets the next page; `None` if this is the last one.
    """

    memos: list[MemoInfo]
    cursor: str | None


def read_memo(fields: dict[str, Any]) -> MemoInfo:
    """Make a memo of what the binding returned."""
    return MemoInfo(**fields)
