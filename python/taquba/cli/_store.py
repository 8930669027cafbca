"""Reading from a store, wherever its owner is, and whether or not there is one.

Invariants:
    1. It writes nothing: all of it goes through a `QueueReader`.
    2. What is filtered here is listed in pages that end where the wanted rows end, so that a cursor
       loses none.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, TypeVar, final

from taquba._shown import ErrorGroup, blanked, has_error, instant, record, shown_error
from taquba.cli._wire import PAGE_ROWS_MAX, Content, Json, Page, RunFilter
from taquba.exceptions import JobNotFoundError
from taquba.queue import JobInfo, JobState, RunState, RunStatus
from taquba.sync import QueueReader

__all__ = ["StoreSource"]

_T = TypeVar("_T")

_GROUPS_MAX: Final = 1000


@final
class StoreSource:
    """What a store holds; see `Source`.

    Args:
        store: A URL or a directory.
        path: Where in the store.
    """

    def __init__(self, store: str, path: str) -> None:
        self._reader = QueueReader.open(store, path)

    def overview(self) -> Json:
        """Return every queue, counted, and who owns the store."""
        stats = self._reader.stats()
        owner = self._reader.owner()
        return {
            "taken_at": instant(datetime.now(UTC)),
            "mode": "reader",
            "owner": None if owner is None else record(owner),
            "quarantined_count": stats.quarantined_count,
            "queues": [
                {
                    "name": name,
                    **record(queue),
                    "oldest_pending": self._oldest(name) if queue.pending_count else None,
                    "rates": None,
                    "wait_seconds": None,
                    "run_seconds": None,
                }
                for name, queue in sorted(stats.queues.items())
            ],
        }

    def queue_names(self) -> list[str]:
        """Return the names of all queues, in order."""
        return self._reader.list_queues()

    def jobs(self, queue: str, state: str | None, cursor: str | None, limit: int) -> Page:
        """List jobs of a queue."""
        wanted = None if state is None else JobState(state)
        page = self._reader.list_jobs(queue, wanted, cursor, limit)
        return Page(list(map(record, page.jobs)), page.cursor)

    def dead(self, queue: str, error: str | None, cursor: str | None, limit: int) -> Page:
        """List dead jobs of a queue."""

        def fetch(cursor: str | None, limit: int) -> tuple[list[JobInfo], str | None]:
            page = self._reader.dead_jobs(queue, cursor, limit)
            return page.jobs, page.cursor

        if error is None:
            return self.jobs(queue, JobState.DEAD.value, cursor, limit)
        return _filtered(fetch, lambda job: has_error(job.last_error, error), cursor, limit)

    def dead_groups(self, queue: str | None) -> Json:
        """Count dead jobs by what went wrong, of each queue, the most frequent first."""
        groups: dict[tuple[str, str], ErrorGroup] = {}
        examined = 0
        is_complete = True
        for name in self.queue_names() if queue is None else [queue]:
            for job in self._dead_jobs(name):
                examined += 1
                error = blanked(shown_error(job.last_error))
                if (name, error) not in groups and len(groups) >= _GROUPS_MAX:
                    is_complete = False
                    continue
                groups.setdefault((name, error), ErrorGroup(error, name, job.job_id)).add(job)
        found = sorted(groups.values(), key=lambda group: -group.count)
        return {
            "groups": [group.shown() for group in found],
            "examined": examined,
            "is_complete": is_complete,
        }

    def job(self, job_id: str) -> Json:
        """Return a job and its deliveries."""
        job = self._reader.get_job(job_id)
        return {"job": record(job), "attempts": self._attempts(job_id)}

    def payload(self, job_id: str) -> Content:
        """Return the payload of a job."""
        job = self._reader.get_job(job_id)
        return Content(job.payload or b"", job.payload_bytes)

    def runs(self, wanted: RunFilter, cursor: str | None, limit: int) -> Page:
        """List runs."""
        states = [RunState(name) for name in wanted.states] or None

        def fetch(cursor: str | None, limit: int) -> tuple[list[RunStatus], str | None]:
            page = self._reader.list_runs(
                wanted.queue, states, run_id_prefix=wanted.prefix, cursor=cursor, limit=limit
            )
            return page.runs, page.cursor

        if wanted.header is None and wanted.error is None:
            runs, following = fetch(cursor, limit)
            return Page(list(map(record, runs)), following)
        return _filtered(fetch, lambda run: _is_wanted(run, wanted), cursor, limit)

    def run(self, run_id: str) -> Json:
        """Return a run, its steps, and the deliveries of the latest one."""
        run = self._reader.get_run(run_id)
        steps = self._reader.step_history(run_id)
        return {
            "run": record(run),
            "steps": list(map(record, steps)),
            "attempts": self._attempts(steps[-1].job_id) if steps else [],
        }

    def result(self, run_id: str) -> Content | None:
        """Return the result of a run that succeeded."""
        found = self._reader.get_result(run_id)
        return None if found is None else Content(found, len(found))

    def memos(self, run_id: str, cursor: str | None, limit: int) -> Page:
        """List the memos of a run."""
        page = self._reader.list_memos(run_id, cursor, limit)
        return Page(list(map(record, page.memos)), page.cursor)

    def keys(self, prefix: str, cursor: str | None, limit: int, *, with_values: bool) -> Page:
        """List keys."""
        page = self._reader.kv_scan(prefix, cursor=cursor, limit=limit)
        entries: list[Json] = [
            {
                "key": key,
                "bytes": len(value),
                "value": Content(value, len(value)).as_json() if with_values else None,
            }
            for key, value in page.entries
        ]
        return Page(entries, page.cursor)

    def value(self, key: str) -> Content | None:
        """Return the value of a key."""
        found = self._reader.kv_get(key)
        return None if found is None else Content(found, len(found))

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()

    def _oldest(self, queue: str) -> Json | None:
        job = self._reader.oldest_pending(queue)
        if job is None:
            return None
        return {"job_id": job.job_id, "since": instant(job.run_at or job.enqueued_at)}

    def _attempts(self, job_id: str) -> list[Json]:
        # A job that is settled and not kept has no deliveries any more.
        try:
            return list(map(record, self._reader.attempt_history(job_id)))
        except JobNotFoundError:
            return []

    def _dead_jobs(self, queue: str) -> Iterator[JobInfo]:
        cursor = None
        while True:
            page = self._reader.dead_jobs(queue, cursor, PAGE_ROWS_MAX)
            yield from page.jobs
            cursor = page.cursor
            if cursor is None:
                return


def _filtered(
    fetch: Callable[[str | None, int], tuple[list[_T], str | None]],
    is_wanted: Callable[[_T], bool],
    cursor: str | None,
    limit: int,
) -> Page:
    """Return what is wanted of one page, which is listed again, shorter, if that is too much."""
    rows, following = fetch(cursor, PAGE_ROWS_MAX)
    places = [place for place, row in enumerate(rows, start=1) if is_wanted(row)]
    if len(places) > limit:
        rows, following = fetch(cursor, places[limit - 1])
    # One that has changed meanwhile may be among them.
    return Page([record(row) for row in rows if is_wanted(row)][:limit], following)


def _is_wanted(run: RunStatus, wanted: RunFilter) -> bool:
    if wanted.header is not None:
        name, value = wanted.header
        if run.headers.get(name) != value:
            return False
    return wanted.error is None or has_error(run.error or run.last_error, wanted.error)
