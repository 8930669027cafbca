"""What can be looked at, for threads: shared by `Queue` and `QueueReader`."""

import asyncio
import logging
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from taquba import queue as asynchronous
from taquba.exceptions import TaqubaError
from taquba.queue import (
    Attempt,
    JobInfo,
    JobPage,
    JobState,
    KvPage,
    MemoPage,
    Owner,
    RunPage,
    RunState,
    RunStatus,
    Stats,
    StepRecord,
)
from taquba.sync._loop import has_ended, run

__all__ = ["Inspection", "close_unseen"]

_Q = TypeVar("_Q", asynchronous.Queue, asynchronous.QueueReader)

_logger = logging.getLogger("taquba.sync")

# asyncio holds tasks weakly.
_closings: Final[set["asyncio.Task[None]"]] = set()


class Inspection(Generic[_Q]):
    """The part of `Queue` and `QueueReader` that looks, and closes.

    Args:
        wrapped: What does the work.
    """

    def __init__(self, wrapped: _Q) -> None:
        self.wrapped: _Q = wrapped

    def stats(self) -> Stats:
        """Count the jobs of all queues; see `taquba.Queue.stats`."""
        return run(self.wrapped.stats)

    def list_queues(self) -> list[str]:
        """List the names of all queues; see `taquba.Queue.list_queues`."""
        return run(self.wrapped.list_queues)

    def list_jobs(
        self,
        queue: str,
        state: JobState | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> JobPage:
        """List jobs of a queue; see `taquba.Queue.list_jobs`."""
        return run(self.wrapped.list_jobs, queue, state, cursor=cursor, limit=limit)

    def dead_jobs(self, queue: str, cursor: str | None = None, limit: int = 100) -> JobPage:
        """List dead jobs; see `taquba.Queue.dead_jobs`."""
        return run(self.wrapped.dead_jobs, queue, cursor=cursor, limit=limit)

    def get_job(self, job_id: str) -> JobInfo:
        """Read a job; see `taquba.Queue.get_job`."""
        return run(self.wrapped.get_job, job_id)

    def attempt_history(self, job_id: str) -> list[Attempt]:
        """Read the deliveries of a job; see `taquba.Queue.attempt_history`."""
        return run(self.wrapped.attempt_history, job_id)

    def oldest_pending(self, queue: str) -> JobInfo | None:
        """Read the job that was enqueued first; see `taquba.Queue.oldest_pending`."""
        return run(self.wrapped.oldest_pending, queue)

    def get_run(self, run_id: str) -> RunStatus:
        """Read where a run is in its life; see `taquba.Queue.get_run`."""
        return run(self.wrapped.get_run, run_id)

    def step_history(self, run_id: str) -> list[StepRecord]:
        """Read the steps of a run; see `taquba.Queue.step_history`."""
        return run(self.wrapped.step_history, run_id)

    def get_result(self, run_id: str) -> bytes | None:
        """Read what a run has produced; see `taquba.Queue.get_result`."""
        return run(self.wrapped.get_result, run_id)

    def list_memos(self, run_id: str, cursor: str | None = None, limit: int = 100) -> MemoPage:
        """List the memos of a run; see `taquba.Queue.list_memos`."""
        return run(self.wrapped.list_memos, run_id, cursor=cursor, limit=limit)

    def get_memo(self, run_id: str, step_number: int, key: str) -> bytes | None:
        """Read a memo of a run; see `taquba.Queue.get_memo`."""
        return run(self.wrapped.get_memo, run_id, step_number, key)

    def list_runs(
        self,
        queue: str | None = None,
        state: RunState | Iterable[RunState] | None = None,
        *,
        run_id_prefix: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> RunPage:
        """List runs; see `taquba.Queue.list_runs`."""
        return run(
            self.wrapped.list_runs,
            queue,
            state,
            run_id_prefix=run_id_prefix,
            cursor=cursor,
            limit=limit,
        )

    def owner(self) -> Owner | None:
        """Read who owns the store; see `taquba.Queue.owner`."""
        return run(self.wrapped.owner)

    def kv_get(self, key: str) -> bytes | None:
        """Read a key; see `taquba.Queue.kv_get`."""
        return run(self.wrapped.kv_get, key)

    def kv_scan(  # noqa: PLR0913 - keyword arguments describe the range
        self,
        prefix: str = "",
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> KvPage:
        """Read keys in order; see `taquba.Queue.kv_scan`."""
        return run(
            self.wrapped.kv_scan,
            prefix,
            start=start,
            end=end,
            reverse=reverse,
            cursor=cursor,
            limit=limit,
        )

    def close(self) -> None:
        """Commit what waits, and give the store up; see `taquba.Queue.close`."""
        # At the end of the process, from `__del__` or `atexit`, it is done for all queues at once.
        if not has_ended():
            run(self.wrapped.close)

    def __enter__(self) -> Self:
        """Use it in `with`."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Show path and state."""
        return f"sync.{self.wrapped!r}"


def close_unseen(opened: asynchronous.Queue | asynchronous.QueueReader) -> None:
    """Close what was opened for a caller who was interrupted. Called by the thread behind."""
    task = asyncio.get_running_loop().create_task(_close(opened))
    _closings.add(task)
    task.add_done_callback(_closings.discard)


async def _close(opened: asynchronous.Queue | asynchronous.QueueReader) -> None:
    try:
        await opened.close()
    except TaqubaError as error:
        _logger.warning("a queue that nobody got was not closed: %s", error)
