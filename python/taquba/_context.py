"""Which step a task or thread works on."""

from contextvars import ContextVar
from typing import Final

from taquba._taquba import Step

__all__ = ["current"]

current: Final[ContextVar[Step | None]] = ContextVar("taquba.workflow.step", default=None)
"""Set in the context of each step's task; hooks, jobs and what ports do see `None`."""
