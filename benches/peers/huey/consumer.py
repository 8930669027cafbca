# mypy: disable-error-code="import-not-found"
"""The process that consumes.

It is told on its standard input how many jobs to consume, `consume COUNT`, and says on its standard
output which runs have ended and, after the last job, when it took the first one.
"""

import logging
import sys

import tasks

# Threads share one connection behind one lock, yet while one waits for the disk the others work.
WORKER_COUNT = 4
# The queue is polled. This is what an idle consumer waits; the default is 0.1 s, growing to 10 s.
POLL_SECONDS = 0.001


def consume(count: int) -> None:
    """Runs a consumer until so many jobs have ended."""
    tasks.collector.expect(count)
    consumer = tasks.queue.create_consumer(
        workers=WORKER_COUNT,
        worker_type="thread",
        periodic=False,
        initial_delay=POLL_SECONDS,
        max_delay=POLL_SECONDS,
        backoff=1.0,
        check_worker_health=False,
        scheduler_interval=60,
    )
    consumer.start()
    tasks.collector.is_done.wait()
    consumer.stop(graceful=True)
    tasks.say(
        {
            "done": tasks.collector.done_count,
            "distinct": len(set(tasks.collector.seen)),
            "first_at": tasks.collector.first_at,
            "last_at": tasks.collector.last_at,
        }
    )


def main() -> None:
    """Consumes as told."""
    logging.disable(logging.CRITICAL)
    tasks.say({"ready": True})
    for line in sys.stdin:
        consume(int(line.split()[1]))


if __name__ == "__main__":
    main()
