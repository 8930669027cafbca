"""What the benchmarks of memory share: one process after the other works on a store, and tells.

CPU time and rates are those of `measure.py`; here a process tells what it holds in memory, because
what one has held says nothing of the next.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taquba import OpenOptions, Queue

# Until memory stands still: the storage engine flushes and compacts after the last commit.
SETTLE_SECONDS_MAX = 60.0
SETTLE_LOOK_SECONDS = 1.0
SETTLE_LOOKS = 3
MIB = 1024 * 1024


def resident_bytes() -> int:
    """What this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def settled_bytes() -> int:
    """Resident memory once it has not changed by more than 1 MiB for some looks in a row."""
    gc.collect()
    last, unchanged_count = resident_bytes(), 0
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while unchanged_count < SETTLE_LOOKS and time.monotonic() < deadline:
        await asyncio.sleep(SETTLE_LOOK_SECONDS)
        now = resident_bytes()
        unchanged_count = unchanged_count + 1 if abs(now - last) < MIB else 0
        last = now
    return last


def tell(**figures: float) -> None:
    """Hands figures to the parent."""
    print(json.dumps(figures), flush=True)


async def opened(directory: str) -> tuple[Queue, float]:
    """The queue, and how long opening it took."""
    start = time.perf_counter()
    queue = await Queue.open(directory, options=OpenOptions(fsync=True))
    return queue, time.perf_counter() - start


def run_role(
    program: str, role: str, directory: str, arguments: argparse.Namespace, options: Sequence[str]
) -> dict[str, Any]:
    """Runs one process; kills it once it has told its figures if it is the one that loads."""
    command = [sys.executable, str(Path(program).resolve()), "--role", role]
    for name in options:
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    command += ["--directory", directory]
    # The program is a benchmark of this directory.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        if process.stdout is None:
            message = "the process has no output"
            raise AssertionError(message)
        line = process.stdout.readline()
        if role == "load":
            process.send_signal(signal.SIGKILL)
        process.wait()
    if not line:
        message = f"`{role}` ended with {process.returncode}"
        raise RuntimeError(message)
    figures: dict[str, Any] = json.loads(line)
    return figures


def show_line(name: str, value: float, unit: str) -> None:
    """Prints one figure."""
    print(f"  {name:<44} {value:>12,.2f} {unit}")
