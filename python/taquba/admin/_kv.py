"""The key-value space: looking at keys, setting and removing one."""

from collections.abc import Mapping
from typing import Final

from taquba.admin import _wire
from taquba.admin._fields import Base64, Field, Text
from taquba.admin._names import payload_of
from taquba.admin._requests import Asked
from taquba.admin._site import Site

__all__ = ["KEY", "NEW_VALUE", "delete", "put", "scan"]

_KEY_BYTES_MAX: Final = 1_024
_VALUE_BYTES_MAX: Final = 256 * 1024

KEY: Final = Field("key", Text(_KEY_BYTES_MAX, 1), "The key.", is_required=True)
NEW_VALUE: Final = (
    KEY,
    Field("value", Text(_VALUE_BYTES_MAX), "The value, as text."),
    Field("value_base64", Base64(), "The same as base64; instead of it."),
)


async def scan(site: Site, asked: Asked) -> Mapping[str, object]:
    """List keys in the order of their bytes; their values too if payloads are shown."""
    query = asked.query
    page = await site.source.kv_scan(query["prefix"], cursor=query["cursor"], limit=query["limit"])
    return {
        "entries": [
            {
                "key": key,
                "bytes": len(value),
                "value": _wire.payload(value) if site.show_payloads else None,
            }
            for key, value in page.entries
        ],
        "cursor": page.cursor,
    }


async def put(site: Site, asked: Asked) -> Mapping[str, object]:
    """Set a key."""
    await site.queue().kv_put(asked.body["key"], payload_of(asked.body, "value"))
    return {}


async def delete(site: Site, asked: Asked) -> Mapping[str, object]:
    """Remove a key, if it is there."""
    await site.queue().kv_delete(asked.query["key"])
    return {}
