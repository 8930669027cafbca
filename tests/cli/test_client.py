"""Whom the command line asks, and what it makes of odd answers."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from taquba._loopback import is_loopback
from tests.cli.conftest import Taquba

TOKEN = "a-token-of-32-characters-or-more"  # noqa: S105 - opens nothing


class Impostor(ThreadingHTTPServer):
    """Answers as a test wants it to, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Callable[[str], tuple[int, dict[str, str], bytes]] = lambda _: (200, {}, b"{}")
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Impostor

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {**self.headers}))
        status, headers, body = self.server.answer(self.path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the same

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its parent
        pass


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    with Impostor() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def other() -> Iterator[Impostor]:
    with Impostor() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(
    taquba: Taquba,
    impostor: Impostor,
    other: Impostor,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAQUBA_ADMIN_TOKEN", TOKEN)
    impostor.answer = lambda path: (status, {"Location": other.address + path}, b"")

    read = taquba("queues", "--admin", impostor.address)
    changed = taquba("kv", "put", "a", "b", "--admin", impostor.address)

    assert (read.code, changed.code) == (2, 2)
    assert f"[http-{status}]" in read.err
    assert other.asked == []
    assert TOKEN not in read.err + changed.err


def test_no_proxy_hears_what_is_for_this_machine(
    taquba: Taquba, impostor: Impostor, other: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", other.address)
    impostor.answer = lambda _: (200, {}, b'{"entries": [], "cursor": null}')

    ended = taquba("kv", "ls", "--admin", impostor.address, "--ndjson")

    assert (ended.code, ended.out) == (0, "")
    assert other.asked == []
    assert len(impostor.asked) == 1


def test_the_token_is_a_header_and_nothing_else(
    taquba: Taquba, impostor: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAQUBA_ADMIN_TOKEN", TOKEN)

    taquba("kv", "put", "a", "b", "--admin", impostor.address)

    [(path, headers)] = impostor.asked
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in path
    assert headers["Content-Type"] == "application/json"


def test_without_a_token_the_word_against_forgery_is_asked_for_and_sent(
    taquba: Taquba, impostor: Impostor
) -> None:
    impostor.answer = lambda path: (
        200,
        {},
        b'{"csrf": "word"}' if "info" in path else b'{"entries": [], "cursor": null}',
    )

    ended = taquba("kv", "rm", "a", "--admin", f"{impostor.address}/mounted/")

    assert ended.code == 2, "a DELETE has no handler there"
    taquba("kv", "put", "a", "b", "--admin", f"{impostor.address}/mounted/")
    assert [path for path, _ in impostor.asked if "info" not in path] == [
        "/mounted/api/kv?prefix=a&limit=1",
        "/mounted/api/kv",
    ]
    headers = {name.lower(): value for name, value in impostor.asked[-1][1].items()}
    assert headers["x-taquba-csrf"] == "word"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"<html>hello</html>", "not-an-owner"),
        (200, b"[1, 2]", "not-an-owner"),
        (200, b"", "not-an-owner"),
        (200, b"\xff\xfe", "not-an-owner"),
        (404, b"<html>not here</html>", "http-404"),
        (500, b"{}", "http-500"),
        (409, b'{"error": {"code": "no-runtime", "message": "none \\u001b[2J"}}', "no-runtime"),
        (409, b'{"error": "odd"}', "http-409"),
    ],
)
def test_an_odd_answer_is_told_in_one_line(
    taquba: Taquba, impostor: Impostor, status: int, body: bytes, code: str
) -> None:
    impostor.answer = lambda _: (status, {}, body)

    ended = taquba("runs", "show", "x", "--admin", impostor.address)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("\n") == 1
    assert ended.err.endswith(f"[{code}]\n")
    assert ended.err.rstrip("\n").isprintable()


def test_nobody_there_is_told_in_one_line(taquba: Taquba) -> None:
    ended = taquba("queues", "--admin", "http://127.0.0.1:1")

    assert ended.code == 2
    assert ended.err.endswith("[owner-unreachable]\n")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:8420",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://",
        "http://user:word@host/",
        "http://host/?token=word",
        "http://host/#word",
        "http://host:99999/",
        "http://[::1",
        "http://host/a b",
        "http://host/\r\nX: y",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_address_is_refused(taquba: Taquba, address: str) -> None:
    ended = taquba("queues", "--admin", address)

    assert (ended.code, ended.out) == (2, "")
    assert "[invalid-address]" in ended.err
    assert "word" not in ended.err.replace("no user, password", "")


def test_a_token_that_no_header_can_hold_is_refused(
    taquba: Taquba, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in ("a\nX-Other: b", "clé", "a b"):
        monkeypatch.setenv("TAQUBA_ADMIN_TOKEN", token)
        ended = taquba("queues", "--admin", "http://127.0.0.1:1")
        assert "[invalid-token]" in ended.err
        assert token not in ended.err


def test_loopback_is_known_by_its_names_and_addresses() -> None:
    loopback = ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "::ffff:127.0.0.1", "localhost"]
    others = ["10.0.0.1", "::", "0.0.0.0", "localhost.example.com", "mylocalhost", ""]  # noqa: S104
    # A name server may lead it elsewhere.
    others += ["a.localhost", "localhost."]

    assert [host for host in [*loopback, "LOCALHOST"] if not is_loopback(host)] == []
    assert [host for host in others if is_loopback(host)] == []
