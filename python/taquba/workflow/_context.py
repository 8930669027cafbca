"""Which step a task or thread works on, for those who log."""

import logging
from typing import final

from taquba._context import current
from taquba._taquba import Step

__all__ = ["StepLogFilter", "current_step"]


def current_step() -> Step | None:
    """Return the step that the runner around this call works on; `None` outside of runners.

    Known in the runner's task, in tasks that it starts, in the thread of a plain function, and in
    threads started with `asyncio.to_thread`; not in threads that are started otherwise. What is
    started there and goes on after the step keeps it, with its payload.
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
