"""`python -m tests.interruption --size N`: every call cancelled at every turn, N times over.

The last line is one JSON object of counters. A violation is printed with the command that finds it
again.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.interruption.lane import cut_all, many


def main() -> int:
    """Cuts, and reports."""
    parser = argparse.ArgumentParser(prog="python -m tests.interruption", description=__doc__)
    parser.add_argument("--size", type=int, default=1, help="rounds")
    parser.add_argument("--seed", type=int, default=0, help="unused: nothing is drawn by chance")
    parser.add_argument("--where", choices=["memory", "disk"], default=None)
    parser.add_argument("--only", default="", help="part of the name of a call")
    given = parser.parse_args()
    logging.getLogger("taquba").setLevel(logging.ERROR)
    began = time.monotonic()
    total: Counter[str] = Counter()
    for number in range(given.size):
        for where in (given.where,) if given.where else ("memory", "disk"):
            with tempfile.TemporaryDirectory(prefix="taquba-interruption-") as folder:
                place = Path(folder) if where == "disk" else None
                counts = asyncio.run(cut_all(place, many, only=given.only)).counts
            if counts["violations"]:
                print(f"again: python -m tests.interruption --where {where}")
            operations = max(total["operations"], counts["operations"])
            total += counts
            total["operations"] = operations
            print(f"round {number + 1}, {where}: {dict(counts)}", flush=True)
    names = ("operations", "interruptions", "done", "not_done", "wake_ups", "violations")
    counters = {name: total[name] for name in names}
    seconds = round(time.monotonic() - began)
    print(json.dumps({"lane": "interruption", **counters, "seconds": seconds}))
    return 1 if total["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
