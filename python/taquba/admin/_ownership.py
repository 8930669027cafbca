"""Whether a queue still owns its store: one that is idle does not learn by itself that it does not.

Invariants:
    1. A reader owns nothing, and so loses nothing.
    2. What has seen another owner once has lost its store for good: a fence does not lift.
    3. What says nothing, as a sign that was never written or does not read, is no reason.
"""

import os
import socket
from datetime import UTC, datetime
from typing import Final, final

from taquba.queue import Owner, Queue, QueueReader

__all__ = ["Ownership"]

# Of a sign that does not read.
_UNKNOWN_PID: Final = 0


@final
class Ownership:
    """What the signs of owners say about one queue.

    Args:
        source: The queue, or a reader.
    """

    def __init__(self, source: Queue | QueueReader) -> None:
        self._is_queue = isinstance(source, Queue)
        self._process = (socket.gethostname(), os.getpid())
        self._made_at = datetime.now(UTC)
        self._has_seen_own = False
        self.is_lost = False

    def see(self, owner: Owner | None) -> None:
        """Take note of who owns the store now."""
        if not self._is_queue or (owner is not None and owner.pid == _UNKNOWN_PID):
            return
        if owner is None:
            # An orderly close of who took it has left no sign; before the first one there is none.
            self.is_lost |= self._has_seen_own
            return
        # Another queue of this process opens it later.
        is_later = owner.since > self._made_at
        if (owner.host, owner.pid) == self._process and not is_later:
            self._has_seen_own = True
        else:
            # The one before is still seen if the first sign of this one could not be written.
            self.is_lost |= is_later or self._has_seen_own
