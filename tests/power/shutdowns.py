"""A process on a real file system that loses its power, again and again.

Each round begins where the one before was cut: the workload opens what is there, says what it has
found, and goes on. Its marks are on another file system, so all of them are there.

# Invariants

1. What the workload was answered before its disk failed is looked for after it is back. What it was
   answered from then on is no promise.
"""

import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.power import history, recovery
from tests.power.real_disk import RealDisk, mounted
from tests.power.recording import STORE

START_SECONDS_MAX = 30.0
END_SECONDS_MAX = 60.0
WORK_SECONDS_MAX = 0.6

# Marks that promise nothing: something was about to be done.
BEGUN = {"do", "forget"}

_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    """What came of some rounds."""

    round_count: int = 0
    promise_count: int = 0
    found: list[str] = field(default_factory=list)


def shut_down(round_count: int, seed: int, *options: str) -> Outcome:
    """Takes the power away so many times."""
    outcome = Outcome()
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="taquba-power-") as path, mounted(Path(path)) as disk:
        room = Path(path)
        while outcome.round_count < round_count and not outcome.found:
            number = outcome.round_count
            cut_while_working(disk, room / "marks", number, seed, rng, options)
            promised = history.History(history.parse((room / "marks").read_text()))
            found = asyncio.run(examine_copy(disk, room / "copy", promised))
            outcome.found += [f"round {number}: {text}" for text in found]
            outcome.round_count += 1
            outcome.promise_count += promised.promise_count
    return outcome


def cut_while_working(
    disk: RealDisk,
    marks: Path,
    number: int,
    seed: int,
    rng: random.Random,
    options: tuple[str, ...],
) -> None:
    """Starts the workload, takes the power away while it works, and brings the disk back."""
    marks.touch()
    before = marks.stat().st_size
    program = [sys.executable, "-m", "tests.power.workload", str(disk.path / STORE), str(marks)]
    command = [*program, str(seed), f"r{number}", "forever", *options]
    process = subprocess.Popen(
        command, cwd=_REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while marks.stat().st_size == before:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(f"the workload did not start: {process.communicate()[1]}")
            time.sleep(0.005)
        time.sleep(rng.uniform(0, WORK_SECONDS_MAX))
        told_bytes = marks.stat().st_size
        disk.cut()
        # It may find out by itself, or wait for what does not come.
        time.sleep(0.05)
    finally:
        process.kill()
        process.communicate(timeout=END_SECONDS_MAX)
    forget_answers(marks, told_bytes)
    disk.unmount()
    disk.mount()


def forget_answers(marks: Path, told_bytes: int) -> None:
    """Takes out what the process was told behind this place: without power, nobody hears it.

    This machine goes on for a moment, and a sync that is under way when its file system ends may
    return without an error.
    """
    written = marks.read_bytes()
    behind = written[told_bytes:].splitlines(keepends=True)
    # The last one may be cut short: the process was killed.
    whole = [line for line in behind if line.endswith(b"\n")]
    begun = [line for line in whole if json.loads(line)["kind"] in BEGUN]
    marks.write_bytes(written[:told_bytes] + b"".join(begun))


async def examine_copy(disk: RealDisk, copy: Path, promised: history.History) -> list[str]:
    """Looks at a copy: to look is to work on it, and the next round goes on with what is there."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(disk.path, copy)
    return await recovery.violations(copy / STORE, promised)
