"""A process of runs, killed at random points: each run ends as a sequential execution allows.

`TAQUBA_KILLS` says how many kills there are (40 if absent), `TAQUBA_CRASH_SEED` repeats the kill
points of an earlier execution.
"""

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.crash import run_ledger
from tests.crash.killing import await_ready, kill_after, kill_while_working, spawn
from tests.crash.run_plan import plan_of

WORKLOAD = Path(__file__).with_name("runs_workload.py")
KILL_COUNT = int(os.environ.get("TAQUBA_KILLS") or 40)
# After so many kills the runs are seen to their end and judged, and a new store begins.
KILLS_PER_STORE = 20
STARTUP_SECONDS_MAX = 0.6
DELAY_SECONDS_MAX = 0.5
PROGRESS_LINES_MAX = 60

pytestmark = pytest.mark.timeout(120 + 4 * KILL_COUNT)


def kill_somewhere(rng: random.Random, *arguments: str | Path) -> str:
    """Starts the workload and kills it: while it opens its store, or while it works."""
    process = spawn(WORKLOAD, *arguments)
    if rng.random() < 0.15:
        return kill_after(process, rng.uniform(0, STARTUP_SECONDS_MAX))
    return kill_while_working(process, rng, DELAY_SECONDS_MAX, PROGRESS_LINES_MAX)


def finish(*arguments: str | Path) -> None:
    """Has a last process see everything to its end."""
    process = spawn(WORKLOAD, *arguments, "last", "--finish")
    await_ready(process)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, f"the last process failed: {errors}\n{output[-2000:]}"


def kill_one_store(rng: random.Random, kill_count: int, store: Path, log: Path) -> run_ledger.Runs:
    """Kills so many processes of one store, and returns what was seen."""
    for number in range(kill_count):
        print(f"kill {number + 1}:", kill_somewhere(rng, store, log, f"p{number}"))
    finish(store, log)
    return run_ledger.read(log)


def seen(runs: run_ledger.Runs) -> Counter[str]:
    """What there was to judge."""
    counts = Counter(event.kind for events in runs.events.values() for event in events)
    for events in runs.events.values():
        for event in events:
            if event.kind == "cancelled":
                counts[f"cancelled {event.fields['answer']}"] += 1
            if event.kind == "outcome":
                counts[f"ended {event.fields['status']}"] += 1
                counts["ended lost"] += event.fields["error"] == run_ledger.LOST_TEXT
    return counts


def test_killed_at_random_points_each_run_ends_as_one_that_nobody_killed(tmp_path: Path) -> None:
    seed = int(os.environ.get("TAQUBA_CRASH_SEED") or random.SystemRandom().randrange(2**32))
    print(f"to repeat the kill points: TAQUBA_CRASH_SEED={seed}")
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    found: list[str] = []

    for start in range(0, KILL_COUNT, KILLS_PER_STORE):
        kill_count = min(KILLS_PER_STORE, KILL_COUNT - start)
        name = f"{seed}-{start}"
        runs = kill_one_store(rng, kill_count, tmp_path / name, tmp_path / f"{name}.ledger")
        counts += seen(runs)
        found += run_ledger.violations(runs, plan_of)

    print(", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())))
    assert found == []
    # Everything that is judged has happened.
    for kind in ("memo", "raised", "followup", "cancelled True", "cancelled False"):
        assert counts[kind] >= KILL_COUNT, kind
    for kind in ("succeeded", "failed", "cancelled"):
        assert counts[f"ended {kind}"] >= KILL_COUNT, kind
