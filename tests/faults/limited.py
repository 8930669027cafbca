"""A process that enqueues under a limit of the system until that stops it, or it is done.

    python -m tests.faults.limited STORE ACKNOWLEDGED LIMIT VALUE AFTER PAYLOAD_BYTES COUNT

The number of each acknowledged job is appended to the file ACKNOWLEDGED; the limit is set when
there are AFTER of them. The last line of output is what stopped it: the name of the error's class,
its code and its text, or `done`.
"""

import asyncio
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taquba import Queue
from taquba.exceptions import TaqubaError

QUEUE = "emails"
# How many enqueues are under way at once.
AT_ONCE = 4
LIMITS = {
    "none": None,
    "file size": resource.RLIMIT_FSIZE,
    "open files": resource.RLIMIT_NOFILE,
    "memory": resource.RLIMIT_AS,
}


def payload_of(number: int, size_bytes: int) -> bytes:
    """The payload of one job: its number, and a filling that follows from it."""
    return f"{number}:".encode() + bytes([number % 251]) * size_bytes


def number_of(payload: bytes) -> int:
    """The number of a job; fails if the filling is not its own."""
    text, _, filling = payload.partition(b":")
    number = int(text)
    assert payload == payload_of(number, len(filling)), f"job {number} is damaged"
    return number


def used_bytes() -> int:
    """How much address space this process has by now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def set_limit(name: str, value: int) -> None:
    """Sets it; memory is counted from what is used already."""
    limit = LIMITS[name]
    if limit is not None:
        most = value + used_bytes() if name == "memory" else value
        resource.setrlimit(limit, (most, most))


@dataclass(frozen=True)
class Load:
    """What is to be enqueued, and when the limit is set."""

    store: Path
    acknowledged: Path
    limit: str
    value: int
    after: int
    size_bytes: int
    count: int

    async def enqueue(self) -> None:
        """Enqueues all jobs, some at a time."""
        file = os.open(self.acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if self.after == 0:
            set_limit(self.limit, self.value)
        async with Queue.open(self.store) as queue:
            await self.enqueue_some(queue, file, iter(range(self.after)))
            if self.after:
                set_limit(self.limit, self.value)
            numbers = iter(range(self.after, self.count))
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self.enqueue_some(queue, file, numbers))

    async def enqueue_some(self, queue: Queue, file: int, numbers: Iterator[int]) -> None:
        """Enqueues what others leave of these."""
        for number in numbers:
            await queue.enqueue(QUEUE, payload_of(number, self.size_bytes))
            os.write(file, b"%d\n" % number)


def first_of(error: BaseException) -> BaseException:
    """The first error of a group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main() -> None:
    """Reads the command line."""
    store, acknowledged, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    try:
        asyncio.run(Load(store, acknowledged, name, *map(int, sys.argv[4:8])).enqueue())
    except (TaqubaError, MemoryError, OSError, BaseExceptionGroup) as raised:
        error = first_of(raised)
        print(type(error).__name__, getattr(error, "code", "-"), str(error))
    else:
        print("done")


if __name__ == "__main__":
    main()
