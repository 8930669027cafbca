"""Looking through many jobs or runs with a bound on the work of one request.

`Queue.list_jobs` goes on until its page is full, which over a million jobs may be long. Here a page
may come back short, with the cursor that goes on.

Invariants:
    1. One request asks the engine at most so many times, and has at most `EXAMINED_MAX` rows read.
    2. A cursor means that there may be more, its absence that there is none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, final

from taquba import _taquba
from taquba.queue import JobInfo, JobState, Queue, QueueReader, RunStatus
from taquba.queue._job import read_job
from taquba.queue._run import read_run

__all__ = ["EXAMINED_MAX", "Scanned", "scan_jobs", "scan_runs"]

EXAMINED_MAX: Final = 2_000
"""How many jobs or runs of the wanted state one request has read and compared."""

# Each looks at 10,000 rows at most: an owner does that in memory, a reader fetches them.
_CALLS_MAX_OF_OWNER: Final = 200
_CALLS_MAX_OF_READER: Final = 3

_T = TypeVar("_T")


@final
@dataclass(frozen=True, slots=True)
class Scanned(Generic[_T]):
    """What was found.

    Args:
        found: What fits.
        cursor: Where to go on; `None` if there is no more.
        examined: How many were read and compared.
        calls: How often the engine was asked.
    """

    found: list[_T]
    cursor: str | None
    examined: int
    calls: int


async def scan_jobs(  # noqa: PLR0913 - keyword arguments are the filter
    source: Queue | QueueReader,
    queue: str,
    state: JobState | None,
    *,
    cursor: str | None = None,
    limit: int,
    fits: Callable[[JobInfo], bool] | None = None,
    calls_max: int | None = None,
) -> Scanned[JobInfo]:
    """Look through the jobs of a queue, in the order in which they were enqueued.

    Args:
        source: Where.
        queue: Queue name.
        state: Only those in this state; all if absent.
        cursor: Where to go on.
        limit: At most this many, 1 to 1,000.
        fits: Which of them.
        calls_max: How often the engine is asked at most.

    Raises:
        InvalidArgumentError: `cursor` is not what a page gave.
    """
    name = None if state is None else state.value
    port = source.port()
    found: list[JobInfo] = []
    examined = calls = 0
    for _ in range(calls_max or _calls_max(source)):
        calls += 1
        # A page never holds more than is wanted, so that its cursor is where the answer ends.
        wanted = min(limit - len(found), EXAMINED_MAX - examined, _taquba.LIST_COUNT_MAX)
        page, cursor = await port.call(port.native.list_jobs, queue, name, cursor, wanted)
        examined += len(page)
        jobs = map(read_job, page)
        found += jobs if fits is None else filter(fits, jobs)
        if cursor is None or len(found) >= limit or examined >= EXAMINED_MAX:
            break
    return Scanned(found, cursor, examined, calls)


async def scan_runs(  # noqa: PLR0913 - keyword arguments are the filter
    source: Queue | QueueReader,
    queue: str | None,
    states: list[str],
    *,
    prefix: str | None = None,
    cursor: str | None = None,
    limit: int,
    fits: Callable[[RunStatus], bool] | None = None,
) -> Scanned[RunStatus]:
    """Look through runs, the latest submission first; as `scan_jobs`."""
    port = source.port()
    found: list[RunStatus] = []
    examined = calls = 0
    for _ in range(_calls_max(source)):
        calls += 1
        # A page never holds more than is wanted, so that its cursor is where the answer ends.
        wanted = min(limit - len(found), EXAMINED_MAX - examined, _taquba.LIST_COUNT_MAX)
        page, cursor = await port.call(port.native.list_runs, queue, states, prefix, cursor, wanted)
        examined += len(page)
        runs = map(read_run, page)
        found += runs if fits is None else filter(fits, runs)
        if cursor is None or len(found) >= limit or examined >= EXAMINED_MAX:
            break
    return Scanned(found, cursor, examined, calls)


def _calls_max(source: Queue | QueueReader) -> int:
    return _CALLS_MAX_OF_OWNER if isinstance(source, Queue) else _CALLS_MAX_OF_READER
