"""The sweeper: memos of ended runs go when their retention is over.

Invariants:
    1. Memos of a run that is live are never deleted: neither of one that has not ended, nor of one
       that was submitted again under the same id.
    2. A mark goes after the memos that it stands for: whoever dies in between leaves work to the
       next sweep, not memos that nobody finds.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from taquba.exceptions import TaqubaError
from taquba.memo._store import MemoStore, TerminalMarker

__all__ = ["sweep", "sweep_forever"]

_logger = logging.getLogger("taquba.memo")

# A sweep lists all marks, which costs a request for each 1,000 of them.
_INTERVAL_MAX: Final = timedelta(hours=1)
_INTERVAL_MIN: Final = timedelta(seconds=1)


async def sweep(
    store: MemoStore,
    retention: timedelta,
    is_live: Callable[[str], Awaitable[bool]],
    now_ms: int,
) -> int:
    """Delete the memos of runs that ended longer ago than the retention.

    A run whose memos cannot be deleted is logged, and left to the next sweep.

    Args:
        store: Where memos and marks are.
        retention: How long memos are kept after the end of their run. Of a run that ended several
            times under one id, the last end counts.
        is_live: Tells whether a run goes on, or goes on again.
        now_ms: Now, in milliseconds since 1970.

    Returns:
        How many runs were cleared.

    Raises:
        StoreUnavailableError: The marks could not be listed.
        ClosedError: The store of memos is closed.
    """
    ended: dict[str, list[TerminalMarker]] = {}
    for marker in await store.list_terminal_markers():
        ended.setdefault(marker.run_id, []).append(marker)
    due_ms = now_ms - retention // timedelta(milliseconds=1)
    count = 0
    for run_id, markers in ended.items():
        if markers[-1].terminal_at_ms <= due_ms and not await is_live(run_id):
            count += await _clear(store, run_id, markers)
    return count


async def sweep_forever(
    store: MemoStore,
    retention: timedelta,
    is_live: Callable[[str], Awaitable[bool]],
    now_ms: Callable[[], int],
) -> None:
    """Sweep at once, and then regularly, until cancelled.

    What goes wrong is logged and tried again.

    Args:
        store: As for `sweep`.
        retention: The same. It is also the interval, which is 1 second to 1 hour.
        is_live: The same.
        now_ms: Tells the instant of each sweep.
    """
    interval = max(_INTERVAL_MIN, min(retention, _INTERVAL_MAX))
    while True:
        try:
            await sweep(store, retention, is_live, now_ms())
        except Exception:
            _logger.warning("memos of ended runs could not be swept", exc_info=True)
        await asyncio.sleep(interval.total_seconds())


async def _clear(store: MemoStore, run_id: str, markers: list[TerminalMarker]) -> bool:
    try:
        _, failed_count = await store.try_clear(run_id)
        if failed_count:
            return False
        for marker in markers:
            await store.delete_terminal_marker(marker)
    except TaqubaError:
        _logger.warning("the memos of run %s could not be swept", run_id, exc_info=True)
        return False
    return True
