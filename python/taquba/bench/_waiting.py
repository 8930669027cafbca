"""The child processes of the scenario `open`: one loads jobs, the others open the store again.

Not imported by the scenario, which runs it as `python -m taquba.bench._waiting`.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from taquba.bench._lab import Seen, fill, payload_of
from taquba.bench._meter import counters, cpu_seconds, peak_bytes, resident_bytes
from taquba.bench._processes import opened, settled_bytes, tell

_QUEUE = "bench"
_LEASE_SECONDS = 3600.0


async def _load(arguments: argparse.Namespace) -> None:
    """Loads all jobs, then waits to be killed."""
    queue, _ = await opened(arguments.store, arguments.path)
    payloads = (payload_of(number, arguments.payload_bytes) for number in range(arguments.jobs))
    await fill(queue, _QUEUE, payloads, arguments.payload_bytes)
    tell(loaded=arguments.jobs)
    await asyncio.Event().wait()


async def _open(arguments: argparse.Namespace) -> None:
    """Opens, looks at some jobs, and closes in order."""
    before, cpu = resident_bytes(), cpu_seconds()
    queue, wall = await opened(arguments.store, arguments.path)
    cpu = cpu_seconds() - cpu
    stats = await queue.stats()
    peak = peak_bytes()
    resident = None if before is None else await settled_bytes()
    if arguments.claims:
        seen = Seen(arguments.jobs, arguments.payload_bytes)
        for claim in await queue.claim_batch(_QUEUE, arguments.claims, lease=_LEASE_SECONDS):
            seen.add(claim.payload)
    await queue.close()
    tell(
        wall=wall,
        cpu=cpu,
        before=before,
        resident=resident,
        peak=peak,
        pending=stats.queues[_QUEUE].pending_count,
        counters=counters(stats),
    )


def main(argv: Sequence[str]) -> None:
    """Runs one of the two."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--role", choices=["load", "open"], required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--payload-bytes", type=int, required=True)
    parser.add_argument("--claims", type=int, default=0, help="payloads that are looked at")
    arguments = parser.parse_args(argv)
    asyncio.run((_load if arguments.role == "load" else _open)(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
