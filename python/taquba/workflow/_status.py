"""How a run can end."""

import enum
from typing import final

__all__ = ["TerminalStatus"]


@final
class TerminalStatus(enum.Enum):
    """How a run ended. `str()` gives the stable, lower-case wire name."""

    Succeeded = "succeeded"
    """A step returned `Succeed`."""
    Failed = "failed"
    """A step returned `Fail`, or failed for good."""
    Cancelled = "cancelled"
    """A step returned `Cancel`, or the run was cancelled from outside."""

    def __str__(self) -> str:
        """Return the wire name."""
        return self.value
