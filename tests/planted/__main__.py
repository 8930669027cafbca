"""Plants every bug and has it found: `python -m tests.planted`.

`--bug 9` plants one of them. The last line is a JSON object of counters.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.planted import overlay
from tests.planted.bugs import BUGS, Bug

SEEDS_MAX = 200
# Bugs show in some seeds only; many are lived at a time, and the first one that shows ends it.
SEEDS_AT_A_TIME = 25
# Lived without a bug first: what is found must come from it.
CONTROL_SEEDS = {"lane-a": 50, "lane-b": 4, "hostile": 20}


def seeds_until_found(simulator: Path, bug: Bug) -> int | None:
    """How many seeds it took; `None` if it was not found."""
    environment = {**os.environ, overlay.SWITCH: str(bug.number)}
    for start in range(0, SEEDS_MAX, SEEDS_AT_A_TIME):
        end = start + SEEDS_AT_A_TIME
        command = [str(simulator), bug.lane, "--seeds", f"{start}..{end}", "--until-found", "true"]
        found = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        if found.returncode == 1:
            return int(json.loads(found.stdout.splitlines()[-1])["seeds"]) + start
        if found.returncode != 0:
            msg = f"bug {bug.number}: the simulator failed: {found.stderr[-2000:]}"
            raise RuntimeError(msg)
    return None


def is_quiet(simulator: Path) -> bool:
    """Whether nothing is found where nothing was planted."""
    environment = {**os.environ, overlay.SWITCH: "0"}
    lanes = sorted({bug.lane for bug in BUGS})
    commands = [[str(simulator), lane, "--seeds", f"0..{CONTROL_SEEDS[lane]}"] for lane in lanes]
    runs = [subprocess.run(command, env=environment, check=False) for command in commands]
    return all(run.returncode == 0 for run in runs)


def main() -> int:
    """Plants and finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bug", type=int, help="only this one")
    arguments = parser.parse_args()
    began = time.monotonic()
    simulator = overlay.build()
    bugs = [bug for bug in BUGS if arguments.bug in (None, bug.number)]
    missed = 0
    if not is_quiet(simulator):
        print("without a bug there are violations, too: run `make simulate`")
        return 1
    for bug in bugs:
        seeds = seeds_until_found(simulator, bug)
        missed += seeds is None
        told = f"found after {seeds} seeds" if seeds else f"NOT FOUND in {SEEDS_MAX} seeds"
        print(f"T{bug.number} {bug.name}: {bug.lane}, {told}", flush=True)
    seconds = round(time.monotonic() - began)
    counters = {"lane": "planted", "bugs": len(bugs), "missed": missed, "seconds": seconds}
    print(json.dumps({**counters, "violations": missed}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
