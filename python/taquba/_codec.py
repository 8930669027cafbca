"""Typed values: what is not `bytes` travels as JSON, by way of `msgspec`.

`msgspec` is the extra `typed`; it is imported when the first typed value is met, never before.

Invariants:
    1. Bytes are never changed: what a user has encoded is what is stored.
    2. One value has one JSON: keys of mappings and members of sets are sorted. So submitting the
       same value again is submitting the same input.
    3. Nothing is ever pickled.
"""

from typing import Any, TypeVar

from taquba._checks import refuse, refuse_type

__all__ = ["decode", "encode"]

_T = TypeVar("_T")

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
        InvalidArgumentError: It has a value that JSON cannot hold.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    msgspec = _msgspec()
    try:
        encoded: bytes = msgspec.json.encode(value, order="deterministic")
    except TypeError as error:
        refuse_type(name, value, f"{_ENCODABLE} ({error})")
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        refuse(name, value, f"{_ENCODABLE} ({error})")
    return encoded


def decode(json: bytes, kind: type[_T]) -> _T:
    """Return the value of a type that JSON holds; nothing is coerced.

    Args:
        json: What `encode` returned.
        kind: A type, or a form of one such as `list[int]`.

    Raises:
        ModuleNotFoundError: `msgspec` is not installed.
        msgspec.DecodeError: It is no JSON, or none of this type (`msgspec.ValidationError`).
    """
    value: _T = _msgspec().json.decode(json, type=kind, strict=True)
    return value


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
