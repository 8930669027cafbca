"""Jobs that go in and out by hand: how they are enqueued, and a queue that is emptied."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from taquba import Queue
from taquba.bench._lab import Seen
from taquba.bench._result import NotDoneError

__all__ = ["Shape", "check_ids", "claim_and_ack"]

# Longer than any round, so that no lease ends meanwhile.
_LEASE_SECONDS = 3600.0


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How jobs are enqueued.

    Args:
        callers: Calls that are under way at a time.
        batch: Jobs of one call.
        full: Jobs of a round.
        quick: Jobs of a quick round.
    """

    callers: int = 1
    batch: int = 1
    full: int
    quick: int

    @property
    def name(self) -> str:
        """What tells this case from the others."""
        if self.batch > 1:
            return f"batches of {self.batch:,}"
        return f"{self.callers} caller{'s' if self.callers > 1 else ''}"


async def claim_and_ack(queue: Queue, name: str, width: int, seen: Seen) -> None:
    """Empties a queue.

    Args:
        queue: An open queue.
        name: The queue of the jobs.
        width: Jobs of one claim, which are then acked side by side.
        seen: Checks the payloads; it is complete when this returns.

    Raises:
        NotDoneError: A payload is missing, or is there that nobody sent.
    """
    while claims := await queue.claim_batch(name, width, lease=_LEASE_SECONDS):
        for claim in claims:
            seen.add(claim.payload)
        await asyncio.gather(*(queue.ack(claim) for claim in claims))
    seen.check()


def check_ids(job_ids: Sequence[str]) -> None:
    """Refuse to go on if two jobs have one id.

    Raises:
        NotDoneError: Two of them have.
    """
    if len(set(job_ids)) != len(job_ids):
        message = f"{len(job_ids)} jobs have {len(set(job_ids))} ids"
        raise NotDoneError(message)
