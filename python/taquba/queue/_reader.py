"""The reader: looking at a store that another process may own."""

from typing import final

from taquba import _taquba
from taquba._checks import Seconds
from taquba.options import STORE_TIMEOUT
from taquba.queue._connection import Opening
from taquba.queue._inspect import Inspection
from taquba.queue._kv import KvReading
from taquba.store import StoreLike, resolve

__all__ = ["QueueReader"]


@final
class QueueReader(Inspection, KvReading):
    """A look at a queue in an object store, from any process that may read it.

    Never writes to the store, and takes nothing away from its owner. It sees what is durable, as
    of each call. Made by `QueueReader.open`.
    """

    @classmethod
    def open(
        cls,
        store: StoreLike,
        path: str = "taquba",
        *,
        store_timeout: Seconds = STORE_TIMEOUT,
    ) -> "Opening[QueueReader]":
        """Open the queue at a path of a store for reading.

        Cancellation: the store is closed again if nobody awaits this any more.

        Args:
            store: A URL, a directory, or a store object, as for `Queue.open`.
            path: Where in the store.
            store_timeout: How long the store may take to answer.

        Returns:
            To be awaited, or entered with `async with`, which also closes the reader.

        Raises:
            InvalidStoreError: The store cannot be used as given.
            StoreNotFoundError: There is no such bucket, directory or queue.
            StorePermissionError: The store refuses the credentials.
            StoreUnavailableError: No answer within `store_timeout`.
            CorruptedError: The store holds damaged data.
            UnsupportedFormatError: A newer version of taquba wrote the store.

        Example:
            >>> async with QueueReader.open("s3://bucket/jobs") as reader:
            ...     stats = await reader.stats()
        """
        _taquba.check_text("path", path)
        timeout = _taquba.duration("store_timeout", store_timeout)
        return Opening(
            path,
            lambda native, future: native.open_reader(future, resolve(store), path, timeout),
            cls,
        )
