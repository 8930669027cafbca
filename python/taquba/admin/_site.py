"""What all requests to one app share: the store, the runtimes, and what may be done."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn, final

from taquba._checks import check_instance, refuse
from taquba._taquba import Step
from taquba.admin._guard import Guard
from taquba.admin._overview import Overview
from taquba.admin._ownership import Ownership
from taquba.admin._readiness import Readiness
from taquba.admin._refusal import Refusal
from taquba.admin._sessions import Sessions
from taquba.admin._streams import Streams
from taquba.queue import Queue, QueueReader
from taquba.workflow import WorkflowRuntime

__all__ = ["Site", "runtimes_by_queue"]

Source = Queue | QueueReader
"""What an app looks at: the owner of a store, or a reader of it."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """One app.

    Args:
        source: What it looks at.
        runtimes: What submits runs, by the queue of their steps.
        allow_actions: Whether it changes anything.
        show_payloads: Whether payloads, results and values are shown.
        sessions: Who has logged in.
        guard: Who may ask.
        overview: What has been counted lately.
        ownership: Whether the source is still the owner, if it was.
        readiness: Whether the store answers.
        streams: Who listens to events.
    """

    source: Source
    runtimes: Mapping[str, WorkflowRuntime]
    allow_actions: bool
    show_payloads: bool
    sessions: Sessions
    guard: Guard
    overview: Overview
    ownership: Ownership
    readiness: Readiness
    streams: Streams

    @property
    def can_act(self) -> bool:
        """Whether it changes anything."""
        return self.allow_actions and self.is_owner

    @property
    def is_owner(self) -> bool:
        """Whether it looks at the store as its owner, as far as is known."""
        return isinstance(self.source, Queue) and not self.ownership.is_lost

    def start(self) -> None:
        """Let streams of events go on, also after an app was stopped."""
        self.streams.stopped.clear()

    def stop(self) -> None:
        """End what goes on by itself: sampling, and streams of events."""
        self.overview.sampler.stop()
        self.streams.stopped.set()

    def queue(self) -> Queue:
        """Return the queue that is changed.

        Raises:
            Refusal: Nothing is changed here.
        """
        if not self.allow_actions or not isinstance(self.source, Queue):
            message = "nothing is changed here: ask the process that owns the store"
            raise Refusal(403, "read-only", message)
        return self.source

    def check_shows_payloads(self) -> None:
        """Refuse to show a payload if they are hidden.

        Raises:
            Refusal: They are.
        """
        if not self.show_payloads:
            message = "payloads are hidden here: `create_app` takes `show_payloads`"
            raise Refusal(403, "payloads-hidden", message)

    def canceller(self, queue: str) -> WorkflowRuntime:
        """Return what cancels runs of a queue: its runtime, whose hook is told at once.

        Without one the hook is told by whoever works on that queue.
        """
        runtime = self.runtimes.get(queue)
        return WorkflowRuntime(self.queue(), _never) if runtime is None else runtime


async def _never(_step: Step) -> NoReturn:
    message = "this runtime only cancels"
    raise AssertionError(message)


def runtimes_by_queue(
    source: Source, runtimes: Iterable[WorkflowRuntime]
) -> dict[str, WorkflowRuntime]:
    """Return runtimes by the queue of their steps.

    Raises:
        InvalidArgumentError: One belongs to another store, or two to one queue.
    """
    found: dict[str, WorkflowRuntime] = {}
    for runtime in runtimes:
        check_instance("runtimes", runtime, WorkflowRuntime)
        # What a runtime was made of is nobody's business but ours.
        queue, name = runtime._queue, runtime._queue_name  # noqa: SLF001
        if queue is not source:
            refuse("runtimes", name, "give runtimes of the queue that is looked at")
        if name in found:
            refuse("runtimes", name, "give one runtime for each queue")
        found[name] = runtime
    return found
