"""Whether the store answers: what load balancers ask."""

import asyncio
import time
from typing import Final, final

from taquba.admin._shared import Shared
from taquba.exceptions import TaqubaError
from taquba.queue import Queue, QueueReader

__all__ = ["Readiness"]

_SECONDS_MAX: Final = 5.0
# Everybody may ask, and a reader has to ask the store.
_CACHED_SECONDS: Final = 2.0


@final
class Readiness:
    """Whether a store answers. Looks at most every two seconds, however often it is asked.

    Args:
        source: What to ask.
    """

    def __init__(self, source: Queue | QueueReader) -> None:
        self._source = source
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
        except TaqubaError as error:
            return error.code
        except TimeoutError:
            return "store-unavailable"
        return "ready"
