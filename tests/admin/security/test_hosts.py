"""Where a request comes from and whom it names: rebinding, proxies, and addresses in odd forms."""

import pytest
from starlette.applications import Starlette

from taquba.admin._endpoint import Endpoint
from tests.admin.security.asking import (
    HOST,
    LOCAL,
    REMOTE,
    TOKEN,
    Headers,
    ask,
    asking,
    scope_of,
)
from tests.admin.security.conftest import Site
from tests.admin.security.routes import PLACED, body_of, name_of, target_of

INFO = "/api/info"
BEARER = [("authorization", f"Bearer {TOKEN}")]

# Names that lead to this machine in a browser, or look as if they did, and are not this machine's.
REBOUND = [
    "evil.example",
    "evil.example:8420",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.io:8420",
    "evil-localhost",
    "localhost-evil",
    "xlocalhost",
    "localhost.",
    "localhost.:8420",
    "localhost..",
    "127.0.0.1.",
    "localhost.localdomain",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.000.000.001",
    "0.0.0.0",  # noqa: S104 - a name, not an address to listen on
    "0",
    "10.0.0.1",
    "169.254.169.254",
    "192.0.2.1:8420",
    "[::]",
    "[::]:8420",
    "[fe80::1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:8.8.8.8]:8420",
    "[2001:db8::1]:80",
    "[64:ff9b::7f00:1]",
    "[::127.0.0.1]",
]

# What no browser sends, and what parsers disagree about.
MALFORMED = [
    "",
    " ",
    " localhost",
    "localhost ",
    "local host",
    "user@localhost",
    "localhost@evil.example",
    "user:pass@127.0.0.1:8420",
    "http://localhost",
    "localhost/",
    "localhost/evil",
    "localhost?x",
    "localhost#x",
    "localhost\\evil",
    "localhost:",
    "localhost:http",
    "localhost:-1",
    "localhost:+80",
    "localhost:80:80",
    "localhost:99999",
    "localhost:100000",
    "localhost:8420evil",
    "localhost: 80",
    "localhost,evil.example",
    "localhost;evil.example",
    "localhost\x00",
    "localhost\x00.evil.example",
    "localhost\n",
    "localhost\r\nX: y",
    "localhost%00",
    "localh%6fst",
    "l\xf6calhost",
    "::1",
    "::1:8420",
    "[::1",
    "::1]",
    "[::1]x",
    "[::1].evil.example",
    "[::1%25lo]",
    "[::1%lo]:80",
    "[localhost]",
    "[127.0.0.1]",
    "[]",
    "[::1]:",
    "[[::1]]",
    "a" * 254,
    "localhost" + "a" * 100_000,
    "*",
    ".",
    "<script>alert(1)</script>",
]

LOOPBACK = [
    "localhost",
    "LOCALHOST:8420",
    "localhost:1",
    "127.0.0.1",
    "127.0.0.1:8420",
    "127.8.9.10:8420",
    "[::1]",
    "[::1]:8420",
    "[0:0:0:0:0:0:0:1]:8420",
    "[::ffff:127.0.0.1]:8420",
]

CLIENTS = [
    None,
    REMOTE,
    ("10.0.0.1", 1),
    ("0.0.0.0", 1),  # noqa: S104 - a client, not an address to listen on
    ("::", 1),
    ("::ffff:10.0.0.1", 1),
    ("fe80::1%eth0", 1),
    ("169.254.1.1", 1),
    ("localhost.evil.example", 1),
    ("", 0),
    ("testclient", 1),
    ("unix:", 0),
    ("127.0.0.1.evil.example", 1),
]

FORWARDED: list[tuple[str, str]] = [
    ("forwarded", "for=127.0.0.1"),
    ("forwarded", ""),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-for", "192.0.2.7, 127.0.0.1"),
    ("x-forwarded-host", "localhost"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-port", "8420"),
    ("x-forwarded-server", "a"),
    ("x-forwarded-prefix", "/taquba"),
    ("x-forwarded", "for=127.0.0.1"),
    ("x-real-ip", "127.0.0.1"),
    ("X-REAL-IP", "127.0.0.1"),
    ("X-Forwarded-For", ""),
    ("via", "1.1 proxy"),
    ("cf-connecting-ip", "192.0.2.7"),
    ("true-client-ip", "192.0.2.7"),
    ("x-client-ip", "127.0.0.1"),
    ("x-original-host", "localhost"),
    ("x-original-url", "/"),
]

# Pairs of what an app was told and what comes.
NOT_TAKEN = [
    ("taquba.example", "evil.example"),
    ("taquba.example", "taquba.example.evil.example"),
    ("taquba.example", "xtaquba.example"),
    ("taquba.example", "taquba.example."),
    ("taquba.example", "taquba-example"),
    ("taquba.example", "sub.taquba.example"),
    ("taquba.example", "taquba.exampl"),
    ("taquba.example:443", "taquba.example:80"),
    ("taquba.example:443", "taquba.example"),
    ("10.0.0.1", "10.0.0.2"),
    ("10.0.0.1", "10.0.0.1.evil.example"),
]


@pytest.mark.parametrize("host", REBOUND)
async def test_a_name_that_is_not_this_machines_is_refused(app: Starlette, host: str) -> None:
    answer = await ask(app, "GET", INFO, host=host)

    assert answer.status == 403
    assert answer.code == "forbidden-host"


@pytest.mark.parametrize("host", MALFORMED)
async def test_a_host_that_is_no_name_is_refused(site: Site, host: str) -> None:
    for token in (None, TOKEN):
        answer = await ask(site.app(token=token), "GET", INFO, host=host, headers=BEARER)

        # An address in brackets that is none may be told as somebody else's.
        assert answer.status in {400, 403}
        assert answer.code in {"invalid-host", "forbidden-host"}


@pytest.mark.parametrize("path", [INFO, "/", "/static/index.html", "/api/nothing", "/api/jobs"])
@pytest.mark.parametrize(
    "hosts",
    [[], [HOST, HOST], [HOST, "evil.example"], ["evil.example", HOST]],
    ids=["none", "twice", "another after", "another before"],
)
async def test_a_request_without_one_host_is_refused(
    app: Starlette, path: str, hosts: list[str]
) -> None:
    headers = [("host", host) for host in hosts]

    answer = await ask(app, "GET", path, host=None, headers=headers)

    assert answer.status == 400
    assert answer.code == "invalid-host"


@pytest.mark.parametrize("host", LOOPBACK)
async def test_this_machines_names_are_taken(app: Starlette, host: str) -> None:
    answer = await ask(app, "GET", INFO, host=host)

    assert answer.status == 200


@pytest.mark.parametrize("path", ["/", "/static/index.html", "/api/nothing", INFO])
async def test_no_page_and_no_file_is_given_under_another_name(app: Starlette, path: str) -> None:
    answer = await ask(app, "GET", path, host="evil.example:8420")

    assert answer.status == 403
    assert answer.code == "forbidden-host"


@pytest.mark.parametrize("endpoint", PLACED, ids=name_of)
@pytest.mark.parametrize(
    ("host", "headers", "is_remote"),
    [
        ("evil.example", [], False),
        (HOST, [("x-forwarded-for", "127.0.0.1")], False),
        (HOST, [], True),
    ],
    ids=["name", "proxy", "client"],
)
async def test_every_route_looks_at_the_place(
    site: Site, app: Starlette, endpoint: Endpoint, host: str, headers: Headers, is_remote: bool
) -> None:
    kind, body = body_of(endpoint, site)

    answer = await ask(
        app,
        endpoint.method,
        target_of(endpoint, site),
        host=host,
        headers=[*headers, ("content-type", kind)],
        body=body,
        client=REMOTE if is_remote else ("127.0.0.1", 1),
    )

    assert answer.status == 403
    assert answer.code in {"forbidden-host", "forbidden-client"}


@pytest.mark.parametrize("client", CLIENTS, ids=str)
async def test_without_a_token_only_this_machine_is_answered(
    app: Starlette, client: tuple[str, int] | None
) -> None:
    answer = await ask(app, "GET", INFO, client=client)

    assert answer.status == 403
    assert answer.code == "forbidden-client"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_this_machine_is_answered(app: Starlette, address: str) -> None:
    answer = await ask(app, "GET", INFO, client=(address, 1))

    assert answer.status == 200


@pytest.mark.parametrize("header", FORWARDED, ids=": ".join)
async def test_what_a_proxy_passed_on_is_not_from_this_machine(
    app: Starlette, header: tuple[str, str]
) -> None:
    answer = await ask(app, "GET", INFO, headers=[header])

    assert answer.status == 403
    assert answer.code == "forbidden-client"


async def test_what_speaks_http_1_0_may_be_a_proxy(app: Starlette) -> None:
    scope = {**scope_of("GET", INFO, [("host", HOST)], LOCAL, "http"), "http_version": "1.0"}

    async with asking(app, scope) as answer:
        await answer.ended.wait()

    assert (answer.status, answer.code) == (403, "forbidden-client")


async def test_with_a_token_others_may_ask_through_a_proxy(guarded: Starlette) -> None:
    forwarded = [*BEARER, ("x-forwarded-for", "192.0.2.7")]

    answer = await ask(
        guarded, "GET", INFO, host="taquba.example", headers=forwarded, client=REMOTE
    )

    assert answer.status == 200


@pytest.mark.parametrize(("known", "host"), NOT_TAKEN)
async def test_with_hosts_no_other_name_is_taken(site: Site, known: str, host: str) -> None:
    app = site.app(token=TOKEN, hosts=[known])

    answer = await ask(app, "GET", INFO, host=host, headers=BEARER)

    assert answer.status == 403
    assert answer.code == "forbidden-host"


@pytest.mark.parametrize(
    ("known", "host"),
    [
        ("taquba.example", "taquba.example"),
        ("taquba.example", "TAQUBA.example:8420"),
        ("Taquba.Example:443", "taquba.example:443"),
        ("taquba.example", "localhost:8420"),
    ],
)
async def test_with_hosts_those_and_this_machines_are_taken(
    site: Site, known: str, host: str
) -> None:
    app = site.app(token=TOKEN, hosts=[known])

    answer = await ask(app, "GET", INFO, host=host, headers=BEARER)

    assert answer.status == 200


async def test_hosts_do_not_make_up_for_a_missing_token(site: Site) -> None:
    app = site.app(hosts=["taquba.example"])

    remote = await ask(app, "GET", INFO, host="taquba.example", client=REMOTE)

    assert remote.status == 403


@pytest.mark.parametrize(
    "hosts", ["taquba.example", ["*"], ["http://taquba.example"], [""], ["a b"], [5]]
)
async def test_hosts_that_are_no_names_are_refused_at_once(site: Site, hosts: object) -> None:
    with pytest.raises(ValueError, match="hosts"):
        site.app(token=TOKEN, hosts=hosts)
