"""Processes that work on one store, one after the other, and tell figures.

Memory and opening are measured in a process of their own each, because what a process has held says
nothing of the next one.

Invariants:
    1. A child that is to be killed is killed after it has told its figures, and not closed before.
    2. No child outlives the call that started it.
"""

import asyncio
import gc
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from taquba import OpenOptions, Queue
from taquba.bench._meter import resident_bytes
from taquba.store import StoreLike

__all__ = ["MIB", "opened", "run_child", "settled_bytes", "tell"]

# Until memory stands still: the storage engine flushes and compacts after the last commit.
_SETTLE_SECONDS_MAX = 60.0
_SETTLE_LOOK_SECONDS = 1.0
_SETTLE_LOOKS = 3
MIB = 1024 * 1024


async def settled_bytes() -> int:
    """Resident memory once it has not changed by more than 1 MiB for some looks in a row.

    Raises:
        OSError: The system does not tell what a process holds in memory.
    """
    gc.collect()
    last, unchanged_count = _known_bytes(), 0
    deadline = time.monotonic() + _SETTLE_SECONDS_MAX
    while unchanged_count < _SETTLE_LOOKS and time.monotonic() < deadline:
        await asyncio.sleep(_SETTLE_LOOK_SECONDS)
        now = _known_bytes()
        unchanged_count = unchanged_count + 1 if abs(now - last) < MIB else 0
        last = now
    return last


def _known_bytes() -> int:
    found = resident_bytes()
    if found is None:
        message = "this system does not tell the resident memory of a process"
        raise OSError(message)
    return found


def tell(**figures: object) -> None:
    """Hand figures to the parent."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


async def opened(store: StoreLike, path: str = "taquba") -> tuple[Queue, float]:
    """The queue, and how many seconds opening it took."""
    start = time.perf_counter()
    queue = await Queue.open(store, path, OpenOptions(fsync=True))
    return queue, time.perf_counter() - start


def run_child(
    program: Sequence[str], options: Mapping[str, object], *, is_killed: bool
) -> dict[str, Any]:
    """Run one process to its end.

    Args:
        program: What follows `python`.
        options: Its options by name; `None` is left out.
        is_killed: Whether it is killed once it has told its figures; otherwise it ends by itself.

    Returns:
        What the process told.

    Raises:
        RuntimeError: It ended without figures, or not in order.
    """
    command = [sys.executable, *program]
    for name, value in options.items():
        if value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    # The program is one of ours.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            line = process.stdout.readline() if process.stdout else ""
            if is_killed:
                process.send_signal(signal.SIGKILL)
        except BaseException:
            process.kill()
            raise
        process.wait()
    if not line or (process.returncode != 0 and not is_killed):
        message = f"`{' '.join(program)}` ended with {process.returncode}"
        raise RuntimeError(message)
    figures: dict[str, Any] = json.loads(line)
    return figures
