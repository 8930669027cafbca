"""Hooks: who is told that a run has ended."""

from typing import Protocol, final

from taquba._taquba import RunOutcome

__all__ = ["NoopTerminalHook", "TerminalHook", "observes_runs"]


class TerminalHook(Protocol):
    """Is told of the end of each run.

    A hook may also have a method `observes() -> bool`. If it returns `False`, runs that are
    submitted with it are not announced, which saves a row per run; it is asked once, by
    `WorkflowRuntime`.
    """

    async def on_termination(self, outcome: RunOutcome) -> None:
        """Hear that a run has ended.

        Called at least once per run, after its end is durable, however it ended; after a crash
        maybe again. Raising has it called again, with backoff, until the attempts of the
        workflow's queue are used up.

        Args:
            outcome: How the run ended.
        """


@final
class NoopTerminalHook:
    """A hook for those who need none."""

    def observes(self) -> bool:
        """Nothing is to be announced."""
        return False

    async def on_termination(self, outcome: RunOutcome) -> None:
        """Do nothing."""


def observes_runs(hook: TerminalHook) -> bool:
    """Return whether a hook wants to hear of runs."""
    observes = getattr(hook, "observes", None)
    return True if observes is None else bool(observes())
