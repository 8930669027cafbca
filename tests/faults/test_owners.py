"""Two owners that meet: one that was stopped and goes on, and several that open at once."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import races, zombies
from tests.kill.checker import BUILD, check, find_checker
from tests.kill.service import HISTORY
from tests.needs import missing
from tests.simulator import ROOT

ZOMBIE_COUNT = 3
RACE_COUNT = 4

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]


@pytest.fixture(scope="module")
def haunted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the histories of some zombies are. They are forked, so not from this process."""
    seed = os.environ.get("TAQUBA_SEED") or str(random.SystemRandom().randrange(2**32))
    directory = tmp_path_factory.mktemp("zombies")
    command = [sys.executable, "-m", "tests.faults", "--size", str(ZOMBIE_COUNT), "--seed", seed]
    done = subprocess.run(
        [*command, "--stores", "0", "--keep", str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr, f"to repeat: TAQUBA_SEED={seed}", sep="\n")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["zombies"], result["violations"]) == (ZOMBIE_COUNT, 0)
    assert result["jobs"] >= ZOMBIE_COUNT
    return directory


def test_a_stopped_owner_that_goes_on_is_told_that_it_was_fenced(haunted: Path) -> None:
    [history] = haunted.glob(f"*/{HISTORY}")
    text = history.read_text()

    assert text.count('"how":"fenced"') == ZOMBIE_COUNT
    assert zombies.violations(history) == []


def test_the_checkers_of_the_simulator_find_nothing_in_the_histories_of_zombies(
    haunted: Path,
) -> None:
    program = find_checker()
    if program is None:
        missing(f"the checkers of the simulator; build them with `{BUILD}`")

    assert check(program, *haunted.glob(f"*/{HISTORY}")) == []


def line(event: str, owner: int, **fields: object) -> str:
    """One event."""
    return json.dumps({"event": event, "owner": owner, **fields}) + "\n"


OPENED = line("opened", 1)
ASKED = line("invoked", 1, call=1, op={"op": "enqueue"})
ANSWERED = line("answered", 1, call=1, answer={"ok": "done"})
REFUSED = line("answered", 1, call=1, answer={"unknown": {"code": "fenced"}})
FENCED = line("ended", 1, how="fenced")
TAKEN = line("delivered", 1, claim={"token": "t", "job": "j"})
ACKS = line("invoked", 1, call=1, op={"op": "settle", "token": "t", "verdict": "ack"})
BACK = line("delivered", 2, claim={"token": "u", "job": "j"})


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        ([OPENED, ASKED, FENCED, REFUSED], 0),
        # The commit was durable, and the process was stopped before it could say so.
        ([OPENED, ASKED, FENCED, ANSWERED], 0),
        ([OPENED, FENCED, ASKED, REFUSED], 0),
        ([OPENED, FENCED, ASKED, ANSWERED], 1),
        ([OPENED, TAKEN, ACKS, FENCED, ANSWERED], 0),
        ([OPENED, TAKEN, ACKS, FENCED, BACK, ANSWERED], 1),
        ([OPENED, TAKEN, ACKS, FENCED, REFUSED, BACK], 0),
    ],
)
def test_what_a_fenced_owner_may_not_be_told(tmp_path: Path, lines: list[str], count: int) -> None:
    history = tmp_path / HISTORY
    history.write_text("".join(lines))

    assert len(zombies.violations(history)) == count


def test_of_processes_that_open_at_once_exactly_one_can_write(tmp_path: Path) -> None:
    raced = races.run_rounds(tmp_path, RACE_COUNT)

    assert raced.violations == []
    assert raced.counts["rounds"] == RACE_COUNT
    # All of them met somebody: at the race, or when they came again.
    assert raced.counts["told"] >= RACE_COUNT * (races.RACER_COUNT - 1)
