# ruff: noqa: INP001 - MkDocs loads it by its path
"""What the site has beyond `docs/`: other documents of the repository, decisions, examples.

A hook of MkDocs; see `mkdocs.yml`. Always holds:
    1. A link between two documents leads to the same place in the repository and on the site.
    2. A link to a file that the site does not have becomes its text.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DECISIONS = ROOT / "docs" / "decisions"
EXAMPLES = ROOT / "examples"
SERVICE = EXAMPLES / "fastapi_service"

# Places in the repository, and what they are on the site.
PLACES = {
    "README.md": "index.md",
    "docs": "index.md",
    "docs/decisions": "decisions/index.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "RELIABILITY.md": "project/reliability.md",
    "benches/RESULTS.md": "project/results.md",
    "benches/peers/README.md": "project/peers.md",
    "examples/fastapi_service/README.md": "examples/fastapi_service/index.md",
    **{
        file.relative_to(ROOT).as_posix(): file.relative_to(ROOT).with_suffix(".md").as_posix()
        for file in [*EXAMPLES.glob("*.py"), *SERVICE.glob("*.py")]
    },
}
# The documents among them, by their page.
SOURCES = {
    uri: place for place, uri in PLACES.items() if (ROOT / place).is_file() and uri != "index.md"
}
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts decisions and examples into the navigation, which is written by hand otherwise."""
    assert isinstance(config.nav, list)  # noqa: S101 - `mkdocs.yml` has one
    decisions: list[Any] = ["decisions/index.md"]
    decisions += [f"decisions/{file.name}" for file in sorted(DECISIONS.glob("*.md"))]
    config.nav.append({"Decisions": decisions})
    uris = sorted(uri for place, uri in PLACES.items() if place.endswith(".py"))
    service = [uri for uri in uris if uri.startswith("examples/fastapi_service/")]
    files: list[Any] = [uri for uri in uris if uri not in service]
    index = PLACES["examples/fastapi_service/README.md"]
    config.nav[0]["Start"].append({"Code": [*files, {"fastapi_service": [index, *service]}]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are not in `docs/`."""
    for uri, place in SOURCES.items():
        files.append(File.generated(config, uri, content=_page_of(ROOT / place)))
    files.append(File.generated(config, "decisions/index.md", content=_decisions()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the repository into links between pages of the site."""
    del config
    uri = page.file.src_uri
    place = SOURCES.get(uri, f"docs/{uri}")

    def rewrite(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        found = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        if not (ROOT / found).exists():
            return match[0]  # not a link between files: MkDocs judges it
        page_uri = PLACES.get(found, found.removeprefix("docs/"))
        if files.get_file_from_path(page_uri) is None:
            return text
        return f"[{text}]({posixpath.relpath(page_uri, posixpath.dirname(uri) or '.')}{anchor})"

    return LINK.sub(rewrite, markdown)


def _page_of(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        # Whoever searches wants to read first.
        head = f"---\nsearch:\n  boost: 0.2\n---\n\n# {file.name}"
        return f"{head}\n\n```python\n{text.rstrip()}\n```"
    return text


def _decisions() -> str:
    titles = [
        (file.name, file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# "))
        for file in sorted(DECISIONS.glob("*.md"))
    ]
    lines = [f"- [{title}]({name})" for name, title in titles]
    return "\n".join(
        ["# Decisions", "", "What was decided, why, and what was rejected.", "", *lines]
    )
