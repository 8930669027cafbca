"""Power failures of a local store, as many as asked for.

    python -m tests.power --size 2000 --seed 1
    python -m tests.power --replay TRACE --seed 1 --cut 812 --variant 0

The last line is one JSON object of counters; the exit code is 1 if a promise was broken.
"""

import argparse
import asyncio
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.power import lane, real_disk, shutdowns, strace
from tests.power.images import Place

IMAGES_PER_SHUTDOWN = 100


def main() -> int:
    """Reads the command line, runs the lane."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=2_000, help="images")
    parser.add_argument("--shutdowns", type=int, help="real ones; one for 100 images if absent")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", type=Path, metavar="TRACE")
    parser.add_argument("--cut", type=int, default=0)
    parser.add_argument("--variant", type=int, default=0)
    arguments = parser.parse_args()
    if not strace.is_usable():
        print("needed: strace, and the right to trace a process", file=sys.stderr)
        return 2
    if arguments.replay is not None:
        place = Place(arguments.cut, arguments.variant)
        found = asyncio.run(lane.replay(arguments.replay, arguments.seed, place))
        print("\n".join(found) or "every promise is kept")
        return 1 if found else 0
    begun = time.monotonic()
    counters = asyncio.run(lane.run(arguments.size, arguments.seed)).counters
    rounds = arguments.size // IMAGES_PER_SHUTDOWN
    rounds = rounds if arguments.shutdowns is None else arguments.shutdowns
    shut_down(rounds, arguments.seed, counters)
    fields = dataclasses.asdict(counters)
    seconds = round(time.monotonic() - begun)
    print(json.dumps({"lane": "power-loss", **fields, "seed": arguments.seed, "seconds": seconds}))
    return 1 if counters.violations else 0


def shut_down(round_count: int, seed: int, counters: lane.Counters) -> None:
    """Takes the power of a real file system away, where the machine allows it."""
    with tempfile.TemporaryDirectory(prefix="taquba-power-") as room:
        lacking = real_disk.lacks(Path(room))
    if lacking is not None:
        print(f"NOT DONE, no real file system was shut down: this needs {lacking}", flush=True)
        return
    outcome = shutdowns.shut_down(round_count, seed)
    counters.real_shutdowns += outcome.round_count
    counters.promises_checked += outcome.promise_count
    counters.violations += len(outcome.found)
    for text in outcome.found:
        print(f"VIOLATION on a real file system, seed {seed}: {text[:2000]}", flush=True)
        print(f"  again: python -m tests.power --size 0 --shutdowns {round_count} --seed {seed}")


if __name__ == "__main__":
    sys.exit(main())
