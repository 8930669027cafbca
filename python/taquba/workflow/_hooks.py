"""Hooks: who is told that a run has ended."""

import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Final, Protocol, final

from taquba._checks import check_instance, refuse_type
from taquba._taquba import RunOutcome
from taquba.queue import Effects
from taquba.workflow._status import TerminalStatus

if TYPE_CHECKING:
    from taquba.workflow._run import RunSpec

__all__ = [
    "AnyHook",
    "NoopTerminalHook",
    "TerminalHook",
    "check_hook",
    "check_submission",
    "observed_by",
]

_ALL: Final = frozenset(TerminalStatus)


class TerminalHook(Protocol):
    """Is told of the end of each run.

    A hook may have two more methods:

    - `observes() -> bool | Collection[TerminalStatus]` says which ends it wants to hear of: all,
      none, or these. Others are not announced, which saves a row per run. It is asked once, by
      `WorkflowRuntime`. Without it, a hook hears of all.
    - `check_submission(spec)` is called with each `RunSpec` by `submit` and `submit_many`, before
      anything is written; what it raises is raised there, and nothing is submitted.
    """

    async def on_termination(self, outcome: RunOutcome) -> Effects | None:
        """Hear that a run has ended.

        Called at least once per run, after its end is durable, however it ended; after a crash
        maybe again. Raising has it called again, with the backoff of the workflow's queue, up to
        25 times.

        Args:
            outcome: How the run ended.

        Returns:
            `None`, or `Effects` to apply in the commit that records that the hook was told: once,
            however often it is called. Effects that are refused count as a failure of the hook.
        """


AnyHook = (
    TerminalHook
    | Callable[[RunOutcome], Awaitable[Effects | None]]
    | Callable[[RunOutcome], Effects | None]
)
"""A hook object, or a bare function; a plain one runs in a thread."""


@final
class NoopTerminalHook:
    """A hook for those who need none."""

    def observes(self) -> bool:
        """Nothing is to be announced."""
        return False

    async def on_termination(self, outcome: RunOutcome) -> None:
        """Do nothing."""


def observed_by(hook: AnyHook) -> frozenset[TerminalStatus]:
    """Return which ends a hook wants to hear of.

    Raises:
        ArgumentTypeError: It has said something else.
    """
    observes = getattr(hook, "observes", None)
    wanted = True if observes is None else observes()
    if isinstance(wanted, bool):
        return _ALL if wanted else frozenset()
    if isinstance(wanted, str) or not isinstance(wanted, Collection):
        refuse_type("observes()", wanted, "return `bool`, or a collection of `TerminalStatus`")
    for status in wanted:
        check_instance("observes()", status, TerminalStatus)
    return frozenset(wanted)


def check_hook(hook: AnyHook) -> None:
    """Refuse a hook whose `check_submission` is no function."""
    check = getattr(hook, "check_submission", None)
    if check is not None and not callable(check):
        refuse_type("check_submission", check, "make it a method that takes a `RunSpec`")


async def check_submission(hook: AnyHook, specs: "Collection[RunSpec]") -> None:
    """Have a hook refuse runs before they are submitted.

    Raises:
        Exception: What the hook raised.
    """
    check = getattr(hook, "check_submission", None)
    if check is None:
        return
    for spec in specs:
        answer = check(spec)
        if inspect.isawaitable(answer):
            await answer
