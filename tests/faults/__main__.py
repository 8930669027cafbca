"""Zombies and races at any size; the other faults are the same each time, and are in the tests.

    python -m tests.faults --size 50 --seed 7        # 50 zombies, 20 rounds of races
    python -m tests.faults --size 50 --seed 7 --stores 3      # one store of these zombies again

Progress goes to standard error; the last line of standard output is a JSON object of counters.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults import races, zombies
from tests.kill.checker import check, find_checker
from tests.kill.service import HISTORY

RACES_PER_ZOMBIE = 0.4
VIOLATIONS_SHOWN_MAX = 20
COUNTED = ("zombies", "jobs", "deliveries", "lost", "phantom", "doubly_settled")


def haunt(arguments: argparse.Namespace, directory: Path) -> tuple[Counter[str], list[str]]:
    """Zombies, on one store after the other."""
    counts: Counter[str] = Counter()
    violations = []
    checker = find_checker()
    store_count = -(-arguments.size // zombies.CYCLES_PER_STORE)
    for store in arguments.stores or range(store_count):
        place = directory / f"store-{store}"
        size = min(zombies.CYCLES_PER_STORE, arguments.size - store * zombies.CYCLES_PER_STORE)
        tally = zombies.run_store(place, f"{arguments.seed}-{store}", size)
        counts += tally.counts
        if checker is None:
            counts["stores_without_checker"] += 1
        else:
            tally.violations += check(checker, place / HISTORY)
        options = f"--size {arguments.size} --seed {arguments.seed} --stores {store}"
        repeat = f"python -m tests.faults {options}"
        violations += [f"{text} (repeat: {repeat})" for text in tally.violations]
        print(f"store {store}: {tally.counts['zombies']} zombies", file=sys.stderr)
    return counts, violations


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=50, help="how many zombies")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--stores", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--keep", type=Path, help="where stores and histories are kept")
    arguments = parser.parse_args()
    begun = time.monotonic()
    directory = arguments.keep or Path(tempfile.mkdtemp(prefix="taquba-faults-"))
    counts, violations = haunt(arguments, directory)
    raced = races.Races()
    if not arguments.stores:
        raced = races.run_rounds(directory / "races", round(arguments.size * RACES_PER_ZOMBIE))
        violations += raced.violations
    for text in violations[:VIOLATIONS_SHOWN_MAX]:
        print("VIOLATION", text, file=sys.stderr)
    if not arguments.keep and not violations:
        shutil.rmtree(directory)
    result = {
        "lane": "faults",
        "seed": arguments.seed,
        **{name: counts[name] for name in COUNTED},
        "races": dict(sorted(raced.counts.items())),
        "stores_without_checker": counts["stores_without_checker"],
        "violations": len(violations),
        "seconds": round(time.monotonic() - begun),
    }
    print(json.dumps(result))
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
