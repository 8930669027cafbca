"""Memos as rows of their queue's log.

They ride in the commits of the queue, belong to one run from its submission to its end, are written
with the live claim only, and are removed by the engine.
"""

from typing import TYPE_CHECKING, final

from taquba.memo._memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable

    from taquba import _taquba
    from taquba.queue import Queue

__all__ = ["row_memos"]


@final
class _Rows:
    """The memos of one delivery of a step."""

    __slots__ = ("_queue", "_scope")

    def __init__(self, queue: "Queue", scope: "_taquba.MemoScope") -> None:
        self._queue = queue
        self._scope = scope

    async def get(self, key: bytes) -> bytes | None:
        port = self._queue.port()
        return await port.call(self._scope.get, port.native, key)

    async def put(self, key: bytes, value: bytes) -> None:
        port = await self._queue.room()
        await port.call(self._scope.put, port.native, key, value)

    def __repr__(self) -> str:
        return f"run_id={self._scope.run_id!r}, step_number={self._scope.step_number}"


def row_memos(queue: "Queue") -> "Callable[[_taquba.MemoScope], Memo]":
    """Return what makes the memos of a queue's steps. Not for users.

    Args:
        queue: The steps' queue.
    """
    return lambda scope: Memo(_Rows(queue, scope))
