"""The worker loop: jobs of a queue, run as they come."""

from taquba.worker._errors import PermanentFailure
from taquba.worker._worker import Worker, run_worker

__all__ = ["PermanentFailure", "Worker", "run_worker"]
