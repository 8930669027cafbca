"""The OpenAPI 3.1 document, made of the table that checks requests."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import taquba
from taquba.admin._endpoint import Access, Body, Endpoint
from taquba.admin._fields import Field, Schema
from taquba.admin._requests import Asked
from taquba.admin._schemas import ERROR, NAMED, named, nullable
from taquba.admin._site import Site

__all__ = ["describe"]

_DESCRIPTION: Final = (
    "What a person on call, a dashboard and the command `taquba` ask a process that has a queue "
    "open. Changes need `Content-Type: application/json` (batches: `application/x-ndjson`), and "
    "either the token or the header `X-Taquba-CSRF`, whose value is `csrf` of `api/info`."
)
_SECURITY: Final[tuple[dict[str, list[str]], ...]] = ({"token": []}, {"session": []}, {})


def describe(endpoints: Sequence[Endpoint]) -> Endpoint:
    """Return the endpoint that describes others, and itself."""

    async def answer(_site: Site, asked: Asked) -> Mapping[str, object]:
        root = asked.request.scope.get("root_path", "")
        return {**document, "servers": [{"url": root or "/"}]}

    own = Endpoint(
        method="GET",
        path="/api/openapi.json",
        summary="This document.",
        handler=answer,
        answer={"type": "object"},
    )
    document = _document((*endpoints, own))
    return own


def _document(endpoints: Iterable[Endpoint]) -> dict[str, object]:
    paths: dict[str, dict[str, object]] = {}
    for each in endpoints:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "taquba.admin",
            "version": taquba.__version__,
            "description": _DESCRIPTION,
        },
        "paths": paths,
        "components": {
            "schemas": {**NAMED, "Error": ERROR},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "taquba_session"},
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, object]:
    words = endpoint.path.removeprefix("/").removesuffix(".json").replace("/", "_")
    described: dict[str, Any] = {
        "operationId": f"{endpoint.method.lower()}_{words}",
        "summary": endpoint.summary,
        "parameters": [_parameter(each) for each in endpoint.query],
        "responses": {
            str(endpoint.status): _content(endpoint.summary, endpoint.media_type, endpoint.answer),
            "default": _content("Why not.", "application/json", named("Error")),
        },
        "security": [{}] if endpoint.access is Access.ALL else list(_SECURITY),
    }
    if endpoint.path == "/api/ready":
        described["responses"]["503"] = _content("Not now.", "application/json", endpoint.answer)
    if not endpoint.is_safe:
        described["parameters"].append(_csrf_header())
    if endpoint.body is Body.OBJECT:
        described["requestBody"] = {
            "required": True,
            "content": {endpoint.body.value: {"schema": _object(endpoint.fields)}},
        }
    if endpoint.body is Body.LINES:
        # OpenAPI 3.1 has no word for one schema on each line.
        lines = {"type": "string", "description": "One JSON object on each line.", "minLength": 2}
        described["requestBody"] = {
            "required": True,
            "content": {endpoint.body.value: {"schema": lines, "x-line": _object(endpoint.fields)}},
        }
    return described


def _content(description: str, media_type: str, schema: Schema) -> dict[str, object]:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _parameter(field: Field) -> dict[str, object]:
    return {
        "name": field.name,
        "in": "query",
        "description": field.description,
        "required": field.is_required,
        "schema": _with_default(field),
    }


def _csrf_header() -> dict[str, object]:
    return {
        "name": "X-Taquba-CSRF",
        "in": "header",
        "description": "`csrf` of `api/info`; needless with the token.",
        "required": False,
        "schema": {"type": "string"},
    }


def _object(fields: Sequence[Field]) -> Schema:
    return {
        "type": "object",
        "properties": {each.name: _member(each) for each in fields},
        "required": [each.name for each in fields if each.is_required],
        "additionalProperties": False,
    }


def _member(field: Field) -> Schema:
    schema = _with_default(field)
    shown = schema if field.is_required else nullable(schema)
    return {**shown, "description": field.description}


def _with_default(field: Field) -> Schema:
    schema = field.kind.schema()
    return schema if field.default is None else {**schema, "default": field.default}
