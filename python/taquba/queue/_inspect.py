"""What can be looked at without changing it: counts, jobs, runs, the owner.

Shared by `Queue` and `QueueReader`. A queue sees what it has been told; a reader sees what is in
the store.
"""

from collections.abc import Iterable
from typing import Any, Final

from taquba import _taquba
from taquba._checks import check_count, check_instance
from taquba.queue._connection import Connection
from taquba.queue._job import (
    Attempt,
    JobInfo,
    JobPage,
    JobState,
    read_attempts,
    read_job,
)
from taquba.queue._memos import MemoPage, read_memo
from taquba.queue._metrics import read_stats
from taquba.queue._owner import Owner
from taquba.queue._run import (
    RunPage,
    RunState,
    RunStatus,
    StepRecord,
    read_run,
    read_steps,
    state_names,
)
from taquba.queue._stats import Stats

__all__ = ["Inspection"]

_STEP_NUMBER_MAX: Final = 2**32 - 1


class Inspection(Connection):
    """The part of `Queue` and `QueueReader` that looks at jobs and runs."""

    async def stats(self) -> Stats:
        """Count the jobs of all queues.

        Raises:
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self.port()
        return read_stats(await port.call(port.native.stats))

    async def list_queues(self) -> list[str]:
        """List the names of all queues, in order.

        Raises:
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self.port()
        counts = await port.call(port.native.stats)
        return sorted(counts["queues"])

    async def list_jobs(
        self,
        queue: str,
        state: JobState | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> JobPage:
        """List jobs of a queue, in the order in which they were enqueued, without payloads.

        Jobs that change their state between two pages may be missed or seen twice.

        Args:
            queue: Queue name.
            state: Only those in this state; all if absent.
            cursor: Where to go on: `JobPage.cursor` of the page before.
            limit: At most this many, 1 to 1,000.

        Returns:
            `limit` jobs, or fewer if there are no more.

        Raises:
            InvalidArgumentError: `cursor` is not what a page gave, or `limit` is out of bounds.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.

        Example:
            >>> page = await queue.list_jobs("emails", JobState.PENDING, limit=10)
        """
        check_count("limit", limit, _taquba.LIST_COUNT_MAX)
        name = None if state is None else _state_name(state)
        port = self.port()
        jobs: list[JobInfo] = []
        # The engine looks at a bounded number of jobs at a time, which need not be in this state.
        while True:
            wanted = limit - len(jobs)
            page, cursor = await port.call(port.native.list_jobs, queue, name, cursor, wanted)
            jobs += map(read_job, page)
            if cursor is None or len(jobs) >= limit:
                return JobPage(jobs, cursor)

    async def dead_jobs(self, queue: str, cursor: str | None = None, limit: int = 100) -> JobPage:
        """List the dead jobs of a queue; see `list_jobs`."""
        return await self.list_jobs(queue, JobState.DEAD, cursor=cursor, limit=limit)

    async def get_job(self, job_id: str) -> JobInfo:
        """Read a job, with its payload.

        Args:
            job_id: What `enqueue` returned.

        Raises:
            JobNotFoundError: It was settled and not kept, was removed, or never was.
            InvalidJobIdError: It is not a job id.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        return read_job(await self._job(job_id))

    async def attempt_history(self, job_id: str) -> list[Attempt]:
        """Read the deliveries of a job, oldest first: the latest 20.

        Args:
            job_id: What `enqueue` returned.

        Raises:
            JobNotFoundError: It was settled and not kept, was removed, or never was.
            InvalidJobIdError: It is not a job id.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        return read_attempts(await self._job(job_id))

    async def oldest_pending(self, queue: str) -> JobInfo | None:
        """Read the pending job of a queue that is first in line, whatever its priority.

        A reader goes by ids: a job that was requeued, and a later step of a run, stands where it
        stood at first. It has no index, either: behind many jobs of other queues it takes long.

        Args:
            queue: Queue name.

        Returns:
            The job, without its payload; `None` if none is pending.

        Raises:
            InvalidQueueNameError: `queue` is not a queue name.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        page = await self.list_jobs(queue, JobState.PENDING, limit=1)
        return page.jobs[0] if page.jobs else None

    async def get_run(self, run_id: str) -> RunStatus:
        """Read where a run is in its life.

        Args:
            run_id: Its id, the caller's or the generated one.

        Raises:
            RunNotFoundError: No such run, or its retention has passed.
            InvalidRunIdError: It is not a run id.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.

        Example:
            >>> status = await queue.get_run("order-42")
            >>> print(status.state, status.step_number)
        """
        port = self.port()
        return read_run(await port.call(port.native.get_run, run_id))

    async def step_history(self, run_id: str) -> list[StepRecord]:
        """Read the steps of a run, oldest first: the latest 32, and the present one.

        The last of a run that has ended is the step that ended it.

        Args:
            run_id: Its id.

        Raises:
            RunNotFoundError: No such run, or its retention has passed.
            InvalidRunIdError: It is not a run id.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.

        Example:
            >>> for step in await queue.step_history("order-42"):
            ...     print(step.step_number, step.attempts, step.error)
        """
        port = self.port()
        return read_steps(await port.call(port.native.get_run, run_id))

    async def get_result(self, run_id: str) -> bytes | None:
        """Read what a run has produced.

        Args:
            run_id: Its id.

        Returns:
            The result of a run that succeeded; `None` of one that is live, or ended otherwise.

        Raises:
            RunNotFoundError: No such run, or its retention has passed.
            InvalidRunIdError: It is not a run id.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self.port()
        return await port.call(port.native.get_result, run_id)

    async def list_memos(
        self, run_id: str, cursor: str | None = None, limit: int = 100
    ) -> MemoPage:
        """List the memos of a run, by step. Those in a `MemoStore` are not among them.

        Args:
            run_id: Its id.
            cursor: Where to go on: `MemoPage.cursor` of the page before.
            limit: At most this many, 1 to 1,000.

        Raises:
            RunNotFoundError: No such run, or its retention has passed.
            InvalidRunIdError: It is not a run id.
            InvalidArgumentError: `cursor` is not what a page gave, or `limit` is out of bounds.
            MemoCorruptedError: A memo is damaged.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_count("limit", limit, _taquba.LIST_COUNT_MAX)
        port = self.port()
        page, cursor = await port.call(port.native.list_memos, run_id, cursor, limit)
        return MemoPage([read_memo(memo) for memo in page], cursor)

    async def get_memo(self, run_id: str, step_number: int, key: str) -> bytes | None:
        """Read a memo of a run, live or ended. Those in a `MemoStore` are read there.

        Args:
            run_id: Its id.
            step_number: The step that wrote it, 0 to 4,294,967,295.
            key: Its key, as the step gave it.

        Returns:
            The value; `None` if there is no such memo, or not any more.

        Raises:
            RunNotFoundError: No such run, or its retention has passed.
            InvalidRunIdError: `run_id` is not a run id.
            MemoCorruptedError: The memo is damaged.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        check_count("step_number", step_number, _STEP_NUMBER_MAX, minimum=0)
        check_instance("key", key, str)
        encoded = key.encode("utf-8", "surrogatepass")
        port = self.port()
        return await port.call(_taquba.read_memo, port.native, run_id, step_number, encoded)

    async def list_runs(
        self,
        queue: str | None = None,
        state: RunState | Iterable[RunState] | None = None,
        *,
        run_id_prefix: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> RunPage:
        """List runs, the latest submission first.

        Runs that change their state between two pages may be missed or seen twice.

        Args:
            queue: Only those whose steps are in this queue.
            state: Only those in this state, or in one of several; all if absent.
            run_id_prefix: Only those whose id starts with this.
            cursor: Where to go on: `RunPage.cursor` of the page before.
            limit: At most this many, 1 to 1,000.

        Returns:
            `limit` runs, or fewer if there are no more.

        Raises:
            InvalidArgumentError: `cursor` is not what a page gave, or `limit` is out of bounds.
            InvalidQueueNameError: `queue` is not a queue name.
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.

        Example:
            >>> page = await queue.list_runs("workflow", [RunState.RUNNING, RunState.CANCELLING])
        """
        check_count("limit", limit, _taquba.LIST_COUNT_MAX)
        if run_id_prefix is not None:
            _taquba.check_text("run_id_prefix", run_id_prefix)
        names = state_names(state)
        port = self.port()
        runs: list[RunStatus] = []
        # The engine looks at a bounded number of runs at a time, which need not be those asked for.
        while True:
            page, cursor = await port.call(
                port.native.list_runs, queue, names, run_id_prefix, cursor, limit - len(runs)
            )
            runs += map(read_run, page)
            if cursor is None or len(runs) >= limit:
                return RunPage(runs, cursor)

    async def owner(self) -> Owner | None:
        """Read who owns the store; `None` if the last owner closed it in order.

        Raises:
            FencedError: Another process owns this store now.
            ClosedError: The queue is closed.
        """
        port = self.port()
        owner = await port.call(port.native.owner)
        return None if owner is None else Owner(**owner)

    async def _job(self, job_id: str) -> dict[str, Any]:
        port = self.port()
        return await port.call(port.native.get_job, job_id)


def _state_name(state: JobState) -> str:
    check_instance("state", state, JobState)
    return state.value
