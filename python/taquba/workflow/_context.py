"""Which step a task or thread works on, for those who log."""

import logging
from contextvars import ContextVar
from typing import Final, final

from taquba._taquba import Step

__all__ = ["StepLogFilter", "current", "current_step"]

current: Final[ContextVar[Step | None]] = ContextVar("taquba.workflow.step", default=None)
"""Set by the dispatcher in the context of each step's task."""


def current_step() -> Step | None:
    """Return the step that the runner around this call works on; `None` outside of runners.

    Known in the runner's task, in tasks that it starts, in the thread of a plain function, and in
    threads started with `asyncio.to_thread`.
    """
    return current.get()


@final
class StepLogFilter(logging.Filter):
    """Adds the step to each record: `run_id`, `step_number`, `attempts` and `queue`.

    They are `None` for records that were not logged inside a runner. What a record has already,
    from `extra` for example, stays. No record is held back. Give it to a handler, so that it sees
    the records of all loggers.

    Example:
        >>> handler = logging.StreamHandler()
        >>> handler.addFilter(StepLogFilter())
        >>> handler.setFormatter(logging.Formatter("%(run_id)s/%(step_number)s %(message)s"))
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is missing, and let the record pass."""
        step = current.get()
        known = record.__dict__
        known.setdefault("run_id", None if step is None else step.run_id)
        known.setdefault("step_number", None if step is None else step.step_number)
        known.setdefault("attempts", None if step is None else step.attempts)
        known.setdefault("queue", None if step is None else step.queue)
        return True
