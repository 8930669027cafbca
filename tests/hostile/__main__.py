"""`python -m tests.hostile --size N [--seed S]`: the pool at every boundary, then N at random.

The last line is one JSON object of counters. A violation is printed with the command that finds it
again.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.hostile.attack import Attack, Violation, values_for
from tests.hostile.table import BOUNDARIES

PRINTED_MAX = 5


def rounds(size: int, seed: int, only: str) -> Iterator[tuple[str, str, list[Any]]]:
    """What to give to which argument, boundary by boundary."""
    chosen = [(call, arg) for call, arg in BOUNDARIES if only in f"{call}({arg})"]
    # As many at each, of those that were asked for as many as if all had been.
    each = -(-size // len(BOUNDARIES))
    for call, argument in chosen:
        rng = random.Random(f"{seed} {call} {argument}")
        yield call, argument, values_for(call, argument, None, 0)
        yield call, argument, values_for(call, argument, rng, each)


async def strike_all(size: int, seed: int, only: str) -> tuple[Attack, Counter[str]]:
    """Gives everything to everything, and returns what came of it."""
    striker, violations = Attack(), Counter[str]()
    for call, argument, values in rounds(size, seed, only):
        boundary = f"{call}({argument})"
        for value in values:
            try:
                await striker.strike(call, argument, value)
            except Violation as violation:
                violations[boundary] += 1
                if violations[boundary] <= PRINTED_MAX:
                    print(violation)
                if violations[boundary] == 1:
                    print(
                        f"again: python -m tests.hostile --size {size} --seed {seed} "
                        f"--only '{boundary}'",
                        flush=True,
                    )
    await striker.close()
    return striker, violations


def main() -> int:
    """Strikes, and reports."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--only", default="", help="part of the name of a boundary")
    given = parser.parse_args()
    logging.getLogger("taquba").setLevel(logging.CRITICAL)
    began = time.monotonic()
    # A text that is taken for a directory leads here.
    with tempfile.TemporaryDirectory(prefix="taquba-hostile-") as folder:
        os.chdir(folder)
        striker, violations = asyncio.run(strike_all(given.size, given.seed, given.only))
        os.chdir("/")
    by_group: Counter[str] = Counter()
    for boundary, count in striker.by_boundary.items():
        by_group[boundary.split("(")[0].rsplit(".", 1)[0]] += count
    counters: dict[str, Any] = {
        "lane": "hostile",
        "seed": given.seed,
        "boundaries": len(striker.by_boundary),
        **{name: striker.counts[name] for name in ("inputs", "taken", "refused", "answered")},
        "violations": violations.total(),
        "seconds": round(time.monotonic() - began),
        "by_group": dict(sorted(by_group.items())),
    }
    print(json.dumps(counters))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
