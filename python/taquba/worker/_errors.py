"""What ends a job otherwise than by its return."""

from typing import final

__all__ = ["JobTimeoutError", "PermanentFailure"]


@final
class PermanentFailure(Exception):  # noqa: N818 - a verdict about the job, not an error of ours
    """A job failed for good: it is dead-lettered at once. Any other exception has it tried again.

    Args:
        reason: Why; kept with the job, cut at 4 KiB.

    Example:
        >>> raise PermanentFailure("the account was deleted")
        Traceback (most recent call last):
        taquba.worker._errors.PermanentFailure: the account was deleted
    """

    def __init__(self, reason: str = "the worker gave no reason") -> None:
        super().__init__(reason)
        self.reason = reason


@final
class JobTimeoutError(TimeoutError):
    """A job took longer than `job_timeout`. Raised inside the loop only, to be told apart."""
