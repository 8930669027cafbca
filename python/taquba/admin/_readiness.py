"""Whether the store answers, and is still this queue's own: what load balancers ask."""

import asyncio
import time
from typing import Final, final

from taquba.admin._ownership import Ownership
from taquba.admin._shared import Shared
from taquba.exceptions import FencedError, TaqubaError
from taquba.queue import Queue, QueueReader

__all__ = ["Readiness"]

_SECONDS_MAX: Final = 5.0
# Everybody may ask, and a reader has to ask the store.
_CACHED_SECONDS: Final = 2.0
_OWNER_CACHED_SECONDS: Final = 5.0


@final
class Readiness:
    """Whether a store answers. Looks at most every two seconds, however often it is asked.

    Args:
        source: What to ask.
        ownership: Whether it is still the owner, if it was.
    """

    def __init__(self, source: Queue | QueueReader, ownership: Ownership) -> None:
        self._source = source
        self._ownership = ownership
        self._owner_asked_at = float("-inf")
        self._asking = Shared(self._ask)
        self._asked_at = float("-inf")
        self._code = "ready"

    async def code(self) -> str:
        """Return `"ready"`, or the code of the error that says why not."""
        if time.monotonic() - self._asked_at > _CACHED_SECONDS:
            await self._asking.get()
        return self._code

    async def _ask(self) -> None:
        self._code = await self._answer()
        self._asked_at = time.monotonic()

    async def _answer(self) -> str:
        try:
            async with asyncio.timeout(_SECONDS_MAX):
                await self._source.stats()
                await self._look_for_owner()
        except TaqubaError as error:
            return error.code
        except TimeoutError:
            return "store-unavailable"
        return FencedError.code if self._ownership.is_lost else "ready"

    async def _look_for_owner(self) -> None:
        is_new = time.monotonic() - self._owner_asked_at < _OWNER_CACHED_SECONDS
        if is_new or not isinstance(self._source, Queue):
            return
        self._ownership.see(await self._source.owner())
        self._owner_asked_at = time.monotonic()
