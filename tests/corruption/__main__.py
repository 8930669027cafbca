"""Damages to copies of sound stores, as many as asked for.

    python -m tests.corruption --size 5000 --seed 1
    python -m tests.corruption --seed 1 --only 812

The last line is one JSON object of counters; the exit code is 1 if a promise was broken.
"""

import argparse
import asyncio
import json
import logging
import sys
import time

from tests.corruption import lane


def main() -> int:
    """Read the command line, run the lane."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=5_000, help="damages")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="the damage with this number")
    arguments = parser.parse_args()
    # The S3 server tells each request, and what is damaged is told here.
    for name in ("werkzeug", "taquba"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    begun = time.monotonic()
    only = arguments.only
    size = arguments.size if only is None else 1
    counters = asyncio.run(lane.run(size, arguments.seed, only=only, tells=True))
    for what, count in sorted(counters.by_kind.items()):
        print(f"{count:6} {what}")
    for text, count in counters.unnamed.most_common(20):
        print(f"{count:6} not named: {text}")
    print("\n".join(counters.found) or "every promise is kept")
    told = {"mutations", "right_data", "refused_typed", "refused_unnamed", "isolated"}
    told |= {"quarantined", "verify_found", "verify_refused", "verify_unnamed", "violations"}
    fields = {name: value for name, value in vars(counters).items() if name in told}
    seconds = round(time.monotonic() - begun)
    print(json.dumps({"lane": "corruption", "seed": arguments.seed, **fields, "seconds": seconds}))
    return 1 if counters.violations else 0


if __name__ == "__main__":
    sys.exit(main())
