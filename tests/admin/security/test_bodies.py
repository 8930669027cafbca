"""Bodies and queries that are too long, malformed or odd: refused, and nothing is changed."""

import base64
import json
from collections.abc import Iterator
from itertools import repeat
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette

from taquba.admin._endpoint import LOGIN_BODY_BYTES_MAX, Body, Endpoint
from tests.admin.security.asking import Answer, ask
from tests.admin.security.asking import Body as Sent
from tests.admin.security.conftest import QUEUE, Site
from tests.admin.security.routes import BROWSER, READS, body_of, name_of, target_of
from tests.admin.security.test_other_sites import contents, csrf_of

MIB = 1024 * 1024
SMALL_MAX = MIB
LARGE_MAX = 64 * MIB
LONG = "a" * MIB

GOOD = '{"key": "a", "value": "b"}'

# Each is wrong in one way; those that some parser would read have all that sets a key.
MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "a space": b" ",
    "a NUL": b"\x00",
    "half an object": b'{"key": "a"',
    "a comma too many": b'{"key": "a", "value": "b",}',
    "two objects": f"{GOOD}{GOOD}".encode(),
    "more after it": f"{GOOD} x".encode(),
    "single quotes": GOOD.replace('"', "'").encode(),
    "no quotes": b'{key: "a", value: "b"}',
    "a comment": f"{GOOD} // x".encode(),
    "a list": f"[{GOOD}]".encode(),
    "an empty list": b"[]",
    "a string": b'"key"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "NaN": b'{"key": NaN}',
    "infinity": b'{"key": Infinity}',
    "negative infinity": b'{"key": -Infinity}',
    "a byte order mark": f"\ufeff{GOOD}".encode(),
    "UTF-16": GOOD.encode("utf-16"),
    "UTF-32": GOOD.encode("utf-32"),
    "UTF-7": GOOD.encode("utf-7").replace(b"{", b"+AHs-"),
    "a broken sequence": b'{"key": "\xc3", "value": "b"}',
    "an overlong sequence": b'{"key": "\xc0\xaf", "value": "b"}',
    "a surrogate in UTF-8": b'{"key": "\xed\xa0\x80", "value": "b"}',
    "a byte above": b'{"key": "\xff", "value": "b"}',
    "a raw control character": b'{"key": "a\nb", "value": "b"}',
    "a bad escape": b'{"key": "\\x41", "value": "b"}',
    "half an escape": b'{"key": "\\u00", "value": "b"}',
    "a lone surrogate": b'{"key": "\\ud800", "value": "b"}',
    "a lone low surrogate": b'{"key": "\\udc00", "value": "b"}',
    "a surrogate as a name": b'{"key": "a", "value": "b", "\\ud800": 1}',
    "two members of one name": b'{"key": "a", "value": "b", "key": "c"}',
    "two spellings of one name": b'{"key": "a", "value": "b", "\\u006bey": "c"}',
    "a number with a zero": b'{"key": 01}',
    "a hexadecimal number": b'{"key": 0x10}',
    "a number of 10,000 digits": b'{"key": ' + b"9" * 10_000 + b"}",
    "a number that is infinite": b'{"key": 1e999}',
    "a negative zero": b'{"key": -0}',
    "nested lists": b'{"key": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested objects": b'{"key": ' * 100_000 + b"1" + b"}" * 100_000,
    "nested and unfinished": b"[" * 500_000,
    "an unknown member": b'{"key": "a", "value": "b", "admin": true}',
    "a member of Python": b'{"key": "a", "value": "b", "__class__": "x"}',
    "a member of JavaScript": b'{"key": "a", "value": "b", "__proto__": {"x": 1}}',
    "a long name": b'{"' + b"a" * 500_000 + b'": 1}',
    "many members": json.dumps({f"m{n}": n for n in range(20_000)}).encode(),
    "a form": b"key=a&value=b",
    "XML": b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
}

# What is no text, in the place of one.
NO_TEXT = [0, 1.5, True, [], ["a"], {}, {"a": 1}]

FIELDS: dict[str, list[Any]] = {
    "queue": [
        *NO_TEXT,
        None,
        "",
        " ",
        "a/b",
        "../x",
        "a\x00b",
        "\ud800",
        "-a",
        "é",
        "a" * 256,
        LONG,
    ],
    "payload": [*NO_TEXT, "\ud800", "a\udfff"],
    "headers": [
        "a",
        1,
        [],
        [["a", "b"]],
        {"a": 1},
        {"a": None},
        {"a": ["b"]},
        {"a": {"b": "c"}},
        {"\ud800": "a"},
        {"a": "\ud800"},
        {"workflow.run_id": "a"},
        {"\uff57orkflow.step": "1"},
        {"a": LONG[:900_000]},
        {"a" * 500_000: "b"},
        {f"h{n}": "v" for n in range(1_000)},
    ],
    "priority": [float("nan"), -1, 2**32, 2**64, 10**300, 1.5, "1", True, [], 1e308],
    "delay_seconds": [float("nan"), float("inf"), -1, -0.001, 1e300, 10**400, "1", True, [], {}],
    "dedup_key": [*NO_TEXT, "", "a" * 10_000, "\ud800", LONG[:900_000]],
    "max_attempts": [0, -1, 10**9, 1.5, "3", True, [], 2**63],
    "payload_base64": [
        1,
        [],
        {},
        "a",
        "====",
        "YQ",
        "YQ==\n=",
        "é",
        "Y Q==",
        "-_-_",
        "YQ==x",
        "\ud800",
    ],
}

IDS: dict[str, str] = {
    "empty": "",
    "a space": " ",
    "a NUL": "\x00",
    "a NUL after it": "01J\x00",
    "a line break": "a\r\nSet-Cookie: x=1",
    "a path": "../../etc/passwd",
    "a root": "/etc/passwd",
    "a drive": "C:\\windows",
    "an address": "http://169.254.169.254/latest/meta-data/",
    "SQL": "' OR 1=1 --",
    "a shell": "$(touch /tmp/x); `id`",
    "a format": "%s%n{0.__class__}",
    "a template": "{{7*7}}${7*7}",
    "HTML": "<script>alert(1)</script>",
    "an emoji": "\U0001f4a3",
    "right to left": "\u202eabc",
    "a zero width": "a\u200bb",
    "full width": "\uff41\uff42",
    "a combining mark": "a" + "\u0301" * 1_000,
    "a private use": "\ue000\U0010ffff",
    "no character": "\ufffe\uffff",
    "a long one": "a" * 100_000,
    "long digits": "9" * 100_000,
    "a negative one": "-1",
    "a glob": "*",
    "a null": "null",
    "an escape": "\x1b[2J\x1b]0;x\x07",
}

QUERIES: dict[str, str] = {
    "unknown": "?nothing=1",
    "given twice": "?limit=1&limit=2",
    "no number": "?limit=a",
    "no number at all": "?limit=",
    "zero": "?limit=0",
    "negative": "?limit=-1",
    "a fraction": "?limit=1.5",
    "an exponent": "?limit=1e3",
    "a digit of another script": "?limit=%D9%A1",
    "an underscore": "?limit=1_0",
    "a space": "?limit=%201",
    "a huge number": "?limit=99999999999999999999",
    "10,000 digits": "?limit=" + "9" * 10_000,
    "a list": "?limit[]=1",
    "a name that is no UTF-8": "?%ff=1",
    "a value that is no UTF-8": "?cursor=%ff%fe",
    "a NUL": "?cursor=%00",
    "a cursor of nobody": "?cursor=AAAA",
    "a cursor that is text": "?cursor=../../x",
    "a long cursor": "?cursor=" + "A" * 100_000,
    "a surrogate": "?cursor=%ED%A0%80",
    "half an escape": "?cursor=%",
    "a fragment": "?limit=1#x=2",
    "many parts": "?" + "&".join(f"a{n}=1" for n in range(10_000)),
    "many empty parts": "?" + "&" * 100_000,
    "a name without a value": "?nothing",
    "a name that is empty": "?=1",
    "half a name": "?limi=1",
    "another case": "?LIMIT=1",
}


async def post(app: Starlette, target: str, body: Sent, **options: Any) -> Answer:
    """Send a body as a page of the app does."""
    kind = options.pop("kind", "application/json")
    headers = [("content-type", kind), ("x-taquba-csrf", await csrf_of(app))]
    headers += options.pop("headers", [])
    return await ask(app, "POST", target, headers=headers, body=body, **options)


def endless(part: bytes) -> Iterator[bytes]:
    return repeat(part)


async def test_what_the_malformed_bodies_are_made_of_is_taken(site: Site, app: Starlette) -> None:
    answer = await post(app, "/api/kv", GOOD.encode())

    assert answer.status in {200, 201}
    assert await site.queue.kv_get("a") == b"b"


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("target", ["/api/kv", "/api/session"])
async def test_a_malformed_body_is_refused(
    site: Site, app: Starlette, target: str, body: bytes
) -> None:
    before = await contents(site)

    answer = await post(app, target, body)

    is_long = target == "/api/session" and len(body) > LOGIN_BODY_BYTES_MAX
    assert answer.status == (413 if is_long else 400)
    assert await contents(site) == before
    assert answer.error["message"].isprintable()


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_line_is_refused_by_its_number_and_no_line_is_taken(
    site: Site, app: Starlette, body: bytes
) -> None:
    before = await contents(site)
    line = body.replace(b"\n", b"\x01")
    good = b'{"payload": "a"}\n'

    answer = await post(
        app,
        f"/api/jobs/batch?queue={QUEUE}",
        good * 2 + line + b"\n" + good,
        kind="application/x-ndjson",
    )

    assert answer.status == 400
    assert "line 3" in answer.error["message"]
    assert await contents(site) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in FIELDS.items() for value in values],
    ids=lambda value: ascii(value)[:40],
)
async def test_a_field_that_is_not_as_it_should_be_is_refused_and_named(
    site: Site, app: Starlette, name: str, value: object
) -> None:
    before = await contents(site)
    job: dict[str, object] = {"queue": QUEUE, "payload": "a"}
    if name == "payload_base64":
        del job["payload"]
    job[name] = value

    answer = await post(app, "/api/jobs", json.dumps(job).encode())

    assert answer.status in {400, 413}
    assert answer.error["field"] in {name, None} or name == "headers"
    assert len(answer.body) < 2_000
    assert await contents(site) == before


@pytest.mark.parametrize("value", IDS.values(), ids=IDS)
async def test_an_odd_id_is_refused_or_unknown(site: Site, app: Starlette, value: str) -> None:
    sent = quote(value.encode("utf-8", "surrogatepass"), safe="")
    before = await contents(site)
    # A prefix may be any text, and a queue may be called `null`.
    asked = [
        (await ask(app, "GET", f"/api/run?run_id={sent}"), {400, 404}),
        (await ask(app, "GET", f"/api/job?job_id={sent}"), {400, 404}),
        (await ask(app, "GET", f"/api/jobs?queue={sent}"), {200, 400}),
        (await ask(app, "GET", f"/api/kv?prefix={sent}"), {200, 400}),
    ]
    for name in ("run", "job"):
        body = json.dumps({f"{name}_id": value}).encode()
        asked.append((await post(app, f"/api/{name}/cancel", body), {400, 404}))

    for answer, allowed in asked:
        assert answer.status in allowed
        assert len(answer.body) < 4_000
    assert await contents(site) == before


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("path", ["/api/runs", "/api/kv"])
async def test_an_odd_query_is_refused(app: Starlette, path: str, query: str) -> None:
    answer = await ask(app, "GET", path + query)

    assert answer.status == 400
    assert len(answer.body) < 4_000


@pytest.mark.parametrize("endpoint", READS, ids=name_of)
async def test_no_route_takes_an_unknown_query(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    target = target_of(endpoint, site)

    answer = await ask(app, "GET", f"{target}{'&' if '?' in target else '?'}nothing=1")

    is_file = endpoint.media_type == "text/html"
    assert answer.status == (200 if is_file else 400)


def small(endpoint: Endpoint) -> bool:
    return endpoint.body is not Body.NONE and endpoint.body_bytes_max <= SMALL_MAX


SMALL = [endpoint for endpoint in BROWSER if small(endpoint)]
LARGE = [endpoint for endpoint in BROWSER if endpoint.body is not Body.NONE and not small(endpoint)]


@pytest.mark.parametrize("endpoint", [*SMALL, *LARGE], ids=name_of)
async def test_an_announced_length_over_the_limit_is_refused_unread(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    kind, _ = body_of(endpoint, site)
    limit = SMALL_MAX if endpoint in SMALL else LARGE_MAX

    answer = await post(
        app,
        target_of(endpoint, site),
        endless(b"a" * 1_000),
        kind=kind,
        headers=[("content-length", str(limit + 1))],
    )

    assert answer.status == 413
    assert answer.taken_bytes == 0


@pytest.mark.parametrize("endpoint", SMALL, ids=name_of)
async def test_a_body_without_an_end_is_cut_off(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    kind, _ = body_of(endpoint, site)

    answer = await post(app, target_of(endpoint, site), endless(b" " * 65_536), kind=kind)

    assert answer.status == 413
    assert answer.taken_bytes <= SMALL_MAX + 65_536


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", LARGE, ids=name_of)
async def test_a_payload_without_an_end_is_cut_off(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    kind, _ = body_of(endpoint, site)

    answer = await post(app, target_of(endpoint, site), endless(b" " * MIB), kind=kind)

    assert answer.status == 413
    assert answer.taken_bytes <= LARGE_MAX + MIB


@pytest.mark.parametrize(
    "length", ["0", "-1", "1", "a", "", "+5", "1e9", "\u0665", "9" * 5_000, "5, 5"]
)
async def test_a_length_that_lies_is_not_believed(site: Site, app: Starlette, length: str) -> None:
    lies = [("content-length", length.encode().decode("latin-1"))]

    answer = await post(app, "/api/kv", endless(b" " * 65_536), headers=lies)

    assert answer.status in {400, 413}
    assert answer.taken_bytes <= SMALL_MAX + 65_536


async def test_a_request_that_changes_needs_no_end_if_it_may_have_no_body(
    site: Site, app: Starlette
) -> None:
    headers = [("content-type", "application/json"), ("x-taquba-csrf", await csrf_of(app))]

    answer = await ask(
        app, "DELETE", "/api/kv?key=nothing", headers=headers, body=endless(b" " * 65_536)
    )

    assert answer.status in {200, 400, 413}
    assert answer.taken_bytes <= SMALL_MAX + 65_536


@pytest.mark.parametrize("path", ["/api/info", "/api/overview", "/", "/api/nothing"])
async def test_the_body_of_a_question_is_not_read(app: Starlette, path: str) -> None:
    answer = await ask(app, "GET", path, body=endless(b"a" * 65_536))

    assert answer.status in {200, 400, 404}
    assert answer.taken_bytes <= 65_536


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"", 400),
        (b"\n", 400),
        (b"\n\n\n", 400),
        (b"\r\n", 400),
        (b'{"payload":"a"}\n\n{"payload":"a"}\n', 400),
        (b'{"payload":"a"}\n' * 10_001, 413),
        (b'{"payload":"a"}\n' * 10_000 + b"\n", 413),
        (b"\n" * 2_000_000, 413),
        (b'{"payload":"a"}\r{"payload":"a"}', 400),
        (b'{"payload":"a"}\x1e{"payload":"a"}', 400),
        ('{"payload":"a"}\u2028{"payload":"a"}'.encode(), 400),
        (b'[{"payload":"a"}]', 400),
        (b'{"payload":"a","queue":"email"}', 400),
        (b'{"payload":"a"}\n{"payload":1}', 400),
        (b'{"payload":"a"}\n{}', 400),
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_an_odd_batch_is_refused_as_a_whole(
    site: Site, app: Starlette, lines: bytes, status: int
) -> None:
    before = await contents(site)

    answer = await post(app, f"/api/jobs/batch?queue={QUEUE}", lines, kind="application/x-ndjson")

    assert answer.status == status
    assert answer.code != ""
    assert await contents(site) == before


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
async def test_a_batch_of_one_line_needs_no_line_break(
    site: Site, app: Starlette, end: bytes
) -> None:
    answer = await post(
        app,
        f"/api/jobs/batch?queue={QUEUE}",
        b'{"payload":"a"}' + end,
        kind="application/x-ndjson",
    )

    assert answer.status == 201
    assert len(answer.json()["job_ids"]) == 1


async def test_a_payload_of_any_bytes_arrives_as_it_was(site: Site, app: Starlette) -> None:
    payload = bytes(range(256)) * 5_000
    body = json.dumps({"queue": "odd", "payload_base64": base64.b64encode(payload).decode()})

    answer = await post(app, "/api/jobs", body.encode())

    assert answer.status == 201
    job = await site.queue.get_job(answer.json()["job_id"])
    assert job.payload == payload
