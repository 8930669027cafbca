"""The durable queue: enqueue, claim, settle, look."""

from taquba._taquba import Claim
from taquba.queue._cancel import CancelToken
from taquba.queue._effects import Effects
from taquba.queue._job import Attempt, AttemptEnd, JobCancelled, JobInfo, JobPage, JobState
from taquba.queue._kv import KvPage
from taquba.queue._memos import MemoInfo, MemoPage
from taquba.queue._metrics import Histogram, Metrics, QueueMetrics, StorageMetric
from taquba.queue._owner import Owner
from taquba.queue._queue import Queue
from taquba.queue._reader import QueueReader
from taquba.queue._run import RunPage, RunState, RunStatus, StepRecord
from taquba.queue._stats import QueueStats, Stats
from taquba.queue._verify import Problem, VerifyReport, verify

__all__ = [
    "Attempt",
    "AttemptEnd",
    "CancelToken",
    "Claim",
    "Effects",
    "Histogram",
    "JobCancelled",
    "JobInfo",
    "JobPage",
    "JobState",
    "KvPage",
    "MemoInfo",
    "MemoPage",
    "Metrics",
    "Owner",
    "Problem",
    "Queue",
    "QueueMetrics",
    "QueueReader",
    "QueueStats",
    "RunPage",
    "RunState",
    "RunStatus",
    "Stats",
    "StepRecord",
    "StorageMetric",
    "VerifyReport",
    "verify",
]
