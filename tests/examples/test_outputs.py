"""What the last comment of an example says is what it prints."""

import asyncio
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Those whose output is the same each time.
NAMES = [
    "approval",
    "bulk",
    "debounce",
    "deploy",
    "fan_out",
    "hello",
    "later",
    "notebook",
    "rate_limit",
    "tracing",
    "typed_task",
    "worker",
]
SECONDS_MAX = 60


async def run(name: str) -> tuple[int | None, str, str]:
    """Runs an example."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        str(EXAMPLES / f"{name}.py"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS_MAX):
        output, errors = await child.communicate()
    return child.returncode, output.decode(), errors.decode()


@pytest.fixture(scope="module")
def printed() -> dict[str, tuple[int | None, str, str]]:
    """What each of them prints. They wait more than they work, so all of them run at once."""

    async def run_all() -> list[tuple[int | None, str, str]]:
        return await asyncio.gather(*(run(name) for name in NAMES))

    return dict(zip(NAMES, asyncio.run(run_all()), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_prints_its_last_comment(
    name: str, printed: dict[str, tuple[int | None, str, str]]
) -> None:
    lines = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").rstrip().splitlines()
    promised = [line.removeprefix("# ") for line in lines[lines.index("# Output:") + 2 :]]

    returncode, output, errors = printed[name]

    assert (returncode, errors) == (0, "")
    assert output.splitlines() == promised


def test_each_example_that_stands_alone_is_on_the_page_of_examples() -> None:
    page = (EXAMPLES.parent / "docs" / "examples.md").read_text(encoding="utf-8")

    missing = [file.name for file in EXAMPLES.glob("*.py") if f"/{file.name})" not in page]

    assert missing == ["extractive_model.py"], "a module of the agent, and nothing else"
