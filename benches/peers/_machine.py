"""What the figures belong to: the machine, its disk, and what else runs on it."""

import importlib.metadata
import os
import platform
from pathlib import Path

MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}


def describe(stores: Path) -> dict[str, str]:
    """The machine in words."""
    memory = next(iter(_lines("/proc/meminfo")), "").split()
    return {
        "taquba": importlib.metadata.version("taquba"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) // 1024**2} GiB" if len(memory) > 1 else "unknown",
        "stores": f"{stores} ({file_system(stores)})",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def file_system(directory: Path) -> str:
    """The kind of file system that a directory is on."""
    best, kind = "", "unknown"
    for line in _lines("/proc/self/mounts"):
        _, place, found, *_ = line.split()
        if directory.resolve().is_relative_to(place) and len(place) >= len(best):
            best, kind = place, found
    return kind


def _cpu() -> str:
    names = (line for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    return next(names, ": unknown").partition(":")[2].strip()


def _lines(name: str) -> list[str]:
    path = Path(name)
    return path.read_text().splitlines() if path.exists() else []
