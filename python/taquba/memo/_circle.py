"""Who waits for whom among computations: a circle would wait for ever.

Invariants:
    1. What a computation awaits is known, also when one of its child tasks asks.
    2. No wait begins that would close a circle, within one event loop.
    3. Nothing of a computation but its waits is kept by the tasks that it leaves behind.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Iterator
from typing import final

__all__ = ["Computing"]


@final
class Computing:
    """A computation, and those that it waits for. Must be made while its loop is running."""

    __slots__ = ("loop", "waits_for")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        # As often as it waits for each.
        self.waits_for: list[Computing] = []

    def begin(self) -> None:
        """Ask for this from now on, in this context and in copies of it."""
        _present.set(self)

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """Have it awaited by the present computation, if there is one.

        Raises:
            RuntimeError: This is, or waits for, the present computation.
        """
        present = _present.get()
        # What another loop computes is another computation.
        if present is None or present.loop is not self.loop:
            yield
            return
        if self._reaches(present):
            message = "`fn` asks for the key that it computes: it would wait for itself"
            raise RuntimeError(message)
        present.waits_for.append(self)
        try:
            yield
        finally:
            present.waits_for.remove(self)

    def _reaches(self, other: "Computing") -> bool:
        seen: set[Computing] = set()
        ahead = [self]
        while ahead:
            one = ahead.pop()
            if one is other:
                return True
            if one not in seen:
                seen.add(one)
                ahead += one.waits_for
        return False


_present: contextvars.ContextVar[Computing | None] = contextvars.ContextVar(
    "taquba_memo_computing", default=None
)
