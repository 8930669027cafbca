"""What the documents show works: every Python block runs, every example runs.

The blocks of one page run in order and share their names, as if they were typed into
``python -m asyncio``, which also allows `await` outside a function.
"""

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.timeout(120)


def blocks(page: Path) -> list[CodeType]:
    """The page's Python blocks, compiled so that errors point into the page."""
    text = page.read_text(encoding="utf-8")
    compiled = []
    for match in BLOCK.finditer(text):
        first_line = text.count("\n", 0, match.start(1))
        source = "\n" * first_line + match.group(1)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compiled.append(compile(source, str(page), "exec", flags=flags, dont_inherit=True))
    return compiled


def run_page(page: Path) -> None:
    """Runs a page's blocks in a loop of their own."""
    names: dict[str, object] = {"__name__": "__main__"}

    async def run() -> None:
        for code in blocks(page):
            result = eval(code, names)  # noqa: S307 - our own documents
            if inspect.isawaitable(result):
                await result

    if any(code.co_flags & inspect.CO_COROUTINE for code in blocks(page)):
        asyncio.run(run())
    else:
        for code in blocks(page):
            exec(code, names)  # noqa: S102 - our own documents


PAGES_WITH_CODE = [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    run_page(page)


def test_the_readme_and_each_guide_show_code() -> None:
    tasks = "costs inspecting key-value large-payloads queues quickstart retries scheduling"
    others = "durability stores workers workflows"
    runs = "cancellation first-workflow hooks idempotency memos outcomes retention testing"
    guides = {f"{name}.md" for name in f"{tasks} {others} {runs}".split()}

    names = {page.name for page in PAGES_WITH_CODE}

    assert names >= guides | {"README.md"}


def test_the_readme_prints_what_it_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [program] = BLOCK.findall(readme)
    promised = re.search(r"It prints `([^`]+)`", readme)
    assert promised is not None

    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert (child.returncode, child.stdout.strip()) == (0, promised.group(1)), child.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    hidden = {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-W", "error", str(example)]

    child = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert child.returncode == 0, child.stdout + child.stderr
    assert child.stdout.strip()
    assert child.stderr == ""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_ends_with_its_output(example: Path) -> None:
    lines = example.read_text(encoding="utf-8").rstrip().splitlines()

    assert lines[-1].startswith("#"), "the last comment shows the output"
    block = lines[lines.index("# Output:") :]
    assert all(line.startswith("#") for line in block)
    assert len(block) >= 3
