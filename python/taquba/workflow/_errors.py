"""What a runner raises to say how a step failed."""

from typing import Self, final

from taquba._checks import Seconds, optional_duration

__all__ = ["StepError"]


@final
class StepError(Exception):
    """A step failed, and the runner knows whether trying again can help.

    Raise `StepError.transient(...)` or `StepError.permanent(...)`. Any other exception counts as
    transient.

    Args:
        message: Why; it becomes the run's error if the run fails of it.
        is_permanent: Whether trying again cannot help.
        retry_after: How long from now the step may be tried again.

    Example:
        >>> raise StepError.permanent("the account was deleted")
        Traceback (most recent call last):
        taquba.workflow.StepError: the account was deleted
    """

    def __init__(
        self,
        message: str,
        *,
        is_permanent: bool = False,
        retry_after: Seconds | None = None,
    ) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent
        self.retry_after = optional_duration("retry_after", retry_after)

    @classmethod
    def transient(cls, message: str, retry_after: Seconds | None = None) -> Self:
        """Say that a retry may help: later, until `max_attempts`, then the run fails.

        Args:
            message: Why.
            retry_after: How long from now the step may be tried again, as a server asked for it;
                with the backoff of the workflow's queue if absent.

        Raises:
            InvalidArgumentError: `retry_after` is outside its bounds.
        """
        return cls(message, retry_after=retry_after)

    @classmethod
    def permanent(cls, message: str) -> Self:
        """Say that no retry can help: the step is dead-lettered and its run fails at once."""
        return cls(message, is_permanent=True)
