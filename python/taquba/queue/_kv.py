"""The key-value space beside the queues: small values that change with the jobs or alone.

Invariants:
    1. Keys are ordered by their UTF-8 bytes.
    2. A write that returned is durable; one that is compared is compared and written in one step.
"""

from dataclasses import dataclass
from typing import final

from taquba import _taquba
from taquba._checks import check_count, check_instance, check_payload, check_value
from taquba.queue._connection import Connection

__all__ = ["KvPage", "KvReading", "KvWriting"]


@final
@dataclass(frozen=True, slots=True)
class KvPage:
    """Some keys and their values, in the order asked for.

    Args:
        entries: Keys with their values.
        cursor: What gets the next page; `None` if this is the last one.
    """

    entries: list[tuple[str, bytes]]
    cursor: str | None

    def __repr__(self) -> str:
        """Show how many there are, without their content."""
        return f"KvPage(<{len(self.entries)} entries>, is_last={self.cursor is None})"


@final
@dataclass(frozen=True, slots=True)
class KvRange:
    """Keys to read, as the binding takes it."""

    prefix: str
    start: str | None
    end: str | None
    reverse: bool
    limit: int

    def __post_init__(self) -> None:
        """Check every field."""
        _taquba.check_text("prefix", self.prefix)
        for name in ("start", "end"):
            if getattr(self, name) is not None:
                _taquba.check_text(name, getattr(self, name))
        check_instance("reverse", self.reverse, bool)
        check_count("limit", self.limit, _taquba.LIST_COUNT_MAX)


class KvReading(Connection):
    """The part of `Queue` and `QueueReader` that reads keys."""

    async def kv_get(self, key: str) -> bytes | None:
        """Read a key.

        Args:
            key: 1 to 1,024 bytes of any text.

        Returns:
            Its value, or `None` if it has none.

        Raises:
            InvalidKeyError: The key is empty or too long.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self.port()
        return await port.call(port.native.kv_get, key)

    async def kv_scan(  # noqa: PLR0913 - keyword arguments describe the range
        self,
        prefix: str = "",
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> KvPage:
        """Read keys in the order of their bytes.

        Args:
            prefix: Only keys that start with this.
            start: Only keys at or after this.
            end: Only keys before this.
            reverse: From the last key to the first.
            cursor: Where to go on: `KvPage.cursor` of the page before, with the same range.
            limit: At most this many, 1 to 1,000. Pages of large values end after 8 MiB.

        Raises:
            InvalidArgumentError: `cursor` is not what a page gave, or `limit` is out of bounds.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.

        Example:
            >>> page = await queue.kv_scan("sent/")
        """
        keys = KvRange(prefix, start, end, reverse, limit)
        port = self.port()
        entries, following = await port.call(port.native.kv_scan, keys, cursor)
        return KvPage(entries, following)


class KvWriting(KvReading):
    """The part of `Queue` that writes keys."""

    async def kv_put(self, key: str, value: bytes) -> None:
        """Set a key.

        Durable: when this returns, the value is in the object store.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            key: 1 to 1,024 bytes of any text.
            value: At most 256 KiB.

        Raises:
            InvalidKeyError: The key is empty or too long.
            ValueTooLargeError: Over the limit. Store it as an object and keep its name.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_payload("value", value)
        await self._kv_write(key, value)

    async def kv_delete(self, key: str) -> None:
        """Remove a key, if it is there.

        Durable: when this returns, the key is gone from the object store.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            key: 1 to 1,024 bytes of any text.

        Raises:
            InvalidKeyError: The key is empty or too long.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        await self._kv_write(key, None)

    async def kv_compare_put(self, key: str, expected: bytes | None, value: bytes) -> bool:
        """Set a key if it holds what is expected.

        Durable: when this returns, the value, or the one that was there instead of the expected
        one, is in the object store.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            key: 1 to 1,024 bytes of any text.
            expected: What the key must hold; `None` for no value.
            value: At most 256 KiB.

        Returns:
            Whether the key held what was expected and was set.

        Raises:
            InvalidKeyError: The key is empty or too long.
            ValueTooLargeError: Over the limit. Store it as an object and keep its name.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_value("expected", expected)
        check_payload("value", value)
        port = await self.room()
        return await port.call(port.native.kv_compare_write, key, expected, value)

    async def kv_compare_delete(self, key: str, expected: bytes) -> bool:
        """Remove a key if it holds what is expected.

        Durable: as for `kv_compare_put`.

        Cancellation: the commit finishes even if the awaiting task is cancelled.

        Args:
            key: 1 to 1,024 bytes of any text.
            expected: What the key must hold.

        Returns:
            Whether the key held what was expected and was removed.

        Raises:
            InvalidKeyError: The key is empty or too long.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_payload("expected", expected)
        port = await self.room()
        return await port.call(port.native.kv_compare_write, key, expected, None)

    async def _kv_write(self, key: str, value: bytes | None) -> None:
        port = await self.room()
        await port.call(port.native.kv_write, key, value)
