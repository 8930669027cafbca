"""Making a call, cancelling it after so many turns of the loop, and judging what is left.

What must be seen is not written down: the same scene is played once without the call and once with
the whole of it. A call that was cut short must have left the one or the other, in the queue that
goes on as well as in one that is opened afterwards; a call that had returned, the other.
"""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from taquba import JobState, Queue
from taquba.store import MemoryStore
from tests.interruption.scene import Case, Scene, opened, seen

__all__ = ["NEVER", "Cutting", "Violation"]

NEVER: Final = -1
"""So many turns: the call is not cancelled at all."""
_WAIT_SECONDS_MAX: Final = 20.0


class Violation(AssertionError):  # noqa: N818 - a finding, not a failure of this program
    """A cancelled call left what it must not leave."""


@dataclass(frozen=True)
class Left:
    """What a call has left behind."""

    live: Any
    reopened: Any


class Cutting:
    """The calls of one store, each on a path of its own.

    Args:
        place: A directory, or `None` for memory.
    """

    def __init__(self, place: Path | None) -> None:
        self.counts: Counter[str] = Counter()
        self._place = place
        self._played = 0
        self._allowed: dict[str, tuple[Left, Left]] = {}

    async def cut(self, name: str, case: Case, turns: int) -> bool:
        """Cuts one call short after so many turns, and returns whether it had returned by then.

        Raises:
            Violation: It was done by half, or what it needs was lost.
        """
        if name not in self._allowed:
            before, _ = await self._play(case, None)
            after, _ = await self._play(case, NEVER)
            self._allowed[name] = before, after
        before, after = self._allowed[name]
        left, has_returned = await self._play(case, turns)
        self.counts["interruptions"] += 1
        told = f"{name}, cancelled after {turns} turns"
        for when in ("live", "reopened"):
            found, wanted = getattr(left, when), [getattr(after, when)]
            if not has_returned:
                wanted.append(getattr(before, when))
            if found not in wanted:
                raise Violation(f"{told}, {when}: {found}, and not one of {wanted}")
        # What was sent may still be on its way when it is looked for, and not the other way round.
        was_seen = left.live != before.live and not case.gives_back
        if was_seen and left.reopened != after.reopened:
            raise Violation(f"{told}: seen, and gone after the reopening: {left}")
        # Of what changes nothing, nobody can tell.
        if before != after:
            is_done = left.live == after.live and left.reopened == after.reopened
            self.counts["done" if is_done else "not_done"] += 1
        return has_returned

    async def wake(self, name: str, case: Case, turns: int) -> None:
        """The same while somebody waits for the job that the call brings.

        Raises:
            Violation: The job is there, and whoever waited for it does not get it.
        """
        assert case.wakes is not None
        async with AsyncExitStack() as stack:
            scene = await self._open(stack)
            await case.prepare(scene)
            waiting = asyncio.ensure_future(
                scene.queue.claim_with_wait(case.wakes, timeout=_WAIT_SECONDS_MAX, lease=60.0)
            )
            # The engine has it when something that was sent later is answered.
            await scene.queue.kv_put("barrier", b"")
            ours = await self._claimed(scene.queue, case.wakes)
            await _cancelled_after(turns, case.call(scene))
            await scene.queue.kv_put("barrier", b"again")
            if await self._is_there(scene.queue, case.wakes, ours):
                done, _ = await asyncio.wait((waiting,), timeout=_WAIT_SECONDS_MAX / 2)
                if not done:
                    raise Violation(f"{name}, after {turns} turns: whoever waited for it sleeps on")
            waiting.cancel()
            await asyncio.wait((waiting,))
        self.counts["wake_ups"] += 1

    async def _claimed(self, queue: Queue, name: str) -> set[tuple[str, int]]:
        jobs = (await queue.list_jobs(name, JobState.CLAIMED, limit=1000)).jobs
        return {(job.job_id, job.attempts) for job in jobs}

    async def _is_there(self, queue: Queue, name: str, ours: set[tuple[str, int]]) -> bool:
        """Whether the job is there that was waited for: with whoever waited, or lost on the way."""
        pending = (await queue.list_jobs(name, JobState.PENDING)).jobs
        return bool(pending or await self._claimed(queue, name) - ours)

    async def _open(self, stack: AsyncExitStack) -> Scene:
        self._played += 1
        store = MemoryStore() if self._place is None else self._place
        return await opened(store, f"scene-{self._played}", stack)

    async def _settled(self, case: Case, scene: Scene) -> Any:
        """Looks until two looks are the same: a call may still be on its way, with its payload."""
        last = None
        async with asyncio.timeout(_WAIT_SECONDS_MAX):
            while (look := (await seen(scene.queue), await case.look(scene))) != last:
                last = look
        return last

    async def _play(self, case: Case, turns: int | None) -> tuple[Left, bool]:
        before = asyncio.all_tasks()
        async with AsyncExitStack() as stack:
            scene = await self._open(stack)
            await case.prepare(scene)
            has_returned = False
            if turns is not None:
                has_returned, result = await _cancelled_after(turns, case.call(scene))
                if has_returned and case.undo is not None:
                    await case.undo(result)
            # Calls are carried out in order, so this one comes after the cancelled one.
            await scene.queue.kv_put("barrier", b"")
            live = await self._settled(case, scene)
        left = asyncio.all_tasks() - before
        if left:
            raise Violation(f"tasks are left behind: {left}")
        async with AsyncExitStack() as stack:
            again = await opened(scene.store, scene.path, stack)
            reopened = await seen(again.queue)
        return Left(live, reopened), has_returned


async def _cancelled_after(turns: int, call: Any) -> tuple[bool, Any]:
    """Starts a call and cancels it; whether it had returned by then, and what."""
    task = asyncio.ensure_future(call)
    if turns == NEVER:
        return True, await task
    for _ in range(turns):
        if task.done():
            break
        await asyncio.sleep(0)
    task.cancel()
    try:
        return True, await task
    except asyncio.CancelledError:
        return False, None
