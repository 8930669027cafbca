"""The switch of tracing: who is told what jobs and runs go through, or nobody.

Whoever traces replaces the call it is told of: it makes the call itself, with a span around it. So
what is not traced pays for one look at `active`, and imports nothing.

Invariants:
    1. `active` is read anew for each call, and set by `taquba.integrations` alone.
    2. Tracing changes no outcome: what a call returns or raises passes through.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from taquba._delivery import CoroutineFunction
    from taquba._taquba import Claim, RunOutcome, Step
    from taquba.options import NewJob
    from taquba.workflow import RunSpec

__all__ = ["Answer", "Tracer", "active"]

_T = TypeVar("_T")
_A = TypeVar("_A", bound="Answer")


class Answer(Protocol):
    """What a receiver of webhooks did."""

    @property
    def end(self) -> str:
        """`"answered"`, or how else it ended."""

    @property
    def status(self) -> int:
        """The status of HTTP, 0 if there was no answer."""

    @property
    def detail(self) -> str:
        """What went wrong."""


class Tracer(Protocol):
    """Makes calls, and records them. Used from any event loop."""

    field: str
    """The header that says that a delivery is traced. Others are not shown to the tracer."""

    def submit(
        self,
        queue: str,
        runs: "list[tuple[str, RunSpec]]",
        call: "Callable[[list[tuple[str, RunSpec]]], Awaitable[_T]]",
    ) -> Awaitable[_T]:
        """Have runs submitted, with headers that say where they come from."""

    def enqueue(
        self,
        queue: str,
        jobs: "list[NewJob]",
        call: "Callable[[list[NewJob]], Awaitable[_T]]",
    ) -> Awaitable[_T]:
        """Have jobs enqueued, with headers that say where they come from."""

    def told(self, jobs: "list[NewJob]") -> "list[NewJob]":
        """Return jobs with headers that say what the caller works on."""

    def step(self, step: "Step", run: "CoroutineFunction") -> Awaitable[Any]:
        """Have a step done. Its task is the step's own."""

    def job(self, job: "Claim", process: "CoroutineFunction") -> Awaitable[Any]:
        """Have a job done. Its task is the job's own."""

    def hook(self, outcome: "RunOutcome", tell: "CoroutineFunction") -> Awaitable[Any]:
        """Have a hook told."""

    def webhook(
        self,
        host: str,
        headers: Mapping[str, str],
        send: "Callable[[Mapping[str, str]], Awaitable[_A]]",
    ) -> "Awaitable[_A]":
        """Have a request sent, with headers that say where it comes from."""


active: Tracer | None = None
"""Who traces; `None` for nobody."""
