"""What it costs to open a queue in which many jobs wait: seconds, and memory.

Each opening is a process of its own, of the program `taquba.bench._waiting`. The first process
loads the jobs and is killed; the second one opens after the kill and closes in order; the third one
opens after the close.
"""

import asyncio
import functools
from typing import Any

from taquba.bench._lab import Lab
from taquba.bench._meter import Cost
from taquba.bench._places import is_shared
from taquba.bench._processes import MIB, run_child
from taquba.bench._result import Case, NotDoneError, Round
from taquba.bench._scenario import Bars, Scenario

_CHILD = ("-m", "taquba.bench._waiting")
# So many payloads are looked at in the end; counting all of them is the engine's word.
_LOOKED_AT_MAX = 1_000


async def measure(lab: Lab) -> list[Case]:
    """Loads the jobs afresh for each round; a new process needs no round to warm up."""
    count = lab.count(1_000_000, 50_000)
    killed, closed = [], []
    for _ in range(lab.settings.round_count):
        with lab.spot() as (store, path):
            found = await asyncio.to_thread(_open_twice, lab, str(store), path, count)
        killed.append(_round(found[0], count))
        closed.append(_round(found[1], count))
    title = f"{count:,} jobs, after"
    return [Case(f"{title} a kill", "job", killed), Case(f"{title} a close", "job", closed)]


def _open_twice(lab: Lab, store: str, path: str, count: int) -> tuple[dict[str, Any], ...]:
    options: dict[str, object] = {"store": store, "path": path, "jobs": count}
    options["payload-bytes"] = lab.settings.payload_bytes
    run = functools.partial(run_child, _CHILD)
    run({"role": "load", **options}, is_killed=True)
    after_kill = run({"role": "open", "claims": 0, **options}, is_killed=False)
    claims = min(count, _LOOKED_AT_MAX)
    after_close = run({"role": "open", "claims": claims, **options}, is_killed=False)
    return after_kill, after_close


def _round(found: dict[str, Any], count: int) -> Round:
    if found["pending"] != count:
        message = f"{found['pending']} of {count} jobs were there"
        raise NotDoneError(message)
    resident = found["resident"] or None
    cost = Cost(
        wall_seconds=found["wall"],
        cpu_seconds=found["cpu"],
        cpu_seconds_by_thread={},
        resident_bytes=resident,
        resident_bytes_peak=found["peak"],
        counters=found["counters"],
    )
    extra = {"open_seconds": found["wall"]}
    if resident is not None:
        extra["resident_mib_before"] = found["before"] / MIB
    return Round(count=count, cost=cost, extra=extra)


OPEN = Scenario(
    name="open",
    summary="opening with 1,000,000 waiting jobs after a kill and a close (never in memory)",
    measure=measure,
    columns=(
        "open_seconds",
        "cpu_us_each",
        "resident_mib_before",
        "resident_mib",
        "resident_mib_peak",
        "gets_per_1000",
    ),
    panels=(Bars("open_seconds"), Bars("resident_mib")),
    choose_store=lambda store: store if is_shared(store) else None,
)
