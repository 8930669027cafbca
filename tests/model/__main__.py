"""`python -m tests.model --size N [--seed S] [--steps K]`: N lives, three of four in memory.

The last line is one JSON object of counters. A life that fails is printed as short as it can be
made, with the command that lives it again. At the end the model is made wrong on purpose, rule by
rule, which has to be noticed.
"""

import argparse
import json
import logging
import random
import sys
import time
import traceback
from collections import Counter

from tests.model.lane import COUNTED, live
from tests.model.planted import PLANTED, difference

# Lives that share a seed: few enough to find a failing one again in a minute.
CHUNK = 200


def main() -> int:
    """Lives, and reports."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--where", choices=["memory", "disk"], default=None)
    given = parser.parse_args()
    # Ends of runtimes interrupt their steps here all the time, which is logged.
    logging.getLogger("taquba").setLevel(logging.ERROR)
    began = time.monotonic()
    total: Counter[str] = Counter()
    violations = 0
    for number in range(-(-given.size // CHUNK)):
        where = given.where or ("disk" if number % 4 == 3 else "memory")
        seed, size = given.seed + number, min(CHUNK, given.size - number * CHUNK)
        try:
            total += live(where, size=size, step_count=given.steps, seed=seed)
        except Exception:  # noqa: BLE001 - whatever a life fails with is its result
            violations += 1
            traceback.print_exc()
            again = f"--size {size} --steps {given.steps} --seed {seed} --where {where}"
            print(f"to live it again: python -m tests.model {again}", flush=True)
        print(f"{where}: {total['lives']} lives, {total['rules']} rules", flush=True)
    unnoticed = [] if given.where else [bug for bug in PLANTED if difference(bug) is None]
    for bug in unnoticed:
        violations += 1
        print(f"a planted bug was not noticed: {bug}", flush=True)
    counters = {name: total[name] for name in COUNTED}
    counters |= {"planted_noticed": 0 if given.where else len(PLANTED) - len(unnoticed)}
    counters |= {"violations": violations}
    seconds = round(time.monotonic() - began)
    print(json.dumps({"lane": "model", "seed": given.seed, **counters, "seconds": seconds}))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
