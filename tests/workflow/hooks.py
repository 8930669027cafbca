"""A hook that remembers."""

import asyncio

from taquba.workflow import RunOutcome


class RecordingHook:
    """Keeps every outcome it is told; fails the first ``failure_count`` times."""

    def __init__(self, failure_count: int = 0) -> None:
        self.outcomes: list[RunOutcome] = []
        self.call_count = 0
        self.failure_count = failure_count
        self._told = asyncio.Event()

    async def on_termination(self, outcome: RunOutcome) -> None:
        self.call_count += 1
        if self.call_count <= self.failure_count:
            raise RuntimeError("the receiver is down")
        self.outcomes.append(outcome)
        self._told.set()

    async def told(self) -> RunOutcome:
        """The first outcome, once there is one."""
        async with asyncio.timeout(20):
            await self._told.wait()
        return self.outcomes[0]
