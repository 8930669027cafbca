"""The cost of a piece of work: time, CPU, memory, and what the store was asked for.

CPU time is that of the whole process, user and system, all threads (getrusage): what a job costs
whoever pays for the machine. Wall time depends on what else the machine does; CPU time hardly.

Invariants:
    1. What is read is read outside the measured time, but for one call of `Queue.stats` at its end.
    2. What a system does not tell is `None` or absent, never 0.
"""

import os
import re
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, final

from taquba import Queue, Stats

__all__ = [
    "Cost",
    "Meter",
    "counters",
    "cpu_seconds",
    "peak_bytes",
    "resident_bytes",
]

# `tokio-rt-worker-3` and `tokio-rt-worker-4` are one group.
_NUMBER_OF_THREAD = re.compile(r"[-_:# ]*\d+$")
# In `/proc/self/clear_refs`: begin anew with the peak of the resident memory.
_RESET_PEAK = "5"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one piece of work cost.

    Args:
        wall_seconds: From begin to end.
        cpu_seconds: User and system, all threads.
        cpu_seconds_by_thread: The same by thread name, in steps of 10 ms; empty where the system
            does not tell. Threads that ended meanwhile are not in it.
        resident_bytes: Memory at the end.
        resident_bytes_peak: Most memory meanwhile; since the process began where that is all the
            system tells.
        counters: By how much each count of `Queue.stats` grew.
    """

    wall_seconds: float
    cpu_seconds: float
    cpu_seconds_by_thread: Mapping[str, float]
    resident_bytes: int | None
    resident_bytes_peak: int
    counters: Mapping[str, int]


@final
class Meter:
    """Measures the block that it is entered for; `cost` is there when the block has ended."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._cost: Cost | None = None

    @property
    def cost(self) -> Cost:
        """What the block cost."""
        if self._cost is None:
            message = "the block has not ended"
            raise RuntimeError(message)
        return self._cost

    async def __aenter__(self) -> Self:
        """Begin."""
        self._counters = counters(await self._queue.stats())
        _reset_peak()
        self._threads = _cpu_by_thread()
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; a block that raised has no cost."""
        wall, cpu = time.perf_counter() - self._wall, cpu_seconds() - self._cpu
        if kind is not None:
            return
        threads: defaultdict[str, float] = defaultdict(float)
        for (thread, name), seconds in _cpu_by_thread().items():
            threads[name] += seconds - self._threads.get((thread, name), 0.0)
        after = counters(await self._queue.stats())
        self._cost = Cost(
            wall_seconds=wall,
            cpu_seconds=cpu,
            cpu_seconds_by_thread={name: used for name, used in threads.items() if used > 0},
            resident_bytes=resident_bytes(),
            resident_bytes_peak=peak_bytes(),
            counters={name: value - self._counters[name] for name, value in after.items()},
        )


def cpu_seconds() -> float:
    """What this process has used so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def counters(stats: Stats) -> dict[str, int]:
    """Every count of the store, whichever there are."""
    return {name: value for name, value in asdict(stats).items() if isinstance(value, int)}


def resident_bytes() -> int | None:
    """What this process holds in memory; `None` where the system does not tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return None
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _reset_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)


def peak_bytes() -> int:
    """The most this process has held in memory; see `Cost.resident_bytes_peak`."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu_by_thread() -> dict[tuple[int, str], float]:
    """CPU seconds so far by thread id and name."""
    found: dict[tuple[int, str], float] = {}
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return found
    ticks_per_second = os.sysconf("SC_CLK_TCK")
    for task in tasks.iterdir():
        # A thread may end between the listing and the reading.
        with suppress(OSError):
            name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
            # After the name comes field 3; user and system time are fields 14 and 15.
            fields = rest.split()
            group = _NUMBER_OF_THREAD.sub("", name) or name
            found[int(task.name), group] = (int(fields[11]) + int(fields[12])) / ticks_per_second
    return found
