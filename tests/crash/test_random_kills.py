"""A process killed at random points, twenty times: nothing is lost, nothing is applied twice."""

import os
import random
from pathlib import Path

import pytest

from tests.crash import ledger
from tests.crash.killing import await_ready, kill_while_working, spawn

WORKLOAD = Path(__file__).with_name("workload.py")
KILL_COUNT = 20
DELAY_SECONDS_MAX = 0.3
PROGRESS_LINES_MAX = 400

pytestmark = pytest.mark.timeout(300)


def test_twenty_random_kills_lose_nothing_and_apply_nothing_twice(tmp_path: Path) -> None:
    seed = int(os.environ.get("TAQUBA_CRASH_SEED") or random.SystemRandom().randrange(2**32))
    print(f"to repeat the kill points: TAQUBA_CRASH_SEED={seed}")
    rng = random.Random(seed)
    store, log = tmp_path / "store", tmp_path / "ledger"

    for number in range(KILL_COUNT):
        process = spawn(WORKLOAD, store, log, f"p{number}")
        point = kill_while_working(process, rng, DELAY_SECONDS_MAX, PROGRESS_LINES_MAX)
        print(f"kill {number + 1}:", point)
    process = spawn(WORKLOAD, store, log, "last", "--finish")
    await_ready(process)
    output, errors = process.communicate(timeout=240)

    assert process.returncode == 0, f"the last process failed: {errors}\n{output[-2000:]}"
    history = ledger.read(log)
    print(f"{len(history.submitted)} runs and {len(history.enqueued)} jobs were acknowledged")
    assert len(history.submitted) >= 200
    assert len(history.enqueued) >= 50
    assert ledger.violations(history) == []
