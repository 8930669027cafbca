"""The token: what is taken for it, what is not, and what a session is."""

import hmac
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette

from taquba.admin import create_app, new_token
from taquba.admin._endpoint import Endpoint
from tests.admin.security.asking import TOKEN, Answer, Headers, ask
from tests.admin.security.conftest import Site
from tests.admin.security.routes import GUARDED, body_of, name_of, target_of

INFO = "/api/info"
COOKIE = "taquba_session"

# Headers that are no proof of the token, and their like.
WRONG: dict[str, Headers] = {
    "nothing": [],
    "an empty header": [("authorization", "")],
    "the scheme alone": [("authorization", "Bearer")],
    "the scheme and a space": [("authorization", "Bearer ")],
    "another token": [("authorization", "Bearer wrong")],
    "the beginning of it": [("authorization", f"Bearer {TOKEN[:-1]}")],
    "the end of it": [("authorization", f"Bearer {TOKEN[1:]}")],
    "more than it": [("authorization", f"Bearer {TOKEN}0")],
    "it twice": [("authorization", f"Bearer {TOKEN}{TOKEN}")],
    "it in two words": [("authorization", f"Bearer {TOKEN} {TOKEN}")],
    "it in capitals": [("authorization", f"Bearer {TOKEN.upper()}")],
    "it in quotes": [("authorization", f'Bearer "{TOKEN}"')],
    "it with a tab": [("authorization", f"Bearer\t{TOKEN}")],
    "it with a NUL": [("authorization", f"Bearer {TOKEN}\x00")],
    "it with a NUL before": [("authorization", f"Bearer \x00{TOKEN}")],
    "it with a byte that is no text": [("authorization", f"Bearer {TOKEN}\xff")],
    "it with a soft hyphen": [("authorization", f"Bearer {TOKEN}\xad")],
    "it with a line break": [("authorization", f"Bearer {TOKEN}\n")],
    "it percent-encoded": [("authorization", f"Bearer {TOKEN.replace('-', '%2D')}")],
    "it without a scheme": [("authorization", TOKEN)],
    "it as Basic": [("authorization", f"Basic {TOKEN}")],
    "it as Token": [("authorization", f"Token {TOKEN}")],
    "it as BearerX": [("authorization", f"BearerX {TOKEN}")],
    "it after a wrong one": [
        ("authorization", "Bearer wrong"),
        ("authorization", f"Bearer {TOKEN}"),
    ],
    "it before a wrong one": [
        ("authorization", f"Bearer {TOKEN}"),
        ("authorization", "Bearer wrong"),
    ],
    "it in a list": [("authorization", f"Bearer wrong, Bearer {TOKEN}")],
    "a megabyte": [("authorization", "Bearer " + "a" * 1_000_000)],
    "another header": [("x-api-key", TOKEN)],
    "the proxy's header": [("proxy-authorization", f"Bearer {TOKEN}")],
    "the CSRF header": [("x-taquba-csrf", TOKEN)],
    "it as a cookie": [("cookie", f"{COOKIE}={TOKEN}")],
    "it as a cookie in quotes": [("cookie", f'{COOKIE}="{TOKEN}"')],
    "an empty cookie": [("cookie", f"{COOKIE}=")],
    "a cookie without a value": [("cookie", COOKIE)],
    "a cookie of another name": [("cookie", f"token={TOKEN}")],
    "a cookie with a NUL": [("cookie", f"{COOKIE}=\x00")],
    "a cookie with escapes": [("cookie", f'{COOKIE}="\\303\\777"')],
    "a cookie that is no text": [("cookie", f"{COOKIE}=\xff\xfe")],
    "a cookie that is long": [("cookie", f"{COOKIE}={'a' * 100_000}")],
    "many cookies": [("cookie", "; ".join(f"{COOKIE}={n}" for n in range(1_000)))],
    "a basic login in the host": [("x-forwarded-user", "admin")],
}

QUERIES = [
    f"?token={TOKEN}",
    f"?access_token={TOKEN}",
    f"?authorization=Bearer%20{TOKEN}",
    f"?{TOKEN}",
    f";token={TOKEN}",
]


def bearer(token: str = TOKEN) -> Headers:
    return [("authorization", f"Bearer {token}")]


async def log_in(app: Starlette, token: str = TOKEN, **options: Any) -> Answer:
    """Ask for a session."""
    return await ask(
        app,
        "POST",
        "/api/session",
        headers=[("content-type", "application/json")],
        body=f'{{"token": "{token}"}}'.encode(),
        **options,
    )


def cookie_of(answer: Answer) -> str:
    """The name and value of the cookie that an answer sets."""
    return answer.header("set-cookie").partition(";")[0]


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the time of sessions."""
    clock = SimpleNamespace(now=time.monotonic())

    def move_(seconds: float) -> None:
        clock.now += seconds

    fake = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("taquba.admin._sessions.time", fake)
    return move_


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
async def test_what_is_not_the_token_is_refused(guarded: Starlette, headers: Headers) -> None:
    answer = await ask(guarded, "GET", INFO, headers=headers)

    assert answer.status == 401
    assert answer.code == "unauthorized"
    assert answer.json()["needs_login"] is True
    assert TOKEN not in answer.body.decode()


@pytest.mark.parametrize("query", QUERIES)
async def test_a_token_in_the_address_is_no_token(guarded: Starlette, query: str) -> None:
    answer = await ask(guarded, "GET", INFO + query)

    assert answer.status in {401, 404}
    assert TOKEN not in answer.body.decode()


@pytest.mark.parametrize("endpoint", GUARDED, ids=name_of)
async def test_no_route_answers_without_the_token(
    site: Site, guarded: Starlette, endpoint: Endpoint
) -> None:
    kind, body = body_of(endpoint, site)
    target = target_of(endpoint, site)

    for proof in ([], bearer("wrong"), [("cookie", f"{COOKIE}=wrong")]):
        headers = [*proof, ("content-type", kind)]
        answer = await ask(guarded, endpoint.method, target, headers=headers, body=body)

        assert answer.status == 401
        assert answer.code == "unauthorized"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_token_is_taken(guarded: Starlette, scheme: str) -> None:
    answer = await ask(guarded, "GET", INFO, headers=[("authorization", f"{scheme} {TOKEN}")])

    assert answer.status == 200


@pytest.mark.parametrize("token", ["", " ", "short", "a\nb", "sn\xf6w" * 10, "with space " * 5])
async def test_a_token_that_cannot_be_sent_or_is_guessed_is_refused_at_once(
    site: Site, token: str
) -> None:
    with pytest.raises(ValueError, match="token"):
        site.app(token=token)


async def test_no_two_new_tokens_are_alike_and_each_has_256_bits() -> None:
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {43}


@pytest.mark.parametrize("given", [TOKEN, "wrong", TOKEN[:-1] + "x", ""])
async def test_tokens_are_compared_in_constant_time(
    guarded: Starlette, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def spy(one: Any, other: Any) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr("taquba.admin._sessions.hmac.compare_digest", spy)
    await ask(guarded, "GET", INFO, headers=bearer(given))

    # Digests, so that not even the length of the token is told.
    assert compared == [(32, 32)]


async def test_after_ten_wrong_tokens_all_wrong_ones_wait_and_the_right_one_does_not(
    guarded: Starlette,
) -> None:
    wrong = [await ask(guarded, "GET", INFO, headers=bearer(f"wrong-{n}")) for n in range(10)]
    by_header = await ask(guarded, "GET", INFO, headers=bearer("wrong"))
    by_login = await log_in(guarded, "wrong")
    right = await ask(guarded, "GET", INFO, headers=bearer())
    login = await log_in(guarded)

    assert [answer.status for answer in wrong] == [401] * 10
    assert [by_header.status, by_login.status] == [429, 429]
    assert by_header.header("retry-after") == "60"
    assert [right.status, login.status] == [200, 200]


async def test_wrong_logins_are_counted_with_wrong_headers(guarded: Starlette) -> None:
    statuses = [(await log_in(guarded, f"wrong-{n}")).status for n in range(10)]
    answer = await ask(guarded, "GET", INFO, headers=bearer("wrong"))

    assert statuses == [401] * 10
    assert answer.status == 429


async def test_wrong_tokens_are_forgotten_after_a_minute(
    guarded: Starlette, move: Callable[[float], None]
) -> None:
    for n in range(11):
        last = await ask(guarded, "GET", INFO, headers=bearer(f"wrong-{n}"))
    move(61.0)
    later = await ask(guarded, "GET", INFO, headers=bearer("wrong"))

    assert last.status == 429
    assert later.status == 401


async def test_a_login_gives_a_cookie_that_scripts_and_other_sites_cannot_use(
    guarded: Starlette,
) -> None:
    plain = await log_in(guarded)
    secure = await log_in(guarded, scheme="https")

    attributes = {each.strip().lower() for each in plain.header("set-cookie").split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= attributes
    assert not any(each.startswith("domain") for each in attributes)
    assert "secure" not in attributes
    assert "; secure" in secure.header("set-cookie").lower()
    assert TOKEN not in plain.header("set-cookie")
    assert len(cookie_of(plain).partition("=")[2]) >= 43


async def test_a_session_is_as_good_as_the_token_until_it_ends(
    guarded: Starlette, move: Callable[[float], None]
) -> None:
    cookie = [("cookie", cookie_of(await log_in(guarded)))]
    first = await ask(guarded, "GET", INFO, headers=cookie)
    move(7 * 24 * 3600.0)
    later = await ask(guarded, "GET", INFO, headers=cookie)

    assert first.status == 200
    assert later.status == 401


async def test_a_session_that_was_ended_is_over_also_for_a_copy_of_its_cookie(
    guarded: Starlette,
) -> None:
    cookie = [("cookie", cookie_of(await log_in(guarded)))]
    csrf = (await ask(guarded, "GET", INFO, headers=cookie)).json()["csrf"]
    ended = await ask(
        guarded,
        "DELETE",
        "/api/session",
        headers=[*cookie, ("content-type", "application/json"), ("x-taquba-csrf", csrf)],
    )
    later = await ask(guarded, "GET", INFO, headers=cookie)

    assert ended.status == 200
    assert later.status == 401


async def test_a_session_of_another_app_with_the_same_token_is_none_here(
    site: Site, guarded: Starlette
) -> None:
    other = create_app(site.queue, token=TOKEN)
    cookie = [("cookie", cookie_of(await log_in(other)))]

    there = await ask(other, "GET", INFO, headers=cookie)
    here = await ask(guarded, "GET", INFO, headers=cookie)

    assert there.status == 200
    assert here.status == 401


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + "x", lambda c: c.swapcase()])
async def test_a_changed_session_is_none(guarded: Starlette, change: Callable[[str], str]) -> None:
    name, _, value = cookie_of(await log_in(guarded)).partition("=")

    answer = await ask(guarded, "GET", INFO, headers=[("cookie", f"{name}={change(value)}")])

    assert answer.status == 401


async def test_a_wrong_token_is_not_made_good_by_a_session(guarded: Starlette) -> None:
    cookie = cookie_of(await log_in(guarded))

    answer = await ask(guarded, "GET", INFO, headers=[("cookie", cookie), *bearer("wrong")])

    assert answer.status == 401


async def test_each_login_gives_another_session(guarded: Starlette) -> None:
    planted = f"{COOKIE}=planted"
    sessions = {cookie_of(await log_in(guarded)) for _ in range(5)}
    fixed = await ask(guarded, "GET", INFO, headers=[("cookie", planted)])

    assert len(sessions) == 5
    assert planted not in sessions
    assert fixed.status == 401


async def test_a_thousand_logins_do_not_fill_the_memory(guarded: Starlette) -> None:
    first = cookie_of(await log_in(guarded))
    for _ in range(1_000):
        last = cookie_of(await log_in(guarded))

    old = await ask(guarded, "GET", INFO, headers=[("cookie", first)])
    new = await ask(guarded, "GET", INFO, headers=[("cookie", last)])

    assert [old.status, new.status] == [401, 200]


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + " ", " " + TOKEN])
async def test_a_wrong_token_opens_no_session(guarded: Starlette, token: str) -> None:
    answer = await log_in(guarded, token)

    assert answer.status in {400, 401}
    assert answer.all_of("set-cookie") == []


@pytest.mark.parametrize("path", ["/api/health", "/api/ready"])
async def test_probes_need_no_token_and_tell_nothing(guarded: Starlette, path: str) -> None:
    answer = await ask(guarded, "GET", path, client=("192.0.2.7", 1), host="10.0.0.1:8420")

    assert answer.status == 200
    assert answer.json().keys() == {"status"}
