"""Where code waits: frames of suspended coroutines, as a reader finds them.

Invariants:
    1. Nothing here keeps a frame alive: a place is a file, a line and a name.
    2. Places are in the user's own code; what it calls of others is not shown.
"""

import inspect
import linecache
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, final

import taquba

__all__ = ["WATCHED_CODE", "Place", "first_line", "places"]

WATCHED_CODE: Final = "watched_code"
"""The name of a variable that holds what its function runs by hand, for want of an `await`."""

_NOT_USERS: Final = (
    str(Path(taquba.__file__).parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)


@final
@dataclass(frozen=True, slots=True)
class Place:
    """A line of code.

    Args:
        file: The file's path.
        line: The line's number, from 1.
        function: The name of the function around it.
    """

    file: str
    line: int
    function: str

    @property
    def source(self) -> str:
        """The text of the line; empty if the file is not there."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        """Show file and line, as short as they can be opened from here."""
        path = Path(self.file)
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        return f"{path}:{self.line}"


def places(awaitable: object) -> tuple[Place, ...]:
    """Return where a suspended coroutine waits, its own line first, then those it called.

    Args:
        awaitable: A coroutine, or what stands for one.

    Returns:
        The places in the user's own code: not in taquba, the standard library or other packages.
    """
    found = [_own_place(frame) for frame in _frames(awaitable)]
    return tuple(place for place in found if not place.file.startswith(_NOT_USERS))


def first_line(function: object) -> Place | None:
    """Return where a function, or the method of a runner, begins.

    Args:
        function: What `function_of` returned.

    Returns:
        The place of its `def`; `None` if it is not written in Python.
    """
    function = inspect.unwrap(function) if callable(function) else function
    function = getattr(function, "func", function)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None:
        return None
    return Place(code.co_filename, code.co_firstlineno, code.co_name)


def _frames(awaitable: object) -> Iterator[FrameType]:
    while awaitable is not None:
        watched: object = None
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaitable, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                watched = frame.f_locals.get(WATCHED_CODE)
        awaitable = (
            watched
            or getattr(awaitable, "cr_await", None)
            or getattr(awaitable, "gi_yieldfrom", None)
            or getattr(awaitable, "ag_await", None)
        )


def _own_place(frame: FrameType) -> Place:
    return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
