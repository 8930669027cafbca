"""Crash points: the instants of a run at which its process may die, and a script of when it does.

Invariants:
    1. A life passes its points in one order; the process dies at one of them at most.
    2. The store is copied in the very call in which the process dies: what its code has sent by
       then and is not durable is lost, as with a kill.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, final

from taquba.testing._places import Place

__all__ = ["CrashPoint", "Delivery", "Moment", "Script"]


@final
class Moment(enum.Enum):
    """What a process was about to do when it died."""

    SUBMIT = "before the submission"
    """The run was not submitted yet."""
    BEGIN = "before its first line"
    """The step was delivered; what came before it is durable."""
    WAIT = "at the beginning of an await"
    """The code waits, and what it asked taquba for is not durable yet."""
    RESUME = "at the end of an await"
    """What it waited for is there, and its next line has not run."""
    RETURN = "before the commit of its outcome"
    """The code has returned or raised, and nothing of it is durable."""
    END = "after the end of the run"
    """Everything is durable."""


_AT_AWAIT: Final = frozenset({Moment.WAIT, Moment.RESUME})


@final
@dataclass(frozen=True, slots=True)
class Delivery:
    """One call of a runner or hook.

    Args:
        kind: Who is called: the runner with a step, or the hook.
        step_number: The step; for a hook, the one that ended the run.
        attempts: Deliveries so far: 1 on the first.
        begins: Where the code begins, if it is written in Python.
    """

    kind: Literal["step", "hook"]
    step_number: int
    attempts: int
    begins: Place | None

    @property
    def name(self) -> str:
        """What reports call it."""
        if self.kind == "hook":
            return "hook"
        again = f", delivery {self.attempts}" if self.attempts > 1 else ""
        return f"step {self.step_number}{again}"


@final
@dataclass(frozen=True, slots=True)
class CrashPoint:
    """An instant at which a process may die.

    Args:
        index: Its number among all points of the run, from 0.
        delivery: The call that is under way; `None` before the first and after the last one.
        moment: What is about to happen.
        await_number: The number of the await in this delivery, from 1; `None` if at none.
        where: The lines that wait, that of runner or hook first; empty if none does.
    """

    index: int
    delivery: Delivery | None
    moment: Moment
    await_number: int | None = None
    where: tuple[Place, ...] = ()

    def __str__(self) -> str:
        """Say where it is, for a reader."""
        if self.delivery is None:
            return self.moment.value
        moment = self.moment.value
        if self.moment in _AT_AWAIT:
            moment = moment.replace("an await", f"await {self.await_number}")
        lines = ", in ".join(map(str, self.where))
        return f"{self.delivery.name}, {moment}{f' ({lines})' if lines else ''}"


@final
class Script:
    """The life of one process: which points it passes, and at which of them it dies.

    Args:
        dies_at: The index of the point; `None` lives to the end.
        on_death: Is called when it dies, before anything else can happen.
        sees_memos: Whether there are points inside of computations of memos.
    """

    def __init__(
        self,
        dies_at: int | None = None,
        on_death: Callable[[], None] = lambda: None,
        *,
        sees_memos: bool = True,
    ) -> None:
        self.points: list[CrashPoint] = []
        self.death: CrashPoint | None = None
        self.sees_memos = sees_memos
        self._dies_at = dies_at
        self._on_death = on_death

    def reach(
        self,
        moment: Moment,
        delivery: Delivery | None = None,
        await_number: int | None = None,
        where: tuple[Place, ...] = (),
    ) -> None:
        """Pass a point, or die at it. The dead pass none."""
        if self.death is not None:
            return
        point = CrashPoint(len(self.points), delivery, moment, await_number, where)
        self.points.append(point)
        if point.index == self._dies_at:
            self.death = point
            self._on_death()
