"""A real ext4 on a file, whose power is taken away: nothing that its journal holds is written out.

Needs root, loop devices and the tools of ext4.

# Invariants

1. What was made is gone at the end: the mount, the loop device, the file.
2. After `cut` every call to the file system fails; after `mount` it is what a machine would find.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DISK_BYTES = 256 * 1024 * 1024

# EXT4_IOC_SHUTDOWN, which is _IOR('X', 125, __u32), and its flag for a journal that is not flushed.
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2

_TOOLS = ("mkfs.ext4", "mount", "umount", "losetup")


class RealDisk:
    """A file system in a file."""

    def __init__(self, room: Path) -> None:
        self.path = room / "mounted"
        self._file = room / "disk"

    def make(self) -> None:
        """Makes it, empty, and mounts it."""
        self.path.mkdir()
        with self._file.open("wb") as file:
            file.truncate(DISK_BYTES)
        _run("mkfs.ext4", "-q", "-F", str(self._file))
        self.mount()

    def mount(self) -> None:
        """Mounts it; if it was cut, its journal is replayed."""
        _run("mount", "-o", "loop", str(self._file), str(self.path))

    def unmount(self) -> None:
        """Forgets everything that the kernel has of it in memory."""
        _run("umount", str(self.path))

    def cut(self) -> None:
        """Takes its power away."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(handle)


@contextmanager
def mounted(room: Path) -> Iterator[RealDisk]:
    """A new file system, for as long as it is needed."""
    disk = RealDisk(room)
    disk.make()
    try:
        yield disk
    finally:
        # It is not mounted if mounting it is what has failed.
        with suppress(subprocess.CalledProcessError):
            disk.unmount()


def lacks(room: Path) -> str | None:
    """Why this machine cannot do it, if it cannot."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"the tools {', '.join(missing)}"
    if os.geteuid() != 0:
        return "root, to mount a file system"
    try:
        with mounted(room) as disk:
            disk.cut()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"loop devices, and an ext4 that can be shut down ({error})"
    return None


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
