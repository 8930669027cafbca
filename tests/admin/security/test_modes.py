"""What an app does not do: change anything when it only reads, show what it was not told to."""

import json

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message

from taquba import EnqueueOptions, Queue, RunSpec
from taquba.admin._endpoint import Access, Endpoint
from tests.admin.security.asking import (
    HOST,
    LOCAL,
    TOKEN,
    ask,
    asking,
    check_answer,
    scope_of,
)
from tests.admin.security.conftest import QUEUE, RUNS, Site
from tests.admin.security.routes import ALL, CHANGES, READS, body_of, name_of, target_of
from tests.admin.security.test_other_sites import contents, csrf_of

SECRET = b"a payload that nobody shall see"


@pytest.mark.parametrize("endpoint", CHANGES, ids=name_of)
async def test_a_reader_changes_nothing(
    site: Site, reader_app: Starlette, endpoint: Endpoint
) -> None:
    kind, body = body_of(endpoint, site)
    before = await contents(site)
    proof = [("content-type", kind), ("x-taquba-csrf", await csrf_of(reader_app))]

    answer = await ask(
        reader_app, endpoint.method, target_of(endpoint, site), headers=proof, body=body
    )

    assert answer.status == 403
    assert answer.code == "read-only"
    assert await contents(site) == before


@pytest.mark.parametrize("endpoint", CHANGES, ids=name_of)
async def test_an_app_without_actions_changes_nothing(site: Site, endpoint: Endpoint) -> None:
    app = site.app(allow_actions=False, token=TOKEN)
    kind, body = body_of(endpoint, site)
    before = await contents(site)
    bearer = [("content-type", kind), ("authorization", f"Bearer {TOKEN}")]

    answer = await ask(app, endpoint.method, target_of(endpoint, site), headers=bearer, body=body)

    assert answer.status == 403
    assert answer.code == "read-only"
    assert await contents(site) == before


async def test_every_route_that_is_no_question_and_no_login_is_a_change() -> None:
    others = {name_of(each) for each in ALL if each.method != "GET" and not each.changes}

    assert others == {"POST /api/session", "DELETE /api/session"}


async def test_only_probes_are_for_everybody_and_only_the_login_needs_no_token() -> None:
    probes = {name_of(each) for each in ALL if each.access is Access.ALL}
    unknown = {name_of(each) for each in ALL if each.access is Access.PLACE}

    assert probes == {"GET /api/health", "GET /api/ready"}
    assert unknown == {"POST /api/session"}


@pytest.mark.parametrize("path", ["/api/events", "/api/info", "/", "/static/app.js"])
async def test_there_is_no_websocket(app: Starlette, path: str) -> None:
    scope = {**scope_of("GET", path, [("host", HOST)], LOCAL, "ws"), "type": "websocket"}
    sent: list[str] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await app({**scope, "subprotocols": []}, receive, send)

    assert sent == ["websocket.close"]


MOUNTED = [
    ("/ops/taquba/api/info", 401),
    ("/ops/taquba/api/health", 200),
    ("/ops/taquba/", 200),
    ("/ops/taquba/static/index.html", 200),
    ("/ops/taquba/../../api/info", 404),
    ("/ops/taquba/%2e%2e/%2e%2e/api/info", 404),
    ("/ops/taquba/ops/taquba/api/info", 404),
    ("/ops/taquba//api/info", 404),
    ("/ops/taqubaX/api/info", 404),
    ("/api/info", 404),
    ("/static/index.html", 404),
]


@pytest.mark.parametrize(("path", "status"), MOUNTED)
async def test_a_mounted_app_is_guarded_where_it_is_mounted(
    guarded: Starlette, path: str, status: int
) -> None:
    service = Starlette(routes=[Mount("/ops/taquba", app=guarded)])

    async with asking(service, scope_of("GET", path, [("host", HOST)], LOCAL, "http")) as answer:
        await answer.ended.wait()

    assert answer.status == status
    # What is not of the app is answered by the service, as it likes.
    if b"error" in answer.body or status == 200:
        check_answer(answer)


async def test_the_cookie_of_a_mounted_app_is_for_its_place_alone(guarded: Starlette) -> None:
    service = Starlette(routes=[Mount("/ops/taquba", app=guarded)])

    login = await ask(
        service,
        "POST",
        "/ops/taquba/api/session",
        headers=[("content-type", "application/json")],
        body=json.dumps({"token": TOKEN}).encode(),
    )

    assert login.status == 200
    assert "path=/ops/taquba/;" in f"{login.header('set-cookie').lower()};"


async def test_the_app_has_no_route_that_its_description_lacks(app: Starlette) -> None:
    described = (await ask(app, "GET", "/api/openapi.json")).json()["paths"]
    told = {f"{method.upper()} {path}" for path, each in described.items() for method in each}

    files = {"GET /", "GET /static/{path}"}
    assert told | files >= {name_of(each) for each in ALL}
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("/api", "/api/", "/admin", "/docs", "/redoc", "/openapi.json", "/debug"):
            answer = await ask(app, method, path)
            assert answer.status in {403, 404, 405, 415}, f"{method} {path}"


@pytest.mark.parametrize("mode", [None, False])
async def test_payloads_results_and_values_are_hidden_until_asked_for(
    site: Site, mode: bool | None
) -> None:
    options = {} if mode is None else {"show_payloads": mode}
    app = site.app(**options)
    job_id = await site.queue.enqueue("secret", SECRET)
    await site.queue.kv_put("secret", SECRET)

    for target in (
        f"/api/job?job_id={job_id}",
        f"/api/job?job_id={job_id}&payload=1",
        f"/api/job?job_id={job_id}&payload=0",
        f"/api/run/result?run_id={site.run_id}",
        "/api/jobs?queue=secret",
        "/api/kv?prefix=secret",
        "/api/overview",
    ):
        answer = await ask(app, "GET", target)

        assert SECRET not in answer.body
        assert b"YSBwYXlsb2Fk" not in answer.body
        assert answer.status == (403 if "payload=1" in target or "result" in target else 200)


@pytest.mark.parametrize("endpoint", READS, ids=name_of)
async def test_no_answer_of_a_store_that_is_gone_is_a_traceback(
    site: Site, endpoint: Endpoint
) -> None:
    app = site.app()
    await site.queue.close()

    answer = await ask(app, "GET", target_of(endpoint, site))

    assert answer.status in {200, 403, 404, 503}
    if answer.status == 503 and endpoint.path != "/api/ready":
        assert answer.code == "closed"


async def test_a_store_that_another_process_took_is_told_and_not_changed(site: Site) -> None:
    app = site.app()
    csrf = await csrf_of(app)
    async with await Queue.open(site.store):
        answer = await ask(
            app,
            "POST",
            "/api/jobs",
            headers=[("content-type", "application/json"), ("x-taquba-csrf", csrf)],
            body=json.dumps({"queue": QUEUE, "payload": "x"}).encode(),
        )

    assert answer.status == 503
    assert answer.code == "fenced"


async def test_a_run_of_another_runtime_is_not_submitted(site: Site) -> None:
    app = site.app(runtimes=[])
    headers = [("content-type", "application/json"), ("x-taquba-csrf", await csrf_of(app))]

    for body in ({"payload": "x"}, {"payload": "x", "queue": RUNS}):
        answer = await ask(
            app, "POST", "/api/runs", headers=headers, body=json.dumps(body).encode()
        )

        assert answer.status == 409
        assert answer.code == "no-runtime"


async def test_no_secret_is_found_out_by_searching_for_its_parts(site: Site) -> None:
    app = site.app()
    queue = site.queue
    options = EnqueueOptions(max_attempts=1, headers={"authorization": "Bearer h1dden"})
    await queue.enqueue("searched", b"", options)
    [claim] = await queue.claim_batch("searched", 1, lease=30.0)
    await queue.dead_letter(claim, "PUT https://me:h1dden@host/ failed: password=h1dden")
    spec = RunSpec(b"", run_id="searched", headers={"authorization": "Bearer h1dden"})
    await site.runtime.submit(spec)

    shown = await ask(app, "GET", "/api/dead?queue=searched&error=failed")
    by_error = await ask(app, "GET", "/api/dead?queue=searched&error=h1dd")
    by_header = await ask(app, "GET", "/api/runs?header=authorization:Bearer%20h1dden")

    assert len(shown.json()["jobs"]) == 1
    assert by_error.json()["jobs"] == []
    assert by_header.json()["runs"] == []
