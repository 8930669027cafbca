"""Text of users: it comes back as data, whole, and is never part of a page."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette

from taquba import EnqueueOptions, Fail, RunSpec, Step, StepOutcome, Succeed, WorkflowRuntime
from taquba.admin._endpoint import Endpoint
from tests.admin.security.asking import ask
from tests.admin.security.conftest import QUEUE, Site
from tests.admin.security.corpus import HOSTILE
from tests.admin.security.routes import READS, name_of, target_of
from tests.admin.security.test_other_sites import csrf_of

PLACES = [
    "/api/jobs?queue=email&limit=",
    "/api/jobs?queue=email&state=",
    "/api/jobs?queue=email&cursor=",
    "/api/jobs?queue=",
    "/api/job?job_id=",
    "/api/run?run_id=",
    "/api/run/result?run_id=",
    "/api/runs?header=",
    "/api/runs?",
    "/api/overview?",
    "/api/",
    "/static/",
    "/",
]


def texts_of(value: object) -> Iterator[str]:
    """Every text in what came back, names too."""
    match value:
        case str():
            yield value
        case dict():
            for key, member in value.items():
                yield from texts_of(key)
                yield from texts_of(member)
        case list():
            for member in value:
                yield from texts_of(member)


async def run_hostile(step: Step) -> StepOutcome:
    """Ends a run with the text that it was given, as result or as error."""
    text = step.payload.decode()
    return Succeed(step.payload) if step.run_id.endswith("good") else Fail(text)


async def fill(site: Site, text: str) -> dict[str, str]:
    """Put a text wherever users can put one, and return the ids under which it is found."""
    queue = site.queue
    job_id = await queue.enqueue(
        "hostile",
        text.encode(),
        EnqueueOptions(headers={text: text}, dedup_key=text, delay=0.0),
    )
    await queue.enqueue("dying", text.encode(), EnqueueOptions(max_attempts=1))
    claims = await queue.claim_batch("dying", 1, lease=30.0)
    await queue.dead_letter(claims[0], text)
    await queue.kv_put(text, text.encode())
    async with WorkflowRuntime(queue, run_hostile, queue_name="ending") as runtime:
        specs = [
            RunSpec(text.encode(), run_id=name, headers={text: text}) for name in ("a-good", "b")
        ]
        handles = await runtime.submit_many(specs)
        await asyncio.gather(*(handle.outcome(20.0) for handle in handles))
    return {"job_id": job_id, "dead_id": claims[0].job_id}


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_hostile_text_comes_back_as_data_wherever_it_is_shown(site: Site, text: str) -> None:
    app = site.app(show_payloads=True)
    page = await ask(app, "GET", "/")
    ids = await fill(site, text)
    shown = {
        "a job's headers": f"/api/job?job_id={ids['job_id']}",
        "a payload": f"/api/job?job_id={ids['job_id']}&payload=1",
        "jobs": "/api/jobs?queue=hostile",
        "a dead job": f"/api/job?job_id={ids['dead_id']}",
        "dead jobs": "/api/dead?queue=dying",
        "a run": "/api/run?run_id=b",
        "runs": "/api/runs?queue=ending",
        "runs by header": f"/api/runs?header={quote(text.split(':', maxsplit=1)[0], safe='')}:x",
        "a result": "/api/run/result?run_id=a-good",
        "keys": "/api/kv",
    }
    for place, target in shown.items():
        answer = await ask(app, "GET", target)

        assert answer.status == 200, place
        assert answer.kind == "application/json", place
        if place != "runs by header":
            assert any(text in each for each in texts_of(answer.json())), place

    groups = await ask(app, "GET", "/api/dead/groups?queue=dying")
    overview = await ask(app, "GET", "/api/overview")
    again = await ask(app, "GET", "/")
    assert [groups.kind, overview.kind] == ["application/json"] * 2
    assert again.body == page.body


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_hostile_text_in_a_request_is_not_part_of_a_page_or_a_header(
    site: Site, app: Starlette, text: str
) -> None:
    page = await ask(app, "GET", "/")

    for place in PLACES:
        answer = await ask(app, "GET", place + quote(text, safe=""))

        assert answer.body == page.body or answer.kind == "application/json", place
        assert not any(text in value for _, value in answer.headers), place
        assert [name for name, _ in answer.headers if name in {"set-cookie", "location"}] == []


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_hostile_text_in_a_body_is_told_as_data(
    site: Site, app: Starlette, text: str
) -> None:
    headers = [("content-type", "application/json"), ("x-taquba-csrf", await csrf_of(app))]
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/api/jobs", {"queue": QUEUE, "payload": "a", text: 1}),
        ("/api/jobs", {"queue": text, "payload": "a"}),
        ("/api/job/cancel", {"job_id": text}),
        ("/api/run/cancel", {"run_id": text}),
        ("/api/dead/requeue", {"queue": text, "limit": 1, "dry_run": True}),
        ("/api/runs", {"payload": "a", "run_id": text}),
    ]

    for target, body in bodies:
        answer = await ask(app, "POST", target, headers=headers, body=json.dumps(body).encode())

        # Some of them are ids and names after all.
        assert answer.status in {400, 404} or text in {"__proto__", "constructor"}, target
        assert answer.kind == "application/json"
        assert b"\n" not in answer.body.strip()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_hostile_text_in_an_event_is_one_line_of_data(site: Site, text: str) -> None:
    await fill(site, text)

    overview = await ask(site.app(), "GET", "/api/overview")

    # An event is the overview on one line: a line break in it would begin another event.
    assert b"\n" not in overview.body
    assert b"\r" not in overview.body
    assert overview.body.isascii()


@pytest.mark.parametrize("endpoint", READS, ids=name_of)
async def test_no_answer_becomes_a_page_because_a_browser_would_like_one(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:

    for accept in ("text/html", "*/*", "text/event-stream", "application/xml", ""):
        answer = await ask(app, "GET", target_of(endpoint, site), headers=[("accept", accept)])

        assert answer.kind in {endpoint.media_type, "application/json"}
