"""Later: a job after a delay, called before its time, and a report that orders its successor.

python examples/later.py
"""

import asyncio
from datetime import UTC, datetime, timedelta

from taquba import Claim, Effects, EnqueueOptions, Queue, run_worker

EVERY = timedelta(seconds=0.2)  # timedelta(days=1), in a service
REPORT_COUNT = 3


def report(due: datetime, number: int) -> tuple[bytes, EnqueueOptions]:
    """A report, due at a date: that of the one before and a day, so that nothing drifts."""
    headers = {"number": str(number)}
    return due.isoformat().encode(), EnqueueOptions(run_at=due, headers=headers)


async def main() -> None:
    """Works until the third report."""
    async with Queue.open("memory://") as queue:
        lunch = await queue.enqueue("jobs", b"lunch", EnqueueOptions(delay=6 * 3600))
        await queue.enqueue("jobs", *report(datetime.now(UTC) + EVERY, 1))
        await queue.wake_scheduled(lunch)  # hungry already
        shutdown = asyncio.Event()

        async def work(job: Claim) -> Effects | None:
            if job.job_id == lunch:
                print("lunch")
                return None
            due = datetime.fromisoformat(job.payload.decode())
            number = int(job.headers["number"])
            print("report", number)
            if number == REPORT_COUNT:
                shutdown.set()
                return None
            # One commit with the end of this one: there is always exactly one next report.
            return Effects().enqueue("jobs", *report(due + EVERY, number + 1))

        await run_worker(queue, "jobs", work, shutdown=shutdown)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
#
# lunch
# report 1
# report 2
# report 3
