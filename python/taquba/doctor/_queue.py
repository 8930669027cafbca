"""The queue that is there already: its format, its owner, and what it waits for."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from taquba.doctor._check import Check, failure, ok, warning
from taquba.doctor._place import Place
from taquba.exceptions import (
    CorruptedError,
    StoreNotFoundError,
    TaqubaError,
    UnsupportedFormatError,
)
from taquba.queue import Owner, QueueReader, Stats

__all__ = ["look"]

_WAITS_LONG: Final = timedelta(hours=1)
_QUEUES_MAX: Final = 100
_LOOK_SECONDS: Final = 60.0
_NAMES_SHOWN: Final = 5


async def look(place: Place, path: str, request_seconds: float) -> list[Check]:
    """Read what is known of the queue at a path, as any reader may.

    Args:
        place: The store.
        path: Where in it.
        request_seconds: How long the store may take to answer.
    """
    opening = QueueReader.open(place.given, path, store_timeout=request_seconds)
    try:
        async with asyncio.timeout(_LOOK_SECONDS), opening as reader:
            owner, stats = await reader.owner(), await reader.stats()
            waits = await _longest_wait(reader, stats)
    except StoreNotFoundError:
        return [ok("queue", "there is none yet: `Queue.open` makes one")]
    except UnsupportedFormatError as error:
        return [failure("queue", str(error), "use the version of taquba that wrote it")]
    except CorruptedError as error:
        return [failure("queue", str(error), "`taquba verify` says what is damaged")]
    except TimeoutError:
        seen = f"what is known of it was not read within {_LOOK_SECONDS:g} s"
        return [failure("queue", seen, "see the latencies above; a very full queue takes long")]
    except TaqubaError as error:
        return [failure("queue", f"{error} [{error.code}]", "see the rights above, or ask again")]
    runs = sum(queue.live_run_count for queue in stats.queues.values())
    seen = f"readable, {len(stats.queues)} queues, {runs} live runs"
    return [ok("queue", seen), _owned(owner), _dead(stats), _quarantined(stats), waits]


def _owned(owner: Owner | None) -> Check:
    if owner is None:
        return ok("owner", "nobody: it was closed in order")
    who = f"process {owner.pid} on {owner.host}"
    if owner.is_alive:
        seen = f"{who}, alive; opening the store with takeover would fence it"
        return ok("owner", seen)
    seen = f"{who}, silent since {owner.last_seen:%Y-%m-%d %H:%M:%S} UTC"
    return warning("owner", seen, "start a worker: it takes over, and nothing is lost")


def _dead(stats: Stats) -> Check:
    dead = {name: each.dead_count for name, each in stats.queues.items() if each.dead_count}
    count = sum(dead.values())
    if not dead:
        return ok("dead", "no dead jobs", count=0)
    seen = f"{count} dead jobs in {_names(sorted(dead))}"
    remedy = "`taquba dead groups` says why, `taquba dead requeue` tries them again"
    return warning("dead", seen, remedy, count=count)


def _quarantined(stats: Stats) -> Check:
    count = stats.quarantined_count
    if not count:
        return ok("quarantined", "no damaged records", count=0)
    seen = f"{count} damaged records were moved aside"
    return warning("quarantined", seen, "`taquba verify` says which", count=count)


async def _longest_wait(reader: QueueReader, stats: Stats) -> Check:
    waiting = sorted(name for name, each in stats.queues.items() if each.pending_count)
    found = [await reader.oldest_pending(name) for name in waiting[:_QUEUES_MAX]]
    jobs = [job for job in found if job is not None]
    if not jobs:
        return ok("oldest-pending", "nothing waits", seconds=0)
    oldest = min(jobs, key=lambda job: job.run_at or job.enqueued_at)
    waits = max(datetime.now(UTC) - (oldest.run_at or oldest.enqueued_at), timedelta())
    seconds = waits.total_seconds()
    seen = f"a job in queue `{oldest.queue}` was due {seconds:.0f} s ago"
    if waits > _WAITS_LONG:
        remedy = "start a worker for that queue, or more of them"
        return warning("oldest-pending", seen, remedy, seconds=seconds)
    return ok("oldest-pending", seen, seconds=seconds)


def _names(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_NAMES_SHOWN])
    untold = len(names) - _NAMES_SHOWN
    return shown if untold <= 0 else f"{shown} and {untold} queues more"
