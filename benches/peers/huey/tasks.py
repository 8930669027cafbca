# mypy: disable-error-code="import-not-found, untyped-decorator, misc, no-any-unimported"
"""The queue and its tasks, for those who call and for the one that consumes.

A module of its own, for huey finds a task by the name of its module: both sides import this one.
"""

import json
import os
import sys
import threading
import time

from huey import SqliteHuey
from huey.signals import SIGNAL_COMPLETE

from benches.peers.protocol import STEPS_PER_RUN

queue = SqliteHuey("bench", filename=os.environ["HUEY_FILE"], fsync=True, journal_mode="wal")


class Collector:
    """What the handlers have seen, until so many jobs have ended."""

    def __init__(self) -> None:
        self.expect(0)

    def expect(self, count: int) -> None:
        """Begins anew."""
        self.count = count
        self.seen: list[str] = []
        self.done_count = 0
        self.first_at = self.last_at = 0.0
        self.is_done = threading.Event()

    def see(self, payload: str) -> None:
        """A handler was called."""
        if not self.seen:
            self.first_at = time.monotonic()
        self.seen.append(payload)

    def complete(self) -> None:
        """A job has ended, its result is stored."""
        self.done_count += 1
        if self.done_count == self.count:
            self.last_at = time.monotonic()
            self.is_done.set()


collector = Collector()


@queue.task()
def job(payload: str) -> None:
    """Does nothing."""
    collector.see(payload)


@queue.task()
def echo(payload: str) -> str:
    """Answers with its payload."""
    return payload


@queue.task()
def step(payload: str, number: int) -> str | None:
    """One link of a chain; the last one has the result."""
    collector.see(f"{payload}/{number}")
    if number + 1 < STEPS_PER_RUN:
        step(payload, number + 1)
        return None
    return payload


@queue.signal(SIGNAL_COMPLETE)
def completed(_signal: str, task: object, *_rest: object) -> None:
    """Counts, and tells the ends of runs."""
    if isinstance(task, step.task_class) and task.args[1] + 1 == STEPS_PER_RUN:
        say({"run": task.args[0], "id": task.id})
    collector.complete()


def say(event: dict[str, object]) -> None:
    """Tells the parent."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()
