"""A directory for files that nobody needs for long."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A directory in memory, if there is one; what is in it goes with it."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
    parent = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(
        prefix=f"taquba-{name}-", dir=parent, ignore_cleanup_errors=True
    ) as path:
        yield Path(path)
