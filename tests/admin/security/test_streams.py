"""Streams of events: how many there may be, and when they end."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from starlette.applications import Starlette

from tests.admin.security.asking import (
    HOST,
    LOCAL,
    TOKEN,
    Answer,
    Headers,
    ask,
    asking,
    check_answer,
    scope_of,
)
from tests.admin.security.conftest import Site
from tests.waiting import eventually

EVENTS = "/api/events"
STREAM_COUNT_MAX = 64


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events come as fast as the tests want them."""
    monkeypatch.setattr("taquba.admin._events._INTERVAL_SECONDS", 0.02)


async def listen(stack: AsyncExitStack, app: Starlette, headers: Headers = ()) -> Answer:
    """Listen until the test ends."""
    scope = scope_of("GET", EVENTS, [("host", HOST), *headers], LOCAL, "http")
    answer = await stack.enter_async_context(asking(app, scope))
    check_answer(answer)
    return answer


async def first_event(answer: Answer) -> str:
    async def probe() -> bool:
        return b"\n\n" in answer.body

    await eventually(probe, "an event")
    return answer.body.partition(b"\n\n")[0].decode()


async def test_an_event_is_the_overview_and_the_stream_has_all_headers(app: Starlette) -> None:
    async with AsyncExitStack() as stack:
        answer = await listen(stack, app)

        lines = (await first_event(answer)).splitlines()

    assert answer.status == 200
    assert answer.kind == "text/event-stream"
    assert lines[0] == "event: overview"
    assert json.loads(lines[1].removeprefix("data: "))["queues"] != []


async def test_one_stream_too_many_is_told_to_come_back(app: Starlette) -> None:
    async with AsyncExitStack() as stack:
        answers = [await listen(stack, app) for _ in range(STREAM_COUNT_MAX)]
        refused = await ask(app, "GET", EVENTS)
        others = await ask(app, "GET", "/api/info")

    assert {answer.status for answer in answers} == {200}
    assert refused.status == 503
    assert refused.header("retry-after") != ""
    assert others.status == 200


async def test_many_that_come_at_once_get_no_more_streams(app: Starlette) -> None:
    async with AsyncExitStack() as stack:
        answers = await asyncio.gather(*(listen(stack, app) for _ in range(200)))

    assert sorted({answer.status for answer in answers}) == [200, 503]
    assert sum(answer.status == 200 for answer in answers) == STREAM_COUNT_MAX


async def test_who_goes_makes_room(app: Starlette) -> None:
    for _ in range(3):
        async with AsyncExitStack() as stack:
            answers = [await listen(stack, app) for _ in range(STREAM_COUNT_MAX)]

        assert {answer.status for answer in answers} == {200}


async def test_a_question_for_the_headers_takes_no_room(app: Starlette) -> None:
    answers = [await ask(app, "HEAD", EVENTS) for _ in range(STREAM_COUNT_MAX + 1)]

    assert {answer.status for answer in answers} == {200}
    assert {answer.body for answer in answers} == {b""}


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer wrong")],
        [("cookie", f"taquba_session={TOKEN}")],
        [("last-event-id", TOKEN)],
    ],
)
async def test_nobody_listens_without_the_token(guarded: Starlette, headers: Headers) -> None:
    answer = await ask(guarded, "GET", EVENTS, headers=headers)

    assert answer.status == 401
    assert answer.kind == "application/json"


async def test_a_stream_ends_with_its_session(guarded: Starlette) -> None:
    login = await ask(
        guarded,
        "POST",
        "/api/session",
        headers=[("content-type", "application/json")],
        body=json.dumps({"token": TOKEN}).encode(),
    )
    cookie = [("cookie", login.header("set-cookie").partition(";")[0])]
    csrf = (await ask(guarded, "GET", "/api/info", headers=cookie)).json()["csrf"]
    proof = [("content-type", "application/json"), ("x-taquba-csrf", csrf)]

    async with AsyncExitStack() as stack:
        answer = await listen(stack, guarded, cookie)
        await first_event(answer)
        await ask(guarded, "DELETE", "/api/session", headers=[*cookie, *proof])
        await asyncio.wait_for(answer.ended.wait(), 20.0)

    assert answer.status == 200


async def test_a_stream_ends_with_its_queue(site: Site, app: Starlette) -> None:
    async with AsyncExitStack() as stack:
        answer = await listen(stack, app)
        await first_event(answer)
        await site.queue.close()
        await asyncio.wait_for(answer.ended.wait(), 20.0)

    assert answer.status == 200
