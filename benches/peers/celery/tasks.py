# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator, misc"
"""Celery's app and tasks, as caller and worker import them.

Every call of a task appends a mark to a file: what the caller counts, and where the first one
began.
"""

import os
import struct
import time

from celery import Celery

MARK = struct.Struct("<dQ")
FILLER = "." * 43
# Steps of one run have adjacent numbers.
STRIDE = 16

app = Celery("work", broker=os.environ["PEER_REDIS"], backend=os.environ["PEER_REDIS"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # How many jobs a child holds: enough that it never waits for Redis.
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    task_send_sent_event=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_pool_limit=64,
    redis_max_connections=256,
)
_marks = -1


def mark(number: int) -> None:
    """One call of a task: appended in one write, so that processes do not mix."""
    global _marks  # noqa: PLW0603 - opened once in each process
    if _marks < 0:
        _marks = os.open(os.environ["PEER_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_marks, MARK.pack(time.monotonic(), number))


@app.task(name="work", ignore_result=True)
def work(number: int, _filler: str) -> None:
    """A job."""
    mark(number)


@app.task(name="outcome")
def outcome(number: int, _filler: str) -> int:
    """A job, or the last step of a run, with a result."""
    mark(number)
    return number


@app.task(name="step", ignore_result=True)
def step(number: int, left: int, _filler: str) -> None:
    """A step; the next one is in Redis before this one is done."""
    mark(number)
    if left > 1:
        step.apply_async((number + 1, left - 1, FILLER))
    else:
        outcome.apply_async((number + 1, FILLER))
