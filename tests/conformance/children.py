"""Starting the suite's other processes."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.backends import Place

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 60


def command(what: str, place: Place) -> list[str]:
    """The command line of a child."""
    return [sys.executable, "-m", "tests.conformance.child", what, *place.child_arguments()]


def run_child(what: str, place: Place) -> subprocess.CompletedProcess[str]:
    """Runs a child to its end."""
    return subprocess.run(
        command(what, place),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@contextmanager
def owner(place: Place) -> Iterator["subprocess.Popen[str]"]:
    """A process that owns the store until it is killed, or until its input is closed."""
    process = subprocess.Popen(
        command("hold", place),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            process.kill()
            raise AssertionError(process.communicate()[1])
        yield process
    finally:
        process.kill()
        process.communicate()
