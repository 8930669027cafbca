"""The files of the dashboard, and nothing else of the disk."""

from pathlib import Path

import pytest
from starlette.applications import Starlette

import taquba.admin
from tests.admin.security.asking import TOKEN, ask
from tests.admin.security.conftest import Site

STATIC = Path(taquba.admin.__file__).parent / "static"
FILES = sorted(path.relative_to(STATIC) for path in STATIC.rglob("*") if path.is_file())

OUTSIDE = [
    "../__init__.py",
    "../../_redact.py",
    "../" * 20 + "etc/passwd",
    "..",
    "../",
    "./../__init__.py",
    "pages/../../__init__.py",
    "pages/../../../_redact.py",
    "%2e%2e/__init__.py",
    "%2e%2e%2f__init__.py",
    "..%2f__init__.py",
    ".%2e/__init__.py",
    "%2E%2E%2F" * 20 + "etc%2Fpasswd",
    "%252e%252e%252f__init__.py",
    "%252e%252e/__init__.py",
    "..%252f__init__.py",
    "%c0%ae%c0%ae/__init__.py",
    "%c0%ae%c0%ae%c0%af__init__.py",
    "%uff0e%uff0e/__init__.py",
    "%ef%bc%8e%ef%bc%8e/__init__.py",
    "..\\__init__.py",
    "..%5c__init__.py",
    "..%5c" * 20 + "etc%5cpasswd",
    "%2e%2e%5c__init__.py",
    "..%255c__init__.py",
    "....//__init__.py",
    "....\\/__init__.py",
    "..;/__init__.py",
    "..%00/__init__.py",
    "..%0d%0a/__init__.py",
    "index.html%00",
    "index.html%00.js",
    "%00",
    "index.html/",
    "index.html/..",
    "index.html/../index.html",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "%2f%2fetc/passwd",
    "/proc/self/environ",
    "file:///etc/passwd",
    "C:/windows/win.ini",
    "C%3a%5cwindows%5cwin.ini",
    "\\\\evil.example\\share",
    "%5c%5cevil.example%5cshare",
    "~/.ssh/id_rsa",
    "~root/.profile",
    "$HOME/.profile",
    ".",
    "",
    "pages",
    "pages/",
    ".git/config",
    ".env",
    "INDEX.HTML",
    "index.html.bak",
    "index.html~",
    "index.html%20",
    "index.html.",
    "index.html:$DATA",
    "*.js",
    "a" * 5_000,
    "a/" * 2_000 + "b",
]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: ascii(path)[:60])
async def test_nothing_but_the_files_is_given(app: Starlette, path: str) -> None:
    page = await ask(app, "GET", "/")

    answer = await ask(app, "GET", f"/static/{path}")
    head = await ask(app, "HEAD", f"/static/{path}")

    # A path that leads back to the app may be the page, which everybody gets.
    assert answer.status in {400, 404} or answer.body in {page.body, b""}
    for content in (b"root:", b"taquba.admin", b"import ", b"PATH="):
        assert content not in answer.body.removeprefix(page.body)
    assert head.status == answer.status
    assert head.body == b""


@pytest.mark.parametrize(
    "path", ["/..", "/../../etc/passwd", "//evil.example/", "/%2e%2e/etc/passwd"]
)
async def test_no_path_outside_of_static_is_a_file_or_leads_elsewhere(
    app: Starlette, path: str
) -> None:
    answer = await ask(app, "GET", path)

    assert answer.status in {400, 404}
    assert answer.all_of("location") == []


@pytest.mark.parametrize("path", FILES, ids=str)
async def test_each_file_is_given_with_its_type_and_no_login(
    guarded: Starlette, path: Path
) -> None:
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    kinds[".html"] = "text/html"

    answer = await ask(guarded, "GET", f"/static/{path.as_posix()}")

    assert answer.status == 200
    assert answer.kind == kinds[path.suffix]
    assert answer.body == (STATIC / path).read_bytes()
    assert answer.header("cache-control") == "no-cache"
    assert answer.header("etag") != ""


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_file_has_what_the_policy_forbids_or_what_makes_markup_of_text(path: Path) -> None:
    text = (STATIC / path).read_text()

    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in text
    for forbidden in ("new Function", "DOMParser", "srcdoc", "javascript:", "onclick=", " style="):
        assert forbidden not in text
    assert path.suffix != ".html" or "<script>" not in text
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text


async def test_a_link_out_of_the_directory_is_not_followed_by_a_guess(site: Site) -> None:
    app = site.app(token=TOKEN)

    answers = [await ask(app, "GET", f"/static/{name}") for name in ("__init__.py", "_app.py")]

    assert [answer.status for answer in answers] == [404, 404]
