"""Whether a queue's process still owns its store, by the sign that owners leave there.

An owner that was fenced while it was idle does not know it yet, and would go on showing counts that
are no longer its own.

Invariants:
    1. The store is asked at most once in 10 seconds for a queue, whoever looks.
    2. A store that does not answer changes nothing: what was found last holds.
"""

import asyncio
import logging
import os
import socket
from time import monotonic
from typing import Final, final

from taquba import Queue
from taquba._redact import redact_text

__all__ = ["Ownership"]

_logger = logging.getLogger("taquba.metrics")

_CHECK_EVERY_SECONDS: Final = 10.0
_CHECK_TIMEOUT_SECONDS: Final = 1.0

# As much of it is in a sign.
_HOST_CHARS_MAX: Final = 255


@final
class Ownership:
    """What is known of who owns the store of one queue."""

    def __init__(self) -> None:
        self._next_at = 0.0
        self._since: float | None = None
        self._is_lost = False

    async def check(self, queue: Queue, ends_at: float) -> None:
        """Raise if the store has another owner, or none.

        Args:
            queue: The same at each call.
            ends_at: When to give up, by the running loop's time.

        Raises:
            LookupError: It was so when the store was asked last.
        """
        if monotonic() >= self._next_at:
            self._next_at = monotonic() + _CHECK_EVERY_SECONDS
            ends_at = min(ends_at, asyncio.get_running_loop().time() + _CHECK_TIMEOUT_SECONDS)
            try:
                async with asyncio.timeout_at(ends_at):
                    self._is_lost = not await self._is_ours(queue)
            except Exception as error:  # noqa: BLE001 - the figures are there all the same
                reason = redact_text(str(error)) or type(error).__name__
                _logger.debug("the owner of %r is not known: %s", queue, reason)
        if self._is_lost:
            message = "another process owns this store now, or did: open the queue again"
            raise LookupError(message)

    async def _is_ours(self, queue: Queue) -> bool:
        owner = await queue.owner()
        if owner is None:
            return False
        us = (socket.gethostname()[:_HOST_CHARS_MAX], os.getpid())
        since = owner.since.timestamp()
        # The same names may come again, in a container or with a second queue of this process.
        is_ours = (owner.host, owner.pid) == us and self._since in {None, since}
        if is_ours:
            self._since = since
        return is_ours
