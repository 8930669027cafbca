"""Starting a workload, and killing it when it does not expect it."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def spawn(program: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """Starts a program of this directory in a process of its own."""
    command = [sys.executable, str(program), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_ready(process: subprocess.Popen[str]) -> None:
    """Waits until the store of a workload is open."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if line != "ready\n":
        process.kill()
        pytest.fail(f"the workload did not start: {line}{process.communicate()[1]}")


def kill_after(process: subprocess.Popen[str], seconds: float) -> str:
    """Kills after so long, wherever it is by then; says where."""
    time.sleep(seconds)
    return kill(process, f"{seconds * 1000:.0f} ms after its start")


def kill_while_working(
    process: subprocess.Popen[str], rng: random.Random, seconds_max: float, line_count_max: int
) -> str:
    """Kills after a random delay, or after a random number of lines of progress; says where."""
    await_ready(process)
    assert process.stdout is not None
    if rng.random() < 0.5:
        delay = rng.uniform(0, seconds_max)
        time.sleep(delay)
        return kill(process, f"{delay * 1000:.0f} ms after the open")
    count = rng.randint(1, line_count_max)
    for _ in range(count):
        if not process.stdout.readline():
            break
    return kill(process, f"after {count} ended runs")


def kill(process: subprocess.Popen[str], point: str) -> str:
    """Kills now; fails if the process had ended by itself."""
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended by itself, {point}: {errors}"
    return point
