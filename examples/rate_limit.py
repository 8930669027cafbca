"""A provider that allows ten calls at once and a new one every 20 ms, and answers 429 to others.

A call that is refused is put off for as long as the provider says: it costs no attempt, it holds no
place, and no call is lost.

    python examples/rate_limit.py
"""

import asyncio
import time

from taquba import Claim, Postponed, Queue, run_worker

CALL_COUNT, BURST, EVERY_SECONDS = 60, 10, 0.02


class Provider:
    """Somebody else's service. `Retry-After` is what `ask` returns, 0 if the call was taken."""

    def __init__(self) -> None:
        self.next_at = 0.0
        self.taken_count = 0

    def ask(self) -> float:
        """Takes the call, or says how long to wait."""
        now = time.monotonic()
        self.next_at = max(self.next_at, now - (BURST - 1) * EVERY_SECONDS)
        wait = self.next_at - now
        if wait <= 0:
            self.taken_count += 1
            self.next_at += EVERY_SECONDS
        return max(wait, 0.0)


async def main() -> None:
    """Has all calls made, as fast as the provider allows."""
    provider, shutdown, refused = Provider(), asyncio.Event(), []

    async def call(job: Claim) -> None:
        if (wait := provider.ask()) > 0:
            refused.append(job.job_id)
            raise Postponed("429 Too Many Requests", retry_after=wait)
        if provider.taken_count == CALL_COUNT:
            shutdown.set()

    async with Queue.open("memory://") as queue:
        await queue.enqueue_batch("calls", [b"prompt"] * CALL_COUNT)
        await run_worker(queue, "calls", call, shutdown=shutdown)
        counts = (await queue.stats()).queues["calls"]
    print(f"answered: {counts.acked_total}, given up: {counts.dead_count}")
    print("some were refused and put off:", len(refused) > 0)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
#
# answered: 60, given up: 0
# some were refused and put off: True
