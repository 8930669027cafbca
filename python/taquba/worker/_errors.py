"""What ends a job otherwise than by its return."""

from typing import final

from taquba import _taquba
from taquba._checks import Seconds, optional_duration

__all__ = ["JobTimeoutError", "PermanentFailure", "Postponed", "TransientFailure"]


@final
class PermanentFailure(Exception):  # noqa: N818 - a verdict about the job, not an error of ours
    """A job failed for good: it is dead-lettered at once. Other exceptions have it tried again.

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
class TransientFailure(Exception):  # noqa: N818 - a verdict about the job, not an error of ours
    """A job failed for now, and the worker knows when to try again.

    It is dead-lettered once its attempts are used up, as after any other exception.

    Args:
        message: Why; kept with the job, cut at 4 KiB.
        retry_after: How long from now the job may be tried again; with the backoff of its queue if
            absent.

    Raises:
        InvalidArgumentError: `retry_after` is outside its bounds.

    Example:
        >>> raise TransientFailure("the receiver is busy", retry_after=30)
        Traceback (most recent call last):
        taquba.worker._errors.TransientFailure: the receiver is busy
    """

    def __init__(
        self, message: str = "the worker gave no reason", *, retry_after: Seconds | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after = optional_duration("retry_after", retry_after)


@final
class Postponed(Exception):  # noqa: N818 - a verdict about the job, not an error of ours
    """A job cannot be begun yet: it is delivered later, as if for the first time.

    Its attempt does not count, and nothing of it is kept with the job. A worker that always raises
    this puts its job off for ever.

    Args:
        message: Why; logged at `DEBUG`.
        retry_after: How long from now the job may be delivered again.

    Raises:
        InvalidArgumentError: `retry_after` is outside its bounds.

    Example:
        >>> raise Postponed("the receiver is being left alone", retry_after=30)
        Traceback (most recent call last):
        taquba.worker._errors.Postponed: the receiver is being left alone
    """

    def __init__(self, message: str, *, retry_after: Seconds) -> None:
        super().__init__(message)
        self.retry_after = _taquba.duration("retry_after", retry_after)


@final
class JobTimeoutError(TimeoutError):
    """A job took longer than `job_timeout`. Raised inside the loop only, to be told apart."""
