"""The durable queue: enqueue, claim, settle."""

from taquba._taquba import Claim
from taquba.queue._queue import Queue
from taquba.queue._stats import QueueStats, Stats

__all__ = ["Claim", "Queue", "QueueStats", "Stats"]
