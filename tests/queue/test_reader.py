"""Readers: the whole inspection API from elsewhere, without the owner noticing."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taquba import EnqueueOptions, JobState, OpenOptions, Queue, QueueReader
from taquba.exceptions import (
    ClosedError,
    JobNotFoundError,
    StoreNotFoundError,
    StoreOwnedError,
)
from tests.conftest import OpenQueue, Store
from tests.waiting import claim_one, drain, eventually

pytestmark = pytest.mark.timeout(120)
FAST = OpenOptions(fsync=False)

OWNER = """
import asyncio, sys
from taquba import OpenOptions, Queue

async def main():
    options = OpenOptions(fsync=False, heartbeat_interval=1.0)
    async with Queue.open(sys.argv[1], options=options) as queue:
        await queue.enqueue_batch("emails", [b"x"] * 3)
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


@contextmanager
def owner_process(directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that owns the store until its input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            process.kill()
            raise AssertionError(process.communicate()[1])
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_a_reader_sees_what_the_owner_has_committed(
    open_queue: OpenQueue, store: Store
) -> None:
    queue = await open_queue()
    async with QueueReader.open(store) as reader:
        first = await queue.enqueue("emails", b"payload", EnqueueOptions(headers={"k": "v"}))
        await queue.enqueue("emails", b"later", EnqueueOptions(delay=3600))
        await queue.kv_put("key", b"value")

        async def sees_everything() -> bool:
            return await reader.kv_get("key") == b"value"

        await eventually(sees_everything, "the reader to see the last commit")
        stats = (await reader.stats()).queues["emails"]
        assert (stats.pending_count, stats.scheduled_count) == (1, 1)
        assert await reader.list_queues() == ["emails"]
        jobs = (await reader.list_jobs("emails")).jobs
        assert [job.state for job in jobs] == [JobState.PENDING, JobState.SCHEDULED]
        info = await reader.get_job(first)
        assert (info.payload, info.headers) == (b"payload", {"k": "v"})
        assert list((await reader.kv_scan("k")).entries) == [("key", b"value")]
        assert not (await reader.dead_jobs("emails")).jobs


async def test_a_reader_never_fences_and_never_writes(tmp_path: Path) -> None:
    def files() -> set[tuple[str, int]]:
        return {
            (str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()
        }

    async with Queue.open(tmp_path, options=FAST) as queue:
        await queue.enqueue("emails", b"x")
        before = files()

        for _ in range(3):
            async with QueueReader.open(tmp_path) as reader:
                await reader.stats()
                await reader.list_jobs("emails")
                await reader.kv_scan()
                await reader.owner()

        assert files() == before
        await queue.enqueue("emails", b"y")
        assert len(await drain(queue, "emails")) == 2


async def test_a_reader_reads_large_payloads_and_dead_letters(
    open_queue: OpenQueue, store: Store
) -> None:
    queue = await open_queue()
    payload = bytes(range(256)) * 2000
    job_id = await queue.enqueue("files", payload)
    await queue.dead_letter(await claim_one(queue, "files"), "bad")

    async with QueueReader.open(store) as reader:
        [dead] = (await reader.dead_jobs("files")).jobs
        assert (dead.job_id, dead.last_error) == (job_id, "bad")
        assert (await reader.get_job(job_id)).payload == payload
        [attempt] = await reader.attempt_history(job_id)
        assert attempt.error == "bad"


async def test_a_reader_knows_whether_the_owner_is_alive(tmp_path: Path) -> None:
    with owner_process(tmp_path) as process:
        async with QueueReader.open(tmp_path) as reader:
            owner = await reader.owner()
            assert owner is not None
            assert (owner.host, owner.pid) == (socket.gethostname(), process.pid)
            assert owner.is_alive
            assert (await reader.stats()).queues["emails"].pending_count == 3

            process.send_signal(signal.SIGKILL)
            process.wait()

            async def is_dead() -> bool:
                owner = await reader.owner()
                return owner is not None and not owner.is_alive

            await eventually(is_dead, "the owner's silence to be noticed")
            # What it left is still there to be read.
            assert (await reader.stats()).queues["emails"].pending_count == 3


async def test_an_owner_that_closed_is_no_owner(tmp_path: Path) -> None:
    async with Queue.open(tmp_path, options=FAST) as queue:
        await queue.enqueue("emails", b"x")

    async with QueueReader.open(tmp_path) as reader:
        assert await reader.owner() is None
        assert (await reader.stats()).queues["emails"].pending_count == 1


@pytest.mark.slow
async def test_a_store_of_a_dead_owner_is_opened_without_taking_over(tmp_path: Path) -> None:
    with owner_process(tmp_path) as process:
        process.kill()
        process.wait()

        async def opens() -> Queue | None:
            try:
                return await Queue.open(tmp_path, options=OpenOptions(fsync=False, takeover=False))
            except StoreOwnedError:
                return None

        queue = await eventually(opens, "the dead owner's claim to lapse")
        assert queue is not None
        assert len(await drain(queue, "emails")) == 3
        await queue.close()


async def test_a_reader_cannot_change_anything(open_queue: OpenQueue, store: Store) -> None:
    queue = await open_queue()
    await queue.enqueue("emails", b"x")

    async with QueueReader.open(store) as reader:
        for name in ("enqueue", "claim", "ack", "kv_put", "cancel", "purge_dead"):
            assert not hasattr(reader, name)


async def test_a_reader_of_nothing_says_that_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        async with QueueReader.open(tmp_path / "empty") as reader:
            await reader.stats()


async def test_a_reader_says_what_is_not_there(open_queue: OpenQueue, store: Store) -> None:
    queue = await open_queue()
    await queue.enqueue("emails", b"x")
    async with QueueReader.open(store) as reader:
        with pytest.raises(JobNotFoundError):
            await reader.get_job("00000000deadbeef")
        assert await reader.kv_get("unknown") is None

    with pytest.raises(ClosedError, match="open it again"):
        await reader.stats()


async def test_several_readers_and_their_owner_do_not_disturb_each_other(tmp_path: Path) -> None:
    async with Queue.open(tmp_path, options=FAST) as queue:
        await queue.enqueue("emails", b"x")

        async def look() -> int:
            async with QueueReader.open(tmp_path) as reader:
                return (await reader.stats()).queues["emails"].enqueued_total

        async def work() -> None:
            for _ in range(50):
                await queue.enqueue("emails", b"x")

        counts, _ = await asyncio.gather(asyncio.gather(*(look() for _ in range(5))), work())

        assert all(1 <= count <= 51 for count in counts)
        owner = await queue.owner()
        assert owner is not None
        assert owner.pid == os.getpid()
        assert len(await drain(queue, "emails")) == 51


async def test_a_live_owner_is_respected_if_asked_to(tmp_path: Path) -> None:
    async with Queue.open(tmp_path, options=FAST) as queue:
        await queue.enqueue("emails", b"x")

        with pytest.raises(StoreOwnedError, match="takeover") as caught:
            await Queue.open(tmp_path, options=OpenOptions(fsync=False, takeover=False))

        assert (caught.value.host, caught.value.pid) == (socket.gethostname(), os.getpid())
        assert str(os.getpid()) in str(caught.value)
        assert len(await drain(queue, "emails")) == 1
