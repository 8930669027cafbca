"""Where scenarios keep their queues: memory, a directory, a URL, or memory that is slow.

Invariants:
    1. Each scenario gets a place where nothing is: what another one left does not slow it down.
    2. What was made on a local disk is deleted at the end, also after a failure.
"""

import itertools
import re
import secrets
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from taquba import _taquba
from taquba.store import MemoryStore, StoreLike

__all__ = ["Place", "check_store", "is_shared", "place_of"]

_MEMORY = "memory://"
_SLOW = re.compile(r"slow:(\d+(?:\.\d+)?)")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_FILE = "file://"


class Place(ABC):
    """Somewhere that has room for stores."""

    title: str

    @abstractmethod
    def fresh(self) -> tuple[StoreLike, str]:
        """A store, and a path in it where nothing is."""

    def discard(self, store: StoreLike) -> None:  # noqa: B027 - memory goes by itself
        """Delete what is in a store that `fresh` gave, where that needs doing."""


@final
class _Memory(Place):
    title = "memory"

    def fresh(self) -> tuple[StoreLike, str]:
        return MemoryStore(), "taquba"


@final
class _Slow(Place):
    def __init__(self, milliseconds: float) -> None:
        self.title = f"memory with {milliseconds:g} ms for each PUT and GET"
        self._milliseconds = milliseconds

    def fresh(self) -> tuple[StoreLike, str]:
        return _taquba.SlowStore(self._milliseconds, self._milliseconds), "taquba"


@final
class _Directory(Place):
    title = "local disk with fsync"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count()

    def fresh(self) -> tuple[StoreLike, str]:
        return str(self._directory / str(next(self._numbers))), "taquba"

    def discard(self, store: StoreLike) -> None:
        shutil.rmtree(str(store), ignore_errors=True)


@final
class _Remote(Place):
    def __init__(self, url: str) -> None:
        self.title = url
        self._url = url

    def fresh(self) -> tuple[StoreLike, str]:
        return self._url, f"taquba-bench-{secrets.token_hex(6)}"


def check_store(text: str) -> None:
    """Refuse what names no store, before anything is measured.

    Raises:
        ValueError: It is no store; the message names what is one.
    """
    if text.startswith("slow:") and _SLOW.fullmatch(text) is None:
        message = f"`{text}`: give the milliseconds of a request, as in `slow:20`"
        raise ValueError(message)


def is_shared(text: str | None) -> bool:
    """Whether another process can open a store there."""
    return text is None or not (text == _MEMORY or text.startswith("slow:"))


@contextmanager
def place_of(text: str | None) -> Iterator[Place]:
    """The place that an option names.

    Args:
        text: `memory://`, `slow:20` (milliseconds of each PUT and GET), a URL, or a directory;
            `None` for the current directory. Below a directory a temporary one is made, and
            deleted at the end.
    """
    slow = _SLOW.fullmatch(text or "")
    if text == _MEMORY:
        yield _Memory()
    elif slow is not None:
        yield _Slow(float(slow[1]))
    elif text is not None and _URL.match(text) and not text.startswith(_FILE):
        yield _Remote(text)
    else:
        parent = Path((text or ".").removeprefix(_FILE))
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".taquba-bench-", dir=parent) as directory:
            yield _Directory(Path(directory))
