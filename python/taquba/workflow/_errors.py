"""What a runner raises to say how a step failed."""

from typing import Self, final

__all__ = ["StepError"]


@final
class StepError(Exception):
    """A step failed, and the runner knows whether trying again can help.

    Raise `StepError.transient(...)` or `StepError.permanent(...)`. Any other exception counts as
    transient.

    Args:
        message: Why; it becomes the run's error if the run fails of it.
        is_permanent: Whether trying again cannot help.

    Example:
        >>> raise StepError.permanent("the account was deleted")
        Traceback (most recent call last):
        taquba.workflow.StepError: the account was deleted
    """

    def __init__(self, message: str, *, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent

    @classmethod
    def transient(cls, message: str) -> Self:
        """Say that a retry may help: with backoff, until `max_attempts`, then the run fails."""
        return cls(message)

    @classmethod
    def permanent(cls, message: str) -> Self:
        """Say that no retry can help: the step is dead-lettered and its run fails at once."""
        return cls(message, is_permanent=True)
