"""The counters in RELIABILITY.md."""

import datetime as dt
import platform
import shutil
import subprocess
from typing import Any

from tests.simulator import ROOT

PAGE = ROOT / "RELIABILITY.md"
BEGIN = "<!-- counters: written by `make reliability` -->"
END = "<!-- end of counters -->"
# Told in columns of their own.
TOLD = {"lane", "seconds", "violations"}


def record(results: list[dict[str, Any]]) -> None:
    """Puts the counters of these lanes in place of the last ones."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}")


def table(results: list[dict[str, Any]]) -> str:
    """The counters as people read them."""
    git = shutil.which("git") or "git"
    command = [git, "rev-parse", "--short", "HEAD"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    revision = said.stdout.strip()
    today = dt.datetime.now(dt.UTC).date()
    lines = [
        f"Run of {today}, at `{revision}`, Python {platform.python_version()}.",
        "",
        "| lane | what it did | violations | seconds |",
        "|---|---|---|---|",
    ]
    for result in results:
        did = ", ".join(told(name, value) for name, value in result.items() if is_told(name, value))
        lines.append(f"| {result['lane']} | {did} | {result['violations']} | {result['seconds']} |")
    return "\n".join(lines)


def is_told(name: str, value: object) -> bool:
    """Whether a counter has a place in the table."""
    return name not in TOLD and isinstance(value, int | float) and not isinstance(value, bool)


def told(name: str, value: float) -> str:
    """One counter."""
    return f"{value:,} {name.replace('_', ' ')}"
