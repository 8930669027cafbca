# mypy: disable-error-code="import-not-found, untyped-decorator"
"""What the worker runs: one activity, and the workflows that call it."""

import time
from datetime import timedelta

from temporalio import activity, workflow

from benches.peers.protocol import STEPS_PER_RUN

TIMEOUT = timedelta(minutes=5)


class Handler:
    """The activity: gives back what it got, and notes that it did."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.seen: list[str] = []

    @activity.defn(name="step")
    async def step(self, content: str) -> str:
        """One job or step."""
        if not self.seen:
            self.first.append(time.perf_counter())
        self.seen.append(content)
        return content


@workflow.defn
class Run:
    """A run: one activity after the other; each gets the result of the one before."""

    @workflow.run
    async def run(self, content: str, step_count: int) -> str:
        """The result is the input if every step did what it should."""
        for _ in range(step_count):
            content = await workflow.execute_activity(
                "step", content, result_type=str, start_to_close_timeout=TIMEOUT
            )
        return content


RUN_STEPS = {"steps": STEPS_PER_RUN, "latency": 1}
