"""The kill lane at any size.

    python -m tests.kill --size 1000 --seed 7        # a thousand SIGKILLs
    python -m tests.kill --size 1000 --seed 7 --stores 12     # one store of these again

Each store sees 25 kills; kill points and what the processes do repeat with the seed, how the
machine schedules them does not. Progress goes to standard error; the last line of standard output
is a JSON object of counters.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.kill.checker import check, find_checker
from tests.kill.cycles import KILLS_PER_STORE, POINTS, Tally, run_store
from tests.kill.service import HISTORY

# As many as there are cores where this has to be quick.
LANE_COUNT = 2
# With so many kills each point is met: the rarest is aimed at once in fifty kills.
POINTS_COMPLETE_SIZE = 1000
VIOLATIONS_SHOWN_MAX = 20
COUNTED = (
    *("kills", "stores", "closes", "jobs", "runs", "deliveries"),
    *("lost", "phantom", "doubly_settled"),
)


def kills_of(store: int, size: int) -> int:
    """How many kills a store sees."""
    return min(KILLS_PER_STORE, size - store * KILLS_PER_STORE)


def run_stores(arguments: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Works on some stores, one after the other."""
    tally, unchecked = Tally(), 0
    checker = find_checker()
    for store in arguments.stores:
        place = directory / f"store-{store}"
        seed = f"{arguments.seed}-{store}"
        found = run_store(place, seed, kills_of(store, arguments.size))
        if checker is None:
            unchecked += 1
        elif (place / HISTORY).exists():
            found.violations += check(checker, place / HISTORY)
        command = repeating(arguments, store)
        found.violations = [f"{text} (repeat: {command})" for text in found.violations]
        if found.violations:
            print(f"store {store}: {len(found.violations)} violations, {place}", file=sys.stderr)
        elif not arguments.keep:
            shutil.rmtree(place)
        tally.add(found)
        print(f"store {store}: {found.counts['kills']} kills", file=sys.stderr)
    return {
        "counts": tally.counts,
        "points": tally.points,
        "violations": tally.violations,
        "unchecked": unchecked,
    }


def repeating(arguments: argparse.Namespace, store: int) -> str:
    """The command that works on one store again."""
    options = f"--size {arguments.size} --seed {arguments.seed} --stores {store}"
    return f"python -m tests.kill {options}"


def run_lanes(arguments: argparse.Namespace, directory: Path) -> list[dict[str, Any]]:
    """Works on all stores, in several processes."""
    store_count = -(-arguments.size // KILLS_PER_STORE)
    lanes = []
    for lane in range(min(LANE_COUNT, store_count)):
        stores = ",".join(map(str, range(lane, store_count, LANE_COUNT)))
        command = [sys.executable, "-m", "tests.kill", "--size", str(arguments.size)]
        command += ["--seed", str(arguments.seed), "--stores", stores, "--raw"]
        command += ["--keep", str(directory)]
        lanes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    outputs = [lane.communicate()[0] for lane in lanes]
    if any(lane.returncode for lane in lanes):
        message = f"a lane ended with {[lane.returncode for lane in lanes]}"
        raise RuntimeError(message)
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def summary(arguments: argparse.Namespace, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """What is printed in the end."""
    counts: Counter[str] = sum((Counter(part["counts"]) for part in parts), Counter())
    points: Counter[str] = sum((Counter(part["points"]) for part in parts), Counter())
    violations = [text for part in parts for text in part["violations"]]
    if arguments.size >= POINTS_COMPLETE_SIZE and not arguments.stores:
        violations += [f"nobody was killed at `{point}`" for point in POINTS if not points[point]]
    for text in violations[:VIOLATIONS_SHOWN_MAX]:
        print("VIOLATION", text, file=sys.stderr)
    return {
        "lane": "kill",
        "seed": arguments.seed,
        **{name: counts.pop(name, 0) for name in COUNTED},
        "violations": len(violations),
        "stores_without_checker": sum(part["unchecked"] for part in parts),
        "points": len(points),
        "seen": dict(sorted(counts.items())),
    }


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=50, help="how many kills")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--stores", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--keep", type=Path, help="where stores and histories are kept")
    parser.add_argument("--raw", action="store_true", help="print all of it; for a lane's parent")
    arguments = parser.parse_args()
    begun = time.monotonic()
    directory = arguments.keep or Path(tempfile.mkdtemp(prefix="taquba-kill-"))
    if arguments.raw:
        print(json.dumps(run_stores(arguments, directory)))
        return
    if arguments.stores:
        parts = [run_stores(arguments, directory)]
    else:
        parts = run_lanes(arguments, directory)
    result = summary(arguments, parts)
    result["seconds"] = round(time.monotonic() - begun)
    if not arguments.keep and not result["violations"]:
        shutil.rmtree(directory)
    print(json.dumps(result))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
