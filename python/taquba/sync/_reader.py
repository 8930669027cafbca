"""The reader for threads."""

from typing import Self, final

from taquba import queue as asynchronous
from taquba._checks import Seconds
from taquba.options import STORE_TIMEOUT
from taquba.store import StoreLike
from taquba.sync._inspect import Inspection, close_unseen
from taquba.sync._loop import take

__all__ = ["QueueReader"]


@final
class QueueReader(Inspection[asynchronous.QueueReader]):
    """A look at a queue that another process may own; see `taquba.QueueReader`."""

    @classmethod
    def open(
        cls,
        store: StoreLike,
        path: str = "taquba",
        *,
        store_timeout: Seconds = STORE_TIMEOUT,
    ) -> Self:
        """Open the queue at a path of a store for reading; see `taquba.QueueReader.open`."""
        return cls(take(close_unseen, _opened, store, path, store_timeout))


async def _opened(store: StoreLike, path: str, store_timeout: Seconds) -> asynchronous.QueueReader:
    return await asynchronous.QueueReader.open(store, path, store_timeout=store_timeout)
