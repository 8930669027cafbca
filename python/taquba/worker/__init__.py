"""The worker loop: jobs of a queue, run as they come."""

from taquba.worker._errors import PermanentFailure, Postponed, TransientFailure
from taquba.worker._worker import Worker, run_worker

__all__ = ["PermanentFailure", "Postponed", "TransientFailure", "Worker", "run_worker"]
