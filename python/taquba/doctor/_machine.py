"""The machine: its disk, its limits, and what is installed."""

import contextlib
import importlib.metadata
import os
import re
import resource
import tempfile
import time
from pathlib import Path
from typing import Final

from taquba.doctor._check import Check, ok, warning
from taquba.doctor._timing import percentile, spell

__all__ = ["disk", "extras", "open_files"]

_GIBI: Final = 2**30
_SPACE_MIN: Final = _GIBI

# Sockets of a store, files of a local one, and whatever the runners open.
_OPEN_FILES_MIN: Final = 1024

_SYNC_COUNT: Final = 20
_SYNC_SECONDS: Final = 5.0
_SYNC_SLOW_SECONDS: Final = 0.05

_NETWORK: Final = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "glusterfs", "lustre", "virtiofs")
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
# In mountinfo a space is written in octal.
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_REQUIREMENT: Final = re.compile(r"\s*([A-Za-z0-9._-]+).*\bextra\s*==\s*['\"]([^'\"]+)['\"]")


def disk(directory: Path) -> list[Check]:
    """Look at the disk of a directory, or of the nearest one above it that is there.

    Blocks: call it in a thread. Leaves nothing behind.

    Args:
        directory: Where the store is, or will be.
    """
    absolute = Path(os.path.abspath(directory))  # noqa: PTH100 - links are followed by the system
    there = next(each for each in (absolute, *absolute.parents) if each.is_dir())
    return [_space(there), _file_system(there), *_syncs(there)]


def _space(directory: Path) -> Check:
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    seen = f"{free / _GIBI:.1f} GiB free"
    if free < _SPACE_MIN:
        remedy = "free some space: a queue that cannot write ends"
        return warning("disk-space", seen, remedy, free_bytes=free)
    return ok("disk-space", seen, free_bytes=free)


def _file_system(directory: Path) -> Check:
    kind = _mounted(directory)
    if kind is None:
        remedy = "use Linux where many commits per second matter"
        return warning("file-system", "not Linux: each commit becomes a file of its own", remedy)
    if kind.startswith(_NETWORK):
        seen = f"{kind}: each commit becomes a file of its own, and nobody has tried it"
        return warning("file-system", seen, "use a disk of the machine, or an object store")
    if kind in _IN_MEMORY:
        return warning("file-system", f"{kind}: gone with the machine", "use a real disk")
    return ok("file-system", kind)


def _mounted(directory: Path) -> str | None:
    """Return the type of the file system of a directory; `None` if the system does not tell."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    best: tuple[int, str] | None = None
    real = directory.resolve()
    for line in lines:
        before, _, behind = line.partition(" - ")
        text = _OCTAL.sub(lambda found: chr(int(found.group(1), 8)), before.split()[4])
        at = Path(text)
        # Of two at one place the later one lies above.
        if real.is_relative_to(at) and (best is None or len(at.parts) >= best[0]):
            best = (len(at.parts), behind.split()[0])
    return None if best is None else best[1]


def _syncs(directory: Path) -> list[Check]:
    body = os.urandom(4096)
    seconds: list[float] = []
    # Where nobody may write, the rights have said so.
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=directory) as file:
        ends = time.monotonic() + _SYNC_SECONDS
        while len(seconds) < _SYNC_COUNT and time.monotonic() < ends:
            began = time.perf_counter()
            os.write(file.fileno(), body)
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    if not seconds:
        return []
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    seen = f"p50 {spell(p50)}, p99 {spell(p99)}: about {1 / p50:.0f} commits per second"
    if p50 > _SYNC_SLOW_SECONDS:
        remedy = "use a faster disk, or `OpenOptions(fsync=False)` if losing work is no loss"
        return [warning("fsync", seen, remedy, p50=p50, p99=p99)]
    return [ok("fsync", seen, p50=p50, p99=p99)]


def open_files() -> Check:
    """Look at how many files and sockets this process may have open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return ok("open-files", "no limit")
    if limit < _OPEN_FILES_MIN:
        remedy = f"raise it to {_OPEN_FILES_MIN} at least, such as by `ulimit -n`"
        return warning("open-files", f"at most {limit}", remedy, limit=limit)
    return ok("open-files", f"at most {limit}", limit=limit)


def extras() -> Check:
    """Look at which optional parts of the package can be used."""
    try:
        requirements = importlib.metadata.requires("taquba") or []
    except importlib.metadata.PackageNotFoundError:
        return ok("extras", "unknown: this package was not installed")
    lacking: dict[str, list[str]] = {}
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is not None:
            lacks = lacking.setdefault(match.group(2), [])
            if not _is_installed(match.group(1)):
                lacks.append(match.group(1))
    there = [extra for extra, lacks in sorted(lacking.items()) if not lacks]
    not_there = [f"{extra} ({', '.join(lacks)})" for extra, lacks in lacking.items() if lacks]
    parts = ["can be used: " + (", ".join(there) or "none")]
    if not_there:
        parts.append("not installed: " + ", ".join(sorted(not_there)))
    return ok("extras", "; ".join(parts))


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
