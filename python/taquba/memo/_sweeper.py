"""The sweeper: memos of ended runs go when their retention is over.

Invariants:
    1. Memos of a run that is live are never deleted: neither of one that has not ended, nor of one
       that was submitted again under the same id, however soon. The store of memos looks first, the
       queue is asked then, and what was used meanwhile stays.
    2. A mark goes after the memos that it stands for: whoever dies in between leaves work to the
       next sweep, not memos that nobody finds.

Not here:
    Whose run it is: a run that `is_live` does not know counts as ended. So a prefix belongs to one
    queue.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from taquba import _taquba
from taquba.exceptions import TaqubaError
from taquba.memo._store import MemoStore, TerminalMarker

__all__ = ["sweep", "sweep_forever"]

_logger = logging.getLogger("taquba.memo")

# A sweep lists all marks, which costs a request for each 1,000 of them.
_INTERVAL_MAX: Final = timedelta(hours=1)
_INTERVAL_MIN: Final = timedelta(seconds=1)

# Each run takes some requests, one after the other. Enough to hide the way to a store, few enough
# to leave the rest of the work its share.
_RUNS_AT_ONCE: Final = 8


async def sweep(
    store: MemoStore,
    retention: timedelta,
    is_live: Callable[[str], Awaitable[bool]],
    now_ms: int,
) -> int:
    """Delete the memos of runs that ended longer ago than the retention.

    A run whose memos cannot be deleted is logged, and left to the next sweep. So is one of
    which memos were written meanwhile. What was written after its end stays until it is as old
    as the retention itself.

    Args:
        store: Where memos and marks are.
        retention: How long memos are kept after the end of their run. Of a run that ended several
            times under one id, the last end counts.
        is_live: Tells whether a run goes on, or goes on again.
        now_ms: Now, in milliseconds since 1970.

    Returns:
        How many runs were cleared of all their memos.

    Raises:
        StoreUnavailableError: The marks could not be listed.
        ClosedError: The store of memos is closed.
        ExceptionGroup: What `is_live` raised.
    """
    ended: dict[str, list[TerminalMarker]] = {}
    for marker in await store.list_terminal_markers():
        ended.setdefault(marker.run_id, []).append(marker)
    due_ms = now_ms - retention // timedelta(milliseconds=1)
    due = [markers for markers in ended.values() if markers[-1].terminal_at_ms <= due_ms]
    left = iter(due)

    async def sweep_some() -> int:
        return sum([await _sweep_run(store, markers, due_ms, is_live) for markers in left])

    async with asyncio.TaskGroup() as group:
        sweeping = [group.create_task(sweep_some()) for _ in range(min(len(due), _RUNS_AT_ONCE))]
    return sum(task.result() for task in sweeping)


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


async def _sweep_run(
    store: MemoStore,
    markers: list[TerminalMarker],
    due_ms: int,
    is_live: Callable[[str], Awaitable[bool]],
) -> bool:
    last = markers[-1]
    # The queue is in this process, the store is not.
    if await is_live(last.run_id):
        return False
    try:
        sweep = await store.begin_sweep(last, max(0, due_ms))
    except TaqubaError:
        _logger.warning("the memos of run %s could not be swept", last.run_id, exc_info=True)
        return False
    if sweep is None:
        return False
    # An exception may keep it, and with it whoever sweeps this run next.
    with contextlib.closing(sweep):
        # Asked again after the look: what a run that goes on again has written was not seen.
        return not await is_live(last.run_id) and await _finish(store, sweep, markers)


async def _finish(
    store: MemoStore, sweep: _taquba.MemoSweep, markers: list[TerminalMarker]
) -> bool:
    try:
        if not await store.finish_sweep(sweep):
            return False
        for marker in markers:
            await store.delete_terminal_marker(marker)
    except TaqubaError:
        run_id = markers[-1].run_id
        _logger.warning("the memos of run %s could not be swept", run_id, exc_info=True)
        return False
    return True
