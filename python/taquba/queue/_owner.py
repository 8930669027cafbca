"""Who owns a store."""

from dataclasses import dataclass
from datetime import datetime
from typing import final

__all__ = ["Owner"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """The process that owns a store. Instants are in UTC, by that process's clock.

    Args:
        host: The machine's name.
        pid: The process.
        since: When it opened the store.
        last_seen: When it last showed that it was alive.
        is_alive: Whether that was lately enough to take it for alive.
    """

    host: str
    pid: int
    since: datetime
    last_seen: datetime
    is_alive: bool
