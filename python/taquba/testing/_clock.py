"""Virtual time: hours that pass in milliseconds, with everything done that falls due meanwhile."""

import asyncio
from datetime import datetime, timedelta
from typing import Final, Never, final

from taquba import _taquba
from taquba._checks import Seconds, check_instance
from taquba._taquba import MockClock
from taquba.queue import Queue
from taquba.testing._settling import at_rest, under_way

__all__ = ["VirtualClock"]

_TIMEOUT: Final = timedelta(seconds=30)

# Each instant costs some questions to the engine, and a look at every job. Beyond this many in one
# advance, neighbours are taken together.
_INSTANT_COUNT_MAX: Final = 250


@final
class VirtualClock:
    """Time that passes only when a test says so, and takes the work that falls due with it.

    It moves the queues that were opened with it by `open_queue`, or given to `watch`. One clock may
    serve several.

    Args:
        now: What it shows at first, an aware `datetime`; 2030-01-01 in UTC if absent.

    Example:
        >>> clock = VirtualClock()
        >>> async with open_queue(clock=clock) as queue, WorkflowRuntime(queue, runner) as runtime:
        ...     handle = await runtime.submit(RunSpec(b""))
        ...     await clock.advance(86_400)
        ...     outcome = await handle.outcome(timeout=5)
    """

    def __init__(self, now: datetime | None = None) -> None:
        self._mock = MockClock(now)
        self._queues: list[Queue] = []

    @property
    def mock(self) -> MockClock:
        """What `OpenOptions.clock` takes, for a queue that is opened otherwise."""
        return self._mock

    def now(self) -> datetime:
        """Return what the clock shows, in UTC."""
        return self._mock.now()

    def watch(self, queue: Queue) -> None:
        """Have `advance` and `settle` wait for the work of a queue.

        Args:
            queue: An open queue, whose `OpenOptions.clock` is `mock`. Forgotten when it is closed.
        """
        check_instance("queue", queue, Queue)
        if queue not in self._queues:
            self._queues.append(queue)

    def move(self, seconds: Seconds) -> None:
        """Move the clock forward and wait for nothing, as `MockClock.advance` does.

        Args:
            seconds: How far: `float` seconds or a `timedelta`.
        """
        self._mock.advance(seconds)

    async def settle(self, timeout: Seconds = _TIMEOUT) -> None:  # noqa: ASYNC109 - as elsewhere
        """Wait until runtimes and workers have done what can be done now. No time passes.

        Claims that the test itself holds are not waited for, and neither is the delivery that
        calls this.

        Args:
            timeout: For how long, in real time.

        Raises:
            TimeoutError: Work is still under way; the message says which, and where it waits.
        """
        await self.advance(0, timeout=timeout)

    async def advance(self, seconds: Seconds, *, timeout: Seconds = _TIMEOUT) -> None:  # noqa: ASYNC109 - as elsewhere
        """Let time pass: each job that falls due meanwhile is worked off at its own instant.

        So three steps that wait a day each are done after one call with three days. What is
        running when this is called is finished first, and what falls due in the end is finished
        when this returns. What waits for the test cannot be finished: use `move` then.

        Above 250 different instants in one call, neighbours are taken together.

        Args:
            seconds: How far: `float` seconds or a `timedelta`.
            timeout: For how long, in real time.

        Raises:
            TimeoutError: Work is still under way; the message says which, and where it waits.
        """
        limit = _taquba.duration("timeout", timeout).total_seconds()
        target = self.now() + _taquba.duration("seconds", seconds)
        try:
            async with asyncio.timeout(limit) as scope:
                await self._reach(target)
        except TimeoutError:
            if not scope.expired():
                raise
        if scope.expired():
            self._refuse(limit)

    async def _reach(self, target: datetime) -> None:
        while True:
            due_times = await at_rest(self._queues)
            self._queues = list(due_times)
            instants = {instant for times in due_times.values() for instant in times}
            ahead = sorted(instant for instant in instants if self.now() < instant <= target)
            if not ahead and self.now() >= target:
                return
            instant = ahead[len(ahead) // _INSTANT_COUNT_MAX] if ahead else target
            self._mock.advance(instant - self.now())

    def _refuse(self, limit: float) -> Never:
        busy = [work for queue in self._queues for work in under_way(queue)]
        what = "; ".join(busy) or "jobs still come and go"
        message = f"the work has not come to rest after {limit} s of real time: {what}"
        raise TimeoutError(message)

    def __repr__(self) -> str:
        """Show the time."""
        return f"VirtualClock({self.now().isoformat()})"
