"""The durable queue: enqueue, claim, settle, look."""

from taquba._taquba import Claim
from taquba.queue._cancel import CancelToken
from taquba.queue._effects import Effects
from taquba.queue._job import Attempt, AttemptEnd, JobCancelled, JobInfo, JobPage, JobState
from taquba.queue._kv import KvPage
from taquba.queue._owner import Owner
from taquba.queue._queue import Queue
from taquba.queue._reader import QueueReader
from taquba.queue._run import RunPage, RunState, RunStatus
from taquba.queue._stats import QueueStats, Stats
from taquba.queue._verify import Problem, VerifyReport, verify

__all__ = [
    "Attempt",
    "AttemptEnd",
    "CancelToken",
    "Claim",
    "Effects",
    "JobCancelled",
    "JobInfo",
    "JobPage",
    "JobState",
    "KvPage",
    "Owner",
    "Problem",
    "Queue",
    "QueueReader",
    "QueueStats",
    "RunPage",
    "RunState",
    "RunStatus",
    "Stats",
    "VerifyReport",
    "verify",
]
