"""What a tree of processes has used so far: CPU time and memory, from `/proc`.

A tree is a process, its descendants, and whatever is in its session. CPU time of a process is its
own plus that of the children it has waited for, as the kernel counts both; so a child that ends
between two readings moves from one sum to the other, and is counted once. A child that nobody
waited for is lost.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024
STOP_SECONDS_MAX = 10.0


@dataclass(frozen=True)
class Entry:
    """One process, as `/proc/PID/stat` has it. The CPU time includes children waited for."""

    pid: int
    parent: int
    session: int
    cpu_seconds: float
    is_zombie: bool
    started_at_ticks: int


def parse_stat(text: str) -> Entry:
    """Reads `/proc/PID/stat`. The name, in brackets, may hold anything, also brackets."""
    pid, _, rest = text.partition(" (")
    fields = rest[rest.rindex(")") + 2 :].split()
    # The first one here is field 3 of proc(5); utime, stime, cutime and cstime are 14 to 17.
    ticks = sum(int(field) for field in fields[11:15])
    return Entry(
        pid=int(pid),
        parent=int(fields[1]),
        session=int(fields[3]),
        cpu_seconds=ticks / TICKS_PER_SECOND,
        is_zombie=fields[0] in "ZX",
        started_at_ticks=int(fields[19]),
    )


def entries() -> dict[int, Entry]:
    """Every process of the machine that is there now."""
    found = {}
    for place in PROC.iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):
                entry = parse_stat((place / "stat").read_text())
                found[entry.pid] = entry
    return found


def tree(root: int, everyone: dict[int, Entry]) -> list[Entry]:
    """The process, its descendants, and its session if it leads one."""
    children: dict[int, list[Entry]] = {}
    for entry in everyone.values():
        children.setdefault(entry.parent, []).append(entry)
    members = {entry.pid: entry for entry in everyone.values() if entry.session == root}
    if root in everyone:
        members[root] = everyone[root]
    waiting = list(members)
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child.pid not in members:
                members[child.pid] = child
                waiting.append(child.pid)
    return list(members.values())


def cpu_seconds(roots: Iterable[int]) -> list[float]:
    """What each tree has used so far, user and system; all trees are read at one moment."""
    everyone = entries()
    return [sum(entry.cpu_seconds for entry in tree(root, everyone)) for root in roots]


def pss_bytes(members: Iterable[Entry]) -> int:
    """Memory that processes hold now: what is shared counts for each of them in part (PSS)."""
    return sum(_pss_bytes(entry.pid) for entry in members)


def _pss_bytes(pid: int) -> int:
    # A process that is ending has no memory to ask about.
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def machine_busy_seconds() -> float:
    """CPU time that all processes of the machine have used together since it started."""
    fields = (PROC / "stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in fields[:7])
    return (user + nice + system + irq + softirq) / TICKS_PER_SECOND


def stop(members: Iterable[Entry]) -> int:
    """Ends those of these processes that are still there, kindly first; tells how many were."""
    left = _alive(members)
    count = len(left)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for entry in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(entry.pid, number)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while (left := _alive(left)) and time.monotonic() < deadline:
            time.sleep(0.02)
    return count


def _alive(members: Iterable[Entry]) -> list[Entry]:
    # A number may have gone to another process meanwhile: that one has another start.
    now = entries()
    return [
        entry
        for entry in members
        if (found := now.get(entry.pid)) is not None
        and found.started_at_ticks == entry.started_at_ticks
        and not found.is_zombie
    ]
