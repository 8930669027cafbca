"""What a peer's `work.py` and the driver say to each other.

The standard library only, and no import of taquba: this module is read by the Python of every peer.
A workload tells the driver two things on its standard output, `begin` and `end {...}`, each a line
of its own; everything else it has to say goes to its standard error.
"""

import argparse
import asyncio
import dataclasses
import json
import math
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

WORKLOADS = ("enqueue", "enqueue_batch", "drain", "steps", "latency")
STEPS_PER_RUN = 10
PAYLOAD_BYTES = 64
BATCH_COUNT = 1_000


class ProtocolError(Exception):
    """A line that is not of the protocol, or says something that cannot be."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What one call of `work.py` shall do."""

    workload: str
    count: int
    in_flight: int
    directory: Path


@dataclasses.dataclass(frozen=True)
class End:
    """What a workload says of itself. `count` is in steps for `steps`, else in jobs or runs."""

    count: int
    seconds: float
    p50_ms: float | None
    p99_ms: float | None
    verified: str


def arguments(argv: Sequence[str] | None = None) -> Arguments:
    """The command line of `work.py`."""
    parser = argparse.ArgumentParser(description="One workload of one peer; see the README.")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--dir", type=Path, required=True, help="fresh and empty")
    parsed = parser.parse_args(argv)
    if parsed.count < 1 or parsed.in_flight < 1:
        parser.error("--count and --in-flight are at least 1")
    return Arguments(parsed.workload, parsed.count, parsed.in_flight, parsed.dir)


def warm_up_count(count: int) -> int:
    """How much of the work is done once before the measured phase: 5 %, at least 1."""
    return max(1, count // 20)


def begin() -> None:
    """The measured phase begins now."""
    tell("begin")


def end(count: int, seconds: float, verified: str, latencies: Sequence[float] = ()) -> None:
    """The measured phase has ended, and its results were checked.

    Args:
        count: What was done: steps, jobs or runs.
        seconds: How long it took.
        verified: What was checked, in words.
        latencies: In seconds, one for each run or job; none if they were not measured.
    """
    p50, p99 = percentiles_ms(latencies)
    tell("end " + json.dumps(dataclasses.asdict(End(count, seconds, p50, p99, verified))))


def tell(line: str) -> None:
    """Hands a line to the driver, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def expect(condition: bool, message: str) -> None:  # noqa: FBT001 - a condition, not an option
    """Ends the program with a message and exit code 1 unless what was to be done was done."""
    if not condition:
        raise SystemExit(message)


def check(found: object, wanted: object) -> None:
    """Refuses a result that is not the one that the work must have.

    Raises:
        AssertionError: It is another one.
    """
    if found != wanted:
        message = f"found {found!r:.300}, wanted {wanted!r:.300}"
        raise AssertionError(message)


async def in_turns(
    items: Iterable[_T], width: int, call: Callable[[_T], Awaitable[object]]
) -> None:
    """Calls once for each item, `width` at a time."""
    waiting = iter(items)

    async def caller() -> None:
        for item in waiting:
            await call(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(caller())


def percentiles_ms(seconds: Sequence[float]) -> tuple[float | None, float | None]:
    """The 50th and 99th percentile in milliseconds, by nearest rank; `None` of nothing."""
    if not seconds:
        return None, None
    ordered = sorted(seconds)

    def rank(share: float) -> float:
        return ordered[math.ceil(share * len(ordered)) - 1] * 1e3

    return rank(0.50), rank(0.99)


def expected_count(workload: str, count: int) -> int:
    """What `end` must count if `--count` was this."""
    return count * STEPS_PER_RUN if workload == "steps" else count


def parse_end(line: str, workload: str, count: int) -> End:
    """Reads an `end` line.

    Raises:
        ProtocolError: It is no such line, or the work that it tells of is not the work asked for.
    """
    word, _, text = line.strip().partition(" ")
    if word != "end":
        message = f"expected `end {{...}}`, got `{line.strip()[:200]}`"
        raise ProtocolError(message)
    try:
        said = json.loads(text)
        found = End(
            int(said["count"]),
            float(said["seconds"]),
            _optional(said["p50_ms"]),
            _optional(said["p99_ms"]),
            str(said["verified"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        message = f"`end` needs count, seconds, p50_ms, p99_ms, verified: `{text[:200]}`"
        raise ProtocolError(message) from error
    if found.count != expected_count(workload, count):
        message = f"`{found.count}` were done, `{expected_count(workload, count)}` were asked for"
        raise ProtocolError(message)
    if not (math.isfinite(found.seconds) and found.seconds > 0):
        message = f"`{found.seconds}` seconds cannot be"
        raise ProtocolError(message)
    if not found.verified.strip():
        message = "`verified` is empty: nothing was checked"
        raise ProtocolError(message)
    return found


def _optional(value: object) -> float | None:
    return None if value is None else float(str(value))
