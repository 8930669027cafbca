"""Runs every lane at its full size, and records what they did: `python -m tests.reliability`.

`--hours 8` runs longer, from other seeds. `--only kill` runs one lane. `--record` writes the
counters into RELIABILITY.md. It ends with 1 if any promise was broken anywhere.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from typing import Any

from tests.reliability import page
from tests.reliability.lanes import FULL_HOURS, Lane, all_lanes
from tests.simulator import ROOT


def run(lane: Lane, factor: float, seed: int) -> dict[str, Any]:
    """Runs one lane; returns its counters."""
    command = lane.arguments(factor, seed)
    print(f"== {lane.name}: {' '.join(command)}", flush=True)
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    last = ""
    with process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last = line
    try:
        counters = dict(json.loads(last))
    except ValueError:
        counters = {"violations": 1, "failed": f"it ended with {process.returncode}"}
    if process.returncode != 0:
        counters["violations"] = max(1, int(counters.get("violations", 1)))
    return {**counters, "lane": lane.name, "seconds": round(time.monotonic() - began)}


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--hours", type=float, default=FULL_HOURS, help="about how long, on two cores"
    )
    parser.add_argument("--only", help="the name of one lane")
    parser.add_argument("--seed", type=int, help="where seeds begin; 0 for the standard run")
    parser.add_argument("--record", action="store_true", help="write RELIABILITY.md")
    arguments = parser.parse_args()
    factor = arguments.hours / FULL_HOURS
    is_night = factor > 1
    seed = arguments.seed if arguments.seed is not None else random.randrange(10**9) * is_night
    lanes = [lane for lane in all_lanes() if arguments.only in (None, lane.name)]
    results = [run(lane, factor, seed) for lane in lanes]
    for result in results:
        print(json.dumps(result))
    if arguments.record:
        page.record(results)
    broken = [result["lane"] for result in results if result["violations"]]
    print(f"broken: {', '.join(broken)}" if broken else "every promise was kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
