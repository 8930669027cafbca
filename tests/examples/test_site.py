"""The documentation as a site: it builds without a warning, and loads nothing from elsewhere."""

import importlib
import importlib.util
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.needs import missing

ROOT = Path(__file__).resolve().parents[2]
# What a browser fetches by itself; a link is followed by people.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}


class Fetched(HTMLParser):
    """Collects what a page fetches."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the address of a tag that is fetched."""
        address = dict(attrs).get(FETCHED.get(tag, ""))
        if address is not None:
            self.addresses.append(address)


def fetched_by(page: Path) -> list[str]:
    """The addresses that a page fetches."""
    parser = Fetched()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser.addresses


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    if importlib.util.find_spec("material") is None:
        missing("mkdocs-material")
    target = tmp_path_factory.mktemp("site")
    child = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stdout + child.stderr
    return target


def test_the_site_has_a_page_for_each_document(site: Path) -> None:
    documents = (ROOT / "docs").rglob("*.md")
    names = [file.relative_to(ROOT / "docs").with_suffix("") for file in documents]
    expected = {name.parent if name.name == "index" else name for name in names}
    expected |= {Path("project/reliability"), Path("examples/fastapi_service"), Path("decisions")}

    built = {page.parent.relative_to(site) for page in site.rglob("index.html")}

    assert expected - built == set()


def test_the_reference_has_each_name_that_is_exported(site: Path) -> None:
    missing = {}
    for page in (site / "reference").glob("*/index.html"):
        module = importlib.import_module(page.parent.name)
        text = page.read_text(encoding="utf-8")
        names = [name for name in module.__all__ if not name.startswith("__")]
        missing[page.parent.name] = [name for name in names if f">{name}<" not in text]

    assert "taquba.queue" in missing
    assert {module: names for module, names in missing.items() if names} == {}


def test_the_reference_has_each_public_module(site: Path) -> None:
    # Two commands, and a folder of modules that have a page each.
    others = {"bench", "cli", "integrations"}
    public = {
        name
        for place in (ROOT / "python" / "taquba").iterdir()
        if (name := place.name.removesuffix(".py")).isidentifier() and not name.startswith("_")
    }

    pages = {page.name for page in (site / "reference").iterdir()}

    assert {f"taquba.{name}" for name in public - others} - pages == set()


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    outside = {
        address
        for page in site.rglob("*.html")
        for address in fetched_by(page)
        if address.startswith(("http:", "https:", "//"))
    }
    styles = "".join(style.read_text(encoding="utf-8") for style in site.rglob("*.css"))

    assert fetched_by(site / "index.html") != []
    assert outside == set()
    assert "@import" not in styles
    assert "url(http" not in styles
