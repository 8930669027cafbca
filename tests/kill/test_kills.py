"""Fifty kills: nothing is lost, nothing is there that nobody asked for, nothing is settled twice.

`TAQUBA_KILLS` asks for another number, `TAQUBA_SEED` repeats the kill points of an execution.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kill.checker import BUILD, check, find_checker
from tests.kill.service import HISTORY
from tests.needs import missing
from tests.simulator import ROOT

KILL_COUNT = int(os.environ.get("TAQUBA_KILLS") or 50)

pytestmark = [pytest.mark.timeout(120 + 4 * KILL_COUNT), pytest.mark.slow]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The counters of one execution, and where its histories are."""
    seed = os.environ.get("TAQUBA_SEED") or str(random.SystemRandom().randrange(2**32))
    directory = tmp_path_factory.mktemp("kills")
    command = [sys.executable, "-m", "tests.kill", "--size", str(KILL_COUNT), "--seed", seed]
    done = subprocess.run(
        [*command, "--keep", str(directory)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    print(done.stderr, result, f"to repeat: TAQUBA_SEED={seed}", sep="\n")
    assert done.returncode == (1 if result["violations"] else 0), done.stderr
    assert result["violations"] == 0, done.stderr
    return result, directory


def test_a_service_that_is_killed_keeps_its_promises(kept: tuple[dict[str, Any], Path]) -> None:
    result, _ = kept

    assert (result["lost"], result["phantom"], result["doubly_settled"]) == (0, 0, 0)
    # Everything that is judged has happened.
    assert result["kills"] == KILL_COUNT
    assert min(result["jobs"], result["deliveries"], result["runs"]) >= 2 * KILL_COUNT
    for kind in ("memos", "failed_deliveries", "hook_effects", "cancels_true", "cancels_false"):
        assert result["seen"][kind] >= KILL_COUNT, kind
    for status in ("succeeded", "failed", "cancelled"):
        assert result["seen"][f"{status}_runs"] >= KILL_COUNT / 2, status


def test_a_store_that_loses_the_end_of_its_log_is_found_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.kill.planted", str(tmp_path / "planted")]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    kinds = {line.partition(":")[0] for line in done.stdout.splitlines()}
    assert kinds & {"lost", "phantom", "doubly_settled"}, done.stdout
    program = find_checker()
    if program is not None:
        assert check(program, tmp_path / "planted" / HISTORY)


def test_the_checkers_of_the_simulator_find_nothing_in_its_histories(
    kept: tuple[dict[str, Any], Path],
) -> None:
    result, directory = kept
    program = find_checker()
    if program is None:
        missing(f"the checkers of the simulator; build them with `{BUILD}`")
    histories = sorted(directory.glob(f"*/{HISTORY}"))

    assert len(histories) == result["stores"]
    assert check(program, *histories) == []
