"""Keys over HTTP."""

from taquba import Queue
from taquba.admin import create_app
from tests.admin.asking import Asker, asking


async def test_a_key_is_set_listed_and_removed(owned: Queue, asker: Asker) -> None:
    assert await asker.post("/api/kv", key="sent/1", value="ü") == {}
    assert await asker.post("/api/kv", key="sent/2", value_base64="/w==") == {}
    assert await asker.post("/api/kv", key="other", value="") == {}

    listed = await asker.get("/api/kv", prefix="sent/")
    assert await asker.delete("/api/kv", key="sent/1") == {}

    assert listed == {
        "entries": [
            {"key": "sent/1", "bytes": 2, "value": None},
            {"key": "sent/2", "bytes": 1, "value": None},
        ],
        "cursor": None,
    }
    assert await owned.kv_get("sent/1") is None
    assert await owned.kv_get("sent/2") == b"\xff"


async def test_values_are_shown_if_payloads_are(owned: Queue) -> None:
    await owned.kv_put("a", b"value")
    await owned.kv_put("b", b"value")

    async with asking(create_app(owned, show_payloads=True)) as asker:
        first = await asker.get("/api/kv", limit=1)
        rest = await asker.get("/api/kv", limit=1, cursor=first["cursor"])

    assert first["entries"][0]["value"]["text"] == "value"
    assert [entry["key"] for entry in rest["entries"]] == ["b"]


async def test_a_key_that_cannot_be_is_refused(asker: Asker) -> None:
    empty = await asker.post("/api/kv", 400, key="", value="x")
    long = await asker.post("/api/kv", 400, key="x" * 1_025, value="x")
    value = await asker.post("/api/kv", 400, key="a", value="x" * 300_000)

    assert [each["error"]["field"] for each in (empty, long, value)] == ["key", "key", "value"]
