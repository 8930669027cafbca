"""What the figures belong to: the machine, the versions, the commit."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from taquba._taquba import __version__

__all__ = ["describe", "machine_lines"]

_GIT_SECONDS_MAX = 5.0


def describe() -> dict[str, str | int | None]:
    """The machine and the software, for a program to read."""
    return {
        "taquba": __version__,
        "commit": _commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_name(),
        "core_count": _core_count(),
        "memory_bytes": _memory_bytes(),
        "load_before": " ".join(_lines(Path("/proc/loadavg"))[:1]) or None,
    }


def machine_lines(found: Mapping[str, str | int | None]) -> list[str]:
    """What `describe` found, for people to read."""
    memory = found["memory_bytes"]
    gib = f"{memory / 2**30:.0f} GiB" if isinstance(memory, int) else "unknown"
    load = found["load_before"] or "unknown"
    return [
        f"taquba {found['taquba']} ({found['commit'] or 'unknown commit'}), {found['python']}",
        f"{found['system']}, {found['cpu']}",
        f"cores: {found['core_count']}; memory: {gib}; load before: {load}",
    ]


def _cpu_name() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown CPU"


def _core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _commit() -> str | None:
    """The commit of the checkout that this package is in, if it is in one and git is there."""
    git = shutil.which("git")
    home = Path(__file__).resolve().parent
    if git is None or not any((parent / ".git").exists() for parent in home.parents):
        return None
    command = [
        git,
        "-C",
        str(home),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        # The program is git, and nothing in the command comes from outside.
        child = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_GIT_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return child.stdout.strip() or None


def _lines(path: Path) -> list[str]:
    """Lines of a file that not every system has."""
    return path.read_text().splitlines() if path.exists() else []
