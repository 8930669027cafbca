"""An opener that is stopped in the middle of a takeover, beside a newer owner."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taquba import OpenOptions, Queue, QueueReader
from tests.needs import missing

pytestmark = pytest.mark.timeout(120)
FAST = OpenOptions(fsync=False)
# Reading 36 MB takes an opener some milliseconds: enough to be stopped in between.
JOB_COUNT = 180
PAYLOAD = bytes(200 * 1024)
TRIES_MAX = 20
OPEN_SECONDS_MAX = 20.0
# Readers that are kept out give up after 5 s.
LOOK_SECONDS_MAX = 4.0

OPENER = """
import asyncio, sys
from taquba import OpenOptions, Queue

async def main():
    async with Queue.open(sys.argv[1], options=OpenOptions(fsync=False)):
        print("opened", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@contextmanager
def opener_process(store: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that opens the store."""
    process = subprocess.Popen(
        [sys.executable, "-c", OPENER, str(store)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def names(log: Path, kind: str) -> set[str]:
    """What is in the directory of the log, of one kind."""
    return {name for name in os.listdir(log) if name.endswith(kind)}  # noqa: PTH208 - it is in a hurry


def stop_in_takeover(process: "subprocess.Popen[bytes]", log: Path) -> bool:
    """Stops an opener; whether it was taking the log over then."""
    deadline = time.monotonic() + OPEN_SECONDS_MAX
    owners = names(log, ".live")
    while not names(log, ".opening"):
        if names(log, ".live") != owners:
            return False
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it does not open"
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    return bool(names(log, ".opening"))


async def make_store(store: Path) -> None:
    """A store with a long log, whose owner is gone."""
    async with Queue.open(store, options=FAST) as queue:
        for _ in range(JOB_COUNT):
            await queue.enqueue("jobs", PAYLOAD)


async def pending_count(store: Path) -> int:
    """What a reader says that comes now."""
    async with asyncio.timeout(LOOK_SECONDS_MAX), QueueReader.open(store) as reader:
        return (await reader.stats()).queues["jobs"].pending_count


async def test_a_stopped_opener_keeps_no_reader_from_the_store_of_a_newer_owner(
    tmp_path: Path,
) -> None:
    await make_store(tmp_path / "made")
    if not (tmp_path / "made/taquba/log").is_dir():
        missing("a disk of this machine: the log of this store is not a file")
    for number in range(TRIES_MAX):
        store = tmp_path / str(number)
        shutil.copytree(tmp_path / "made", store)
        with opener_process(store) as opener:
            if not stop_in_takeover(opener, store / "taquba/log"):
                continue
            async with Queue.open(store, options=FAST) as queue:
                await queue.enqueue("jobs", b"new")
                assert await pending_count(store) == JOB_COUNT + 1

                opener.kill()
                opener.wait()
                await queue.enqueue("jobs", b"newer")
                assert await pending_count(store) == JOB_COUNT + 2
            return
    raise AssertionError(f"of {TRIES_MAX} openers none was stopped in time")
