"""Arguments, checked where they are given.

Limits and error texts that the engine knows too come from the engine. What is refused names the
value, the limit and the remedy.
"""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from taquba import _taquba
from taquba.exceptions import (
    ArgumentTypeError,
    BatchTooLargeError,
    InvalidArgumentError,
    InvalidDedupKeyError,
)

__all__ = [
    "Seconds",
    "check_batch",
    "check_between",
    "check_count",
    "check_dedup",
    "check_instance",
    "check_job_fields",
    "check_payload",
    "check_priority",
    "check_value",
    "keep_durations",
    "keep_headers",
    "keep_optional_durations",
    "optional_duration",
    "refuse",
    "refuse_type",
]

Seconds = float | timedelta
"""A duration, as users give it."""

PRIORITY_MAX: Final = 2**32 - 1
"""The largest priority."""

PORT_MAX: Final = 65_535
"""The largest port."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def refuse(name: str, value: object, remedy: str) -> NoReturn:
    """Raise the error for a value outside its bounds."""
    shown = _taquba.shown(value)
    message = f"`{name}` is {shown}: {remedy}"
    raise InvalidArgumentError(message, name=name, value=shown, remedy=remedy)


def refuse_type(name: str, value: object, remedy: str) -> NoReturn:
    """Raise the error for a value of another type than asked for."""
    given = f"of type `{_type_name(type(value), remedy)}`"
    message = f"`{name}` is {given}: {remedy}"
    raise ArgumentTypeError(message, name=name, value=given, remedy=remedy)


def check_instance(name: str, value: object, kind: type | tuple[type, ...]) -> None:
    """Refuse a value of another type."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        given = f"`{type(value).__name__}`"
        names = " or ".join(f"`{_type_name(kind, given)}`" for kind in kinds)
        refuse_type(name, value, f"give {names}")


def check_payload(name: str, value: object) -> None:
    """Refuse a payload that is not `bytes`."""
    if not isinstance(value, bytes):
        refuse_type(name, value, "give `bytes`; encode text with `.encode()`")


def check_value(name: str, value: object) -> None:
    """Refuse a value of a key that is neither `bytes` nor `None`."""
    if value is not None and not isinstance(value, bytes):
        refuse_type(name, value, "give `bytes`, or `None` for no value")


def check_count(name: str, value: int, maximum: int, minimum: int = 1) -> None:
    """Refuse a number that is not `minimum` to `maximum`."""
    _check_number(name, value)
    if not minimum <= value <= maximum:
        refuse(name, value, f"give {minimum} to {maximum}")


def check_between(name: str, value: object, minimum: timedelta, maximum: timedelta) -> None:
    """Refuse a duration outside its bounds."""
    if isinstance(value, timedelta) and not minimum <= value <= maximum:
        bounds = f"{minimum.total_seconds():g} to {maximum.total_seconds():g} seconds"
        refuse(name, value.total_seconds(), f"give {bounds}")


def check_priority(name: str, value: int) -> None:
    """Refuse a priority that does not fit 32 bits."""
    _check_number(name, value)
    if not 0 <= value <= PRIORITY_MAX:
        refuse(name, value, f"give 0 to {PRIORITY_MAX}; lower is claimed first")


def check_batch(count: int) -> None:
    """Refuse more items than one commit can carry."""
    if count > _taquba.BATCH_COUNT_MAX:
        limit = _taquba.BATCH_COUNT_MAX
        message = f"{count} items in one batch, the limit is {limit}: split the batch"
        raise BatchTooLargeError(message, count=count)


def check_job_fields(
    priority: int | None, run_at: datetime | None, max_attempts: int | None
) -> None:
    """Refuse what no job may have, plain or step."""
    if priority is not None:
        check_priority("priority", priority)
    if max_attempts is not None:
        check_count("max_attempts", max_attempts, _taquba.MAX_ATTEMPTS_MAX)
    if run_at is not None:
        _check_instant("run_at", run_at)


def check_dedup(key: str | None, scope: str) -> None:
    """Refuse a dedup key or scope that does not exist."""
    check_instance("dedup_scope", scope, str)
    if scope not in {"waiting", "settled"}:
        refuse("dedup_scope", scope, 'give "waiting" or "settled"')
    if key is None:
        return
    _taquba.check_text("dedup_key", key)
    size_bytes = len(key.encode())
    if not 1 <= size_bytes <= _taquba.DEDUP_KEY_BYTES_MAX:
        limit = _taquba.DEDUP_KEY_BYTES_MAX
        message = f"the dedup key has {size_bytes} bytes: use 1 to {limit}; hash longer keys"
        raise InvalidDedupKeyError(message, size_bytes=size_bytes)


def keep_headers(options: object, headers: Mapping[str, str]) -> None:
    """Check headers and keep a copy, so that nobody changes them afterwards."""
    check_instance("headers", headers, Mapping)
    kept = dict(headers)
    if kept:
        _taquba.check_headers(kept)
        # What only looks like a reserved key is taken for one.
        normalized = {unicodedata.normalize("NFKC", key) for key in kept if not key.isascii()}
        _taquba.check_headers(dict.fromkeys(normalized, ""))
    object.__setattr__(options, "headers", kept)


def keep_durations(options: object, *names: str) -> None:
    """Turn the durations of a frozen dataclass into `timedelta`."""
    for name in names:
        object.__setattr__(options, name, _taquba.duration(name, getattr(options, name)))


def keep_optional_durations(options: object, *names: str) -> None:
    """Do the same for those that may be absent."""
    for name in names:
        object.__setattr__(options, name, optional_duration(name, getattr(options, name)))


def optional_duration(name: str, value: Seconds | None) -> timedelta | None:
    """Read a duration that may be absent."""
    return None if value is None else _taquba.duration(name, value)


def _type_name(kind: type, beside: str) -> str:
    # Of two types with one name, each needs its full name.
    is_namesake = f"`{kind.__name__}`" in beside or f".{kind.__name__}`" in beside
    return f"{kind.__module__}.{kind.__qualname__}" if is_namesake else kind.__name__


def _check_number(name: str, value: object) -> None:
    # A truth value is a slip, although Python counts it as a number.
    if isinstance(value, bool) or not isinstance(value, int):
        refuse_type(name, value, "give `int`")


def _check_instant(name: str, value: datetime) -> None:
    check_instance(name, value, datetime)
    if value.utcoffset() is None:
        refuse(name, value, "give an aware `datetime`, such as `datetime.now(UTC)`")
    if value < _EPOCH:
        refuse(name, value, "give an instant after 1970-01-01")
