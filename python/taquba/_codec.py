"""Typed values: what is not `bytes` travels as JSON, by way of `msgspec`.

`msgspec` is the extra `typed`; it is imported when the first typed value is met, never before.

Invariants:
    1. Bytes are never changed: what a user has encoded is what is stored.
    2. One value has one JSON: keys of mappings and members of sets are sorted. So submitting the
       same value again is submitting the same input.
    3. Nothing is ever pickled.
"""

import json
from typing import Any, TypeVar

from taquba._checks import refuse, refuse_type

__all__ = ["decode", "encode"]

_T = TypeVar("_T")

# What NaN and infinities become, without a word.
_NULL = b"null"

_ENCODABLE = "give `bytes`, or what `msgspec` encodes as JSON"


def encode(name: str, value: object) -> bytes:
    """Return the bytes of a payload: its own, or those of its JSON.

    Args:
        name: The argument's public name, for the error.
        value: `bytes`, `bytearray` or `memoryview`, which stay as they are, or anything that
            `msgspec` encodes.

    Raises:
        ModuleNotFoundError: It is not bytes, and `msgspec` is not installed.
        ArgumentTypeError: `msgspec` does not encode its type.
        InvalidArgumentError: It has a value that JSON cannot hold, such as NaN. The error names the
            type only: what a value holds is in no message.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    msgspec = _msgspec()
    try:
        encoded: bytes = _encode(msgspec, value)
    except TypeError as error:
        refuse_type(name, value, f"{_ENCODABLE} ({error})")
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        refuse_type(name, value, f"{_ENCODABLE} ({type(error).__name__}: {error})")
    return encoded


def decode(data: bytes, kind: type[_T]) -> _T:
    """Return the value of a type that JSON holds; nothing is coerced.

    Args:
        data: What `encode` returned.
        kind: A type, or a form of one such as `list[int]`.

    Raises:
        ModuleNotFoundError: `msgspec` is not installed.
        InvalidArgumentError: `kind` is no type, or none that `msgspec` reads.
        msgspec.DecodeError: It is no JSON, or none of this type (`msgspec.ValidationError`).
    """
    msgspec = _msgspec()
    try:
        value: _T = msgspec.json.decode(data, type=kind, strict=True)
    except (TypeError, ValueError) as error:
        # What is no JSON of this type is told as `msgspec` does.
        if isinstance(error, msgspec.MsgspecError):
            raise
        # The error of `msgspec` holds all of what was given.
        refuse("type", kind, f"give a type that `msgspec` reads ({type(error).__name__})")
    return value


def _encode(msgspec: Any, value: object) -> bytes:  # noqa: ANN401 - the module
    try:
        encoded: bytes = msgspec.json.encode(value, order="deterministic")
    except TypeError:
        # Keys that are no text have no order: made text first, they have.
        plain = msgspec.to_builtins(value, str_keys=True, order="deterministic")
        encoded = msgspec.json.encode(plain, order="deterministic")
        if len(encoded) != len(msgspec.json.encode(value)):
            message = "two of its keys become the same text"
            raise ValueError(message) from None
    if _NULL in encoded and _has_odd_number(msgspec, value):
        message = "NaN and infinities have no JSON"
        raise ValueError(message)
    return encoded


def _has_odd_number(msgspec: Any, value: object) -> bool:  # noqa: ANN401 - the module
    try:
        plain = msgspec.to_builtins(value, str_keys=True)
    except TypeError:
        # JSON that came as `msgspec.Raw` has none.
        return False
    try:
        json.dumps(plain, allow_nan=False)
    except ValueError:
        return True
    return False


def _msgspec() -> Any:  # noqa: ANN401 - the module, which may not be there
    try:
        import msgspec  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        message = (
            "typed values need `msgspec`, which is not installed: `pip install 'taquba[typed]'`, "
            "or give and take `bytes`"
        )
        raise ModuleNotFoundError(message, name=error.name) from error
    return msgspec
