"""Pages of other sites in the browser of somebody who may act: nothing of theirs gets through."""

import pytest
from starlette.applications import Starlette

from taquba.admin._endpoint import Access, Body, Endpoint
from tests.admin.security.asking import HOST, TOKEN, Headers, ask
from tests.admin.security.conftest import Site
from tests.admin.security.routes import (
    ALL,
    BROWSER,
    CHANGES,
    READS,
    STREAMS,
    body_of,
    name_of,
    target_of,
)

ORIGIN = f"http://{HOST}"

FOREIGN: dict[str, Headers] = {
    "another origin": [("origin", "http://evil.example")],
    "no origin at all": [("origin", "null")],
    "an empty origin": [("origin", "")],
    "another port": [("origin", "http://127.0.0.1:8421")],
    "no port": [("origin", "http://127.0.0.1")],
    "another scheme": [("origin", f"https://{HOST}")],
    "another name of this machine": [("origin", "http://localhost:8420")],
    "a longer name": [("origin", f"{ORIGIN}.evil.example")],
    "userinfo": [("origin", f"http://{HOST}@evil.example")],
    "a path": [("origin", f"{ORIGIN}/")],
    "two origins": [("origin", ORIGIN), ("origin", "http://evil.example")],
    "one of a list": [("origin", f"{ORIGIN} http://evil.example")],
    "another site": [("sec-fetch-site", "cross-site")],
    "a sister site": [("sec-fetch-site", "same-site")],
    "a site that is no word": [("sec-fetch-site", "")],
    "two sites": [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
    "a list of sites": [("sec-fetch-site", "same-origin, cross-site")],
    "the right origin from another site": [("origin", ORIGIN), ("sec-fetch-site", "cross-site")],
}

# What a form or a page can send to another site without asking it first, and tricks with it.
KINDS = [
    None,
    "",
    "text/plain",
    "text/plain; application/json",
    "text/plain; charset=application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/html",
    "application/xml",
    "application/jsonp",
    "application/json5",
    "application/json+text",
    "text/json",
    "application/javascript",
    "application/json, text/plain",
    "text/plain, application/json",
    "application/json; charset=utf-16",
    "application/json; charset=utf-7",
    "application /json",
    "application/json\x00",
    "APPLICATION/X-WWW-FORM-URLENCODED",
]

OVERRIDES = ["x-http-method-override", "x-http-method", "x-method-override", "_method"]

ODD_METHODS = ["PUT", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "post", "DELETE/**/", "X"]


async def contents(site: Site) -> object:
    """Everything that a change could change."""
    queue = site.queue
    pages = [await queue.list_jobs(name) for name in await queue.list_queues()]
    jobs = [(job.job_id, job.state, job.attempts) for page in pages for job in page.jobs]
    runs = [(run.run_id, run.state, run.headers) for run in (await queue.list_runs()).runs]
    return jobs, runs, (await queue.kv_scan()).entries


async def csrf_of(app: Starlette, headers: Headers = ()) -> str:
    """What proves that a page of the app asks."""
    answer = await ask(app, "GET", "/api/info", headers=headers)
    csrf = answer.json()["csrf"]
    assert isinstance(csrf, str)
    assert len(csrf) >= 32
    return csrf


@pytest.mark.parametrize("endpoint", BROWSER, ids=name_of)
async def test_a_page_of_another_site_changes_nothing(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    kind, body = body_of(endpoint, site)
    target = target_of(endpoint, site)
    before = await contents(site)
    proof = [("content-type", kind), ("x-taquba-csrf", await csrf_of(app))]

    for name, foreign in FOREIGN.items():
        headers = [*proof, *foreign]
        answer = await ask(app, endpoint.method, target, headers=headers, body=body)

        assert answer.status == 403, name
        assert answer.code == "forbidden-origin", name
    assert await contents(site) == before


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_a_page_of_another_site_enqueues_nothing(
    site: Site, app: Starlette, headers: Headers
) -> None:
    before = await contents(site)
    proof = [("content-type", "application/json"), ("x-taquba-csrf", await csrf_of(app))]
    job = b'{"queue":"email","payload":"x"}'

    foreign = await ask(app, "POST", "/api/jobs", headers=[*proof, *headers], body=job)
    after = await contents(site)
    own = await ask(app, "POST", "/api/jobs", headers=proof, body=job)

    assert foreign.status == 403
    assert own.status == 201
    assert after == before


@pytest.mark.parametrize("endpoint", CHANGES, ids=name_of)
async def test_a_page_that_does_not_know_the_proof_changes_nothing(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    kind, body = body_of(endpoint, site)
    csrf = await csrf_of(app)
    other_case = csrf.upper() if csrf != csrf.upper() else csrf.lower()
    wrong = [[], [""], ["wrong"], ["0" * 64], [csrf[:-1]], [f"{csrf}0"], [csrf, csrf], [other_case]]
    before = await contents(site)

    for proofs in wrong:
        answer = await ask(
            app,
            endpoint.method,
            target_of(endpoint, site),
            headers=[("content-type", kind), *(("x-taquba-csrf", each) for each in proofs)],
            body=body,
        )

        assert answer.status == 403, proofs
        assert answer.code == "csrf", proofs
    assert await contents(site) == before


@pytest.mark.parametrize("endpoint", BROWSER, ids=name_of)
async def test_a_change_needs_its_content_type(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    kind, body = body_of(endpoint, site)
    csrf = await csrf_of(app)
    before = await contents(site)
    others = [other for other in KINDS if other != kind]
    if endpoint.body is Body.LINES:
        others.append("application/x-ndjson-like")

    for other in others:
        headers = [("x-taquba-csrf", csrf)]
        headers += [] if other is None else [("content-type", other)]
        answer = await ask(
            app, endpoint.method, target_of(endpoint, site), headers=headers, body=body
        )

        assert answer.status == 415 or (answer.status == 400 and not body), other
    assert await contents(site) == before


@pytest.mark.parametrize("kind", KINDS)
async def test_a_form_of_another_site_enqueues_nothing(
    site: Site, app: Starlette, kind: str | None
) -> None:
    before = await contents(site)
    headers = [("x-taquba-csrf", await csrf_of(app))]
    headers += [] if kind is None else [("content-type", kind)]

    answer = await ask(
        app, "POST", "/api/jobs", headers=headers, body=b'{"queue":"email","payload":"x"}'
    )

    assert answer.status == 415
    assert await contents(site) == before


async def test_two_content_types_are_none(site: Site, app: Starlette) -> None:
    headers = [("x-taquba-csrf", await csrf_of(app))]
    headers += [("content-type", "application/json"), ("content-type", "text/plain")]
    before = await contents(site)

    answer = await ask(
        app, "POST", "/api/jobs", headers=headers, body=b'{"queue":"email","payload":"x"}'
    )

    assert answer.status == 415
    assert await contents(site) == before


@pytest.mark.parametrize("endpoint", CHANGES, ids=name_of)
async def test_no_other_method_changes_anything(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    kind, body = body_of(endpoint, site)
    target = target_of(endpoint, site)
    before = await contents(site)
    proof = [("content-type", kind), ("x-taquba-csrf", await csrf_of(app))]
    is_read = any(each.path == endpoint.path for each in READS)

    for method in ("GET", "HEAD", "OPTIONS", *ODD_METHODS):
        answer = await ask(app, method, target, headers=proof, body=body)

        # The same path may have something to read, which refuses what it does not know.
        reads = is_read and method in {"GET", "HEAD"}
        assert answer.status in ({200, 400, 404, 405} if reads else {404, 405}), method
    assert await contents(site) == before


@pytest.mark.parametrize("endpoint", CHANGES, ids=name_of)
async def test_a_method_in_a_header_is_no_method(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    kind, body = body_of(endpoint, site)
    before = await contents(site)
    proof = [("content-type", kind), ("x-taquba-csrf", await csrf_of(app))]

    for name in OVERRIDES:
        override = (name, endpoint.method)
        target = target_of(endpoint, site)
        await ask(app, "GET", target, headers=[*proof, override], body=body)

    assert await contents(site) == before


@pytest.mark.parametrize("endpoint", READS, ids=name_of)
async def test_reading_changes_nothing(site: Site, app: Starlette, endpoint: Endpoint) -> None:
    before = await contents(site)

    for method in ("GET", "HEAD"):
        answer = await ask(app, method, target_of(endpoint, site))

        assert answer.status < 500
    assert await contents(site) == before


@pytest.mark.parametrize("endpoint", ALL, ids=name_of)
async def test_no_browser_is_told_that_another_site_may_ask(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    preflight = [
        ("access-control-request-method", endpoint.method),
        ("access-control-request-headers", "content-type, x-taquba-csrf, authorization"),
        ("access-control-request-private-network", "true"),
    ]

    for origin in ("http://evil.example", "null", ORIGIN):
        headers = [("origin", origin), *preflight]
        answer = await ask(app, "OPTIONS", target_of(endpoint, site), headers=headers)

        # That no answer allows it is looked at for each answer.
        assert answer.status in {403, 404, 405}


@pytest.mark.parametrize(
    "endpoint", [each for each in READS if each.access is not Access.ALL] + STREAMS, ids=name_of
)
async def test_another_site_cannot_hold_a_page_or_a_stream(
    site: Site, app: Starlette, endpoint: Endpoint
) -> None:
    answer = await ask(
        app,
        "GET",
        target_of(endpoint, site),
        headers=[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")],
    )

    assert answer.status == 403


@pytest.mark.parametrize("endpoint", CHANGES, ids=name_of)
async def test_the_token_itself_needs_no_proof_and_still_no_other_origin(
    site: Site, guarded: Starlette, endpoint: Endpoint
) -> None:
    kind, body = body_of(endpoint, site)
    bearer = [("authorization", f"Bearer {TOKEN}"), ("content-type", kind)]
    target = target_of(endpoint, site)

    foreign = await ask(
        guarded,
        endpoint.method,
        target,
        headers=[*bearer, ("origin", "http://evil.example")],
        body=body,
    )
    own = await ask(guarded, endpoint.method, target, headers=bearer, body=body)

    assert foreign.status == 403
    assert foreign.code == "forbidden-origin"
    assert own.status in {200, 201, 404, 409}


async def test_a_proof_belongs_to_one_session(guarded: Starlette, site: Site) -> None:
    bearer = [("authorization", f"Bearer {TOKEN}")]
    sessions = []
    for _ in range(2):
        login = await ask(
            guarded,
            "POST",
            "/api/session",
            headers=[("content-type", "application/json")],
            body=f'{{"token": "{TOKEN}"}}'.encode(),
        )
        sessions.append([("cookie", login.header("set-cookie").partition(";")[0])])
    proofs = [await csrf_of(guarded, headers) for headers in (*sessions, bearer)]
    before = await contents(site)

    for proof in proofs[1:]:
        answer = await ask(
            guarded,
            "POST",
            "/api/job/wake",
            headers=[
                *sessions[0],
                ("content-type", "application/json"),
                ("x-taquba-csrf", proof),
            ],
            body=f'{{"job_id": "{site.scheduled_id}"}}'.encode(),
        )

        assert answer.code == "csrf"
    assert len(set(proofs)) == 3
    assert await contents(site) == before
