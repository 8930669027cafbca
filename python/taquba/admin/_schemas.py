"""What answers look like, as JSON schemas: those of the package's classes are read from them."""

import enum
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from taquba.admin._fields import Schema
from taquba.admin._sample import RATES
from taquba.queue import Attempt, JobInfo, MemoInfo, Owner, QueueStats, RunStatus, StepRecord

__all__ = ["ERROR", "NAMED", "TEXT", "array", "named", "nullable", "object_of"]

TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_NUMBER: Final[Schema] = {"type": "number"}
_FLAG: Final[Schema] = {"type": "boolean"}
_INSTANT: Final[Schema] = {"type": "string", "format": "date-time"}


def object_of(**members: Schema) -> Schema:
    """Return the schema of an object with exactly these members."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def array(one: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": one}


def nullable(schema: Schema) -> Schema:
    """Return the schema of something that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def named(name: str) -> Schema:
    """Return the reference to a schema of `NAMED`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _of_class(kind: type, without: frozenset[str] = frozenset()) -> Schema:
    hints = typing.get_type_hints(kind)
    return object_of(
        **{name: _of_type(hint) for name, hint in hints.items() if name not in without}
    )


def _of_type(hint: Any) -> Schema:  # noqa: ANN401 - a type, or a form of one
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        [inner] = [one for one in arguments if one is not type(None)]
        return nullable(_of_type(inner))
    if origin is typing.Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return {"type": "object", "additionalProperties": TEXT}
    if issubclass(hint, enum.Enum):
        return {"type": "string", "enum": [one.value for one in hint]}
    known: dict[type, Schema] = {
        str: TEXT,
        bool: _FLAG,
        int: {"type": "integer"},
        datetime: _INSTANT,
    }
    return known[hint]


_QUANTILES: Final = object_of(p50=_NUMBER, p99=_NUMBER)
_RATES: Final = object_of(**dict.fromkeys(RATES, _NUMBER))

NAMED: Final[Mapping[str, Schema]] = {
    "Job": _of_class(JobInfo, frozenset({"payload"})),
    "Run": _of_class(RunStatus),
    "Attempt": _of_class(Attempt),
    "Step": _of_class(StepRecord),
    "Memo": _of_class(MemoInfo),
    "Owner": _of_class(Owner),
    "Payload": object_of(bytes=_COUNT, text=nullable(TEXT), base64=TEXT, is_cut=_FLAG),
    "Queue": object_of(
        name=TEXT,
        **dict.fromkeys(typing.get_type_hints(QueueStats), _COUNT),
        oldest_pending=nullable(object_of(job_id=TEXT, since=_INSTANT)),
        rates=nullable(_RATES),
        wait_seconds=nullable(_QUANTILES),
        run_seconds=nullable(_QUANTILES),
    ),
    "Attention": object_of(
        kind=TEXT,
        severity={"type": "string", "enum": ["warning", "error"]},
        title=TEXT,
        since=nullable(_INSTANT),
        why=TEXT,
        remedy=TEXT,
        queue=nullable(TEXT),
        run_id=nullable(TEXT),
        job_id=nullable(TEXT),
        count=nullable(_COUNT),
        action=nullable({"type": "string", "enum": ["wake", "retry", "requeue", "cancel"]}),
    ),
    "Overview": object_of(
        taken_at=_INSTANT,
        mode={"type": "string", "enum": ["owner", "reader"]},
        owner=nullable(named("Owner")),
        quarantined_count=_COUNT,
        queues=array(named("Queue")),
        attention=array(named("Attention")),
    ),
    "Point": object_of(
        at=_INSTANT,
        **dict.fromkeys(RATES, _NUMBER),
        **dict.fromkeys(("pending", "scheduled", "claimed", "dead_count"), _COUNT),
        **dict.fromkeys(("wait_p50", "wait_p99", "run_p50", "run_p99"), nullable(_NUMBER)),
    ),
    "Group": object_of(
        error=TEXT,
        count=_COUNT,
        queue=TEXT,
        first_at=nullable(_INSTANT),
        last_at=nullable(_INSTANT),
        job_id=TEXT,
    ),
    "Submitted": object_of(run_id=TEXT, newly_submitted=_FLAG),
    "Entry": object_of(key=TEXT, bytes=_COUNT, value=nullable(named("Payload"))),
    "Info": object_of(
        version=TEXT,
        path=TEXT,
        mode={"type": "string", "enum": ["owner", "reader"]},
        can_act=_FLAG,
        can_submit_runs=array(TEXT),
        shows_payloads=_FLAG,
        csrf=TEXT,
        needs_login=_FLAG,
        owner=nullable(named("Owner")),
    ),
}
"""The schemas that have a name in the document."""

ERROR: Final[Schema] = {
    "type": "object",
    "properties": {
        "error": object_of(code=TEXT, message=TEXT, field=nullable(TEXT)),
        # Of 401: whether logging in would help.
        "needs_login": _FLAG,
    },
    "required": ["error"],
    "additionalProperties": False,
}
"""The answer to a request that is refused."""
