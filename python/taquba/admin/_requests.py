"""Reading requests: queries, JSON bodies, batches of lines.

Invariants:
    1. No more of a body is read than may be kept, whatever its announced length says.
    2. What is unknown, given twice, malformed or of another kind is refused, and named.
    3. A batch is checked as a whole before any of it is used.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar, final
from urllib.parse import parse_qsl

from starlette.requests import Request

from taquba.admin._fields import Field, refuse
from taquba.admin._guard import Identity
from taquba.admin._refusal import Refusal
from taquba.exceptions import TaqubaError

__all__ = ["Asked", "each_line", "read_body", "read_lines", "read_object", "read_query"]

_T = TypeVar("_T")

_QUERY_FIELDS_MAX: Final = 32
_LINES_MAX: Final = 10_000
_DIGITS_MAX: Final = 20
# A batch of small lines must not hold up the steps that share the event loop.
_LINES_AT_ONCE: Final = 200


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, checked.

    Args:
        request: The request; its body was read, if it has one.
        identity: Who asks.
        query: The values of its query, by name; each field of the endpoint is there.
        body: The same for its body.
        lines: The same for each line of a batch.
    """

    request: Request
    identity: Identity = field(default_factory=Identity)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[Mapping[str, Any]] = ()


def read_query(query: bytes, known: Iterable[Field]) -> dict[str, Any]:
    """Read a query string.

    Raises:
        Refusal: It is malformed, or has something unknown, twice, or of another kind.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_QUERY_FIELDS_MAX,
        )
    except ValueError as error:
        message = f"the query is malformed, or has more than {_QUERY_FIELDS_MAX} parts"
        raise Refusal(400, "invalid-query", message) from error
    fields = {each.name: each for each in known}
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in fields:
            _refuse_unknown(name, fields)
        if name in values:
            refuse(name, "is given twice")
        values[name] = fields[name].kind.of_text(name, text)
    return _completed(values, fields)


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Read a body of at most so many bytes.

    Raises:
        Refusal: It is longer.
        ClientDisconnect: The client went away meanwhile.
    """
    announced = request.headers.get("content-length", "")
    # Cut, since a number of thousands of digits takes long to read, and is too much all the same.
    if announced.isdecimal() and int(announced[:_DIGITS_MAX]) > bytes_max:
        _refuse_size(bytes_max)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            _refuse_size(bytes_max)
        parts.append(part)
    return b"".join(parts)


def read_object(body: bytes, known: Iterable[Field]) -> dict[str, Any]:
    """Read a body that is one JSON object; no body at all is an empty one.

    Raises:
        Refusal: It is none, or has something unknown, twice, or of another kind.
    """
    return _values(_parsed(body or b"{}"), known)


async def read_lines(body: bytes, known: Sequence[Field]) -> list[dict[str, Any]]:
    """Read a batch: one JSON object on each line.

    Raises:
        Refusal: There is no line, there are too many, or one is not as it should be; it is named
            by its number, from 1.
    """
    lines = body.removesuffix(b"\n").split(b"\n", _LINES_MAX)
    if not body:
        raise Refusal(400, "invalid-body", "the batch is empty: give one JSON object on each line")
    if len(lines) > _LINES_MAX:
        raise Refusal(413, "batch-too-large", f"more than {_LINES_MAX} lines: split the batch")
    batch: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if number % _LINES_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            batch.append(_values(_parsed(line), known))
        except Refusal as refusal:
            refusal.message = f"line {number}: {refusal.message}"
            raise
    return batch


async def each_line(
    lines: Sequence[Mapping[str, Any]], make: Callable[[Mapping[str, Any]], _T]
) -> list[_T]:
    """Make something of each line of a batch.

    Raises:
        Refusal: One is refused; it is named by its number.
        TaqubaError: The same, of what the package refuses.
    """
    made: list[_T] = []
    for number, line in enumerate(lines, start=1):
        if number % _LINES_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            made.append(make(line))
        except TaqubaError as error:
            error.args = (f"line {number}: {error}",)
            raise
        except Refusal as refusal:
            refusal.message = f"line {number}: {refusal.message}"
            raise
    return made


def _parsed(data: bytes) -> object:
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise Refusal(400, "invalid-json", "this is not UTF-8") from error
    except RecursionError as error:
        raise Refusal(400, "invalid-json", "this is nested too deeply") from error
    except ValueError as error:
        # The error of the decoder tells positions; those of huge numbers hold settings of Python.
        where = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
        raise Refusal(400, "invalid-json", f"this is not JSON{where}") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Refusal(400, "invalid-json", "an object has two members of one name")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise Refusal(400, "invalid-json", "NaN and infinities are not JSON")


def _values(given: object, known: Iterable[Field]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Refusal(400, "invalid-body", "this must be a JSON object")
    fields = {each.name: each for each in known}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in fields:
            _refuse_unknown(name, fields)
        if value is not None:
            values[name] = fields[name].kind.of_json(name, value)
    return _completed(values, fields)


def _completed(values: dict[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    for name, each in fields.items():
        if name not in values:
            if each.is_required:
                refuse(name, "is missing")
            values[name] = each.default
    return values


_SHOWN_CHARACTERS_MAX: Final = 64


def _refuse_unknown(name: str, fields: Mapping[str, Field]) -> NoReturn:
    # Escaped: it is any text at all.
    shown = ascii(name[:_SHOWN_CHARACTERS_MAX])[1:-1]
    message = f"`{shown}` is unknown here; known: {', '.join(fields) or 'nothing'}"
    raise Refusal(400, "unknown-field", message, field=shown)


def _refuse_size(bytes_max: int) -> NoReturn:
    raise Refusal(413, "body-too-large", f"the body is longer than {bytes_max} bytes")
