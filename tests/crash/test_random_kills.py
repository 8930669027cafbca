"""A process killed at random points, twenty times: nothing is lost, nothing is applied twice."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash import ledger

WORKLOAD = Path(__file__).with_name("workload.py")
KILL_COUNT = 20
DELAY_SECONDS_MAX = 0.3
PROGRESS_LINES_MAX = 400

pytestmark = pytest.mark.timeout(300)


def start(store: Path, log: Path, prefix: str, *options: str) -> subprocess.Popen[str]:
    """Starts the workload and waits until its store is open."""
    command = [sys.executable, str(WORKLOAD), str(store), str(log), prefix, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if line != "ready\n":
        process.kill()
        pytest.fail(f"the workload did not start: {line}{process.communicate()[1]}")
    return process


def kill_later(process: subprocess.Popen[str], rng: random.Random) -> str:
    """Kills after a random delay, or after a random number of ended runs."""
    assert process.stdout is not None
    if rng.random() < 0.5:
        delay = rng.uniform(0, DELAY_SECONDS_MAX)
        point = f"{delay * 1000:.0f} ms after the start"
        time.sleep(delay)
    else:
        count = rng.randint(1, PROGRESS_LINES_MAX)
        point = f"after {count} ended runs"
        for _ in range(count):
            if not process.stdout.readline():
                break
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended by itself, {point}: {errors}"
    return point


def test_twenty_random_kills_lose_nothing_and_apply_nothing_twice(tmp_path: Path) -> None:
    seed = int(os.environ.get("TAQUBA_CRASH_SEED") or random.SystemRandom().randrange(2**32))
    print(f"to repeat the kill points: TAQUBA_CRASH_SEED={seed}")
    rng = random.Random(seed)
    store, log = tmp_path / "store", tmp_path / "ledger"

    for number in range(KILL_COUNT):
        print(f"kill {number + 1}:", kill_later(start(store, log, f"p{number}"), rng))
    process = start(store, log, "last", "--finish")
    output, errors = process.communicate(timeout=240)

    assert process.returncode == 0, f"the last process failed: {errors}\n{output[-2000:]}"
    history = ledger.read(log)
    print(f"{len(history.submitted)} runs and {len(history.enqueued)} jobs were acknowledged")
    assert len(history.submitted) >= 200
    assert len(history.enqueued) >= 50
    assert ledger.violations(history) == []
