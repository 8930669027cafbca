"""A full disk, and limits of the system: a typed error, nothing lost, and it goes on afterwards."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from taquba import OpenOptions, Queue
from taquba.exceptions import ClosedError, StoreUnavailableError
from tests.faults.limited import QUEUE, number_of, payload_of
from tests.needs import missing
from tests.simulator import ROOT
from tests.waiting import drain

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]

DISK_BYTES = 8 * 1024 * 1024
BALLAST_BYTES = 2 * 1024 * 1024
PAYLOAD_BYTES = 100_000
OUT_OF_FILES = "Too many open files"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB, a quarter of it taken by the file `ballast`."""
    if os.geteuid() != 0:
        missing("the right to mount a small file system (root)")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        missing(f"the right to mount a small file system: {mounted.stderr.strip()}")
    try:
        (disk / "ballast").write_bytes(b"b" * BALLAST_BYTES)
        yield disk
    finally:
        unmount = ["umount", "--lazy", str(disk)]
        subprocess.run(unmount, check=True)


async def numbers_in(store: Path) -> list[int]:
    """The numbers of all jobs of a store, which also takes a new one and gives it back."""
    async with Queue.open(store) as queue:
        found = [number_of(claim.payload) for claim in await drain(queue, QUEUE)]
        await queue.enqueue(QUEUE, b"after")
        assert [claim.payload for claim in await drain(queue, QUEUE)] == [b"after"]
    return found


async def fill(queue: Queue, acknowledged: list[int]) -> None:
    """Enqueues until the disk is full."""
    with pytest.raises(StoreUnavailableError, match="No space left"):
        for number in range(2 * DISK_BYTES // PAYLOAD_BYTES):
            await queue.enqueue(QUEUE, payload_of(number, PAYLOAD_BYTES))
            acknowledged.append(number)


async def test_a_full_disk_is_a_typed_error_and_loses_nothing(small_disk: Path) -> None:
    acknowledged: list[int] = []
    queue = await Queue.open(small_disk / "store")
    await fill(queue, acknowledged)

    # The engine has ended: what memory has and the log lacks is thrown away.
    for call in (queue.stats(), queue.claim(QUEUE), queue.enqueue(QUEUE, b"too late")):
        with pytest.raises(StoreUnavailableError):
            await call
    with suppress(StoreUnavailableError):
        await queue.close()
    with pytest.raises(StoreUnavailableError, match="No space left"):
        await Queue.open(small_disk / "store", options=OpenOptions(store_timeout=1.0))
    (small_disk / "ballast").unlink()

    assert len(acknowledged) >= 20
    found = await numbers_in(small_disk / "store")
    # The job that met the full disk may be there: nobody knows.
    assert found[: len(acknowledged)] == acknowledged
    assert len(found) <= len(acknowledged) + 1


async def test_whoever_waits_when_the_disk_is_full_is_answered(small_disk: Path) -> None:
    queue = await Queue.open(small_disk / "store")
    calls = (queue.enqueue(QUEUE, payload_of(n, PAYLOAD_BYTES)) for n in range(200))

    async with asyncio.timeout(60):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    with suppress(StoreUnavailableError, ClosedError):
        await queue.close()
    (small_disk / "ballast").unlink()

    failed = [answer for answer in answers if not isinstance(answer, str)]
    assert failed
    assert {type(answer) for answer in failed} == {StoreUnavailableError}
    acknowledged = {n for n, answer in enumerate(answers) if isinstance(answer, str)}
    assert acknowledged <= set(await numbers_in(small_disk / "store"))


def limited(
    directory: Path, limit: str, value: int, *, after: int, size_bytes: int, count: int
) -> tuple[str, list[int]]:
    """Enqueues in a process under a limit; returns what stopped it, and what was acknowledged."""
    store, acknowledged = directory / "store", directory / "acknowledged"
    numbers = (value, after, size_bytes, count)
    command = [sys.executable, "-m", "tests.faults.limited", str(store), str(acknowledged), limit]
    done = subprocess.run(
        [*command, *map(str, numbers)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = acknowledged.read_text().split() if acknowledged.exists() else []
    return done.stdout.strip().splitlines()[-1], [int(line) for line in lines]


async def test_a_limit_of_the_file_size_is_a_typed_error_and_loses_nothing(tmp_path: Path) -> None:
    ended, acknowledged = limited(
        tmp_path, "file size", 1_000_000, after=0, size_bytes=PAYLOAD_BYTES, count=40
    )

    assert ended.startswith("StoreUnavailableError store-unavailable")
    assert "File too large" in ended
    assert len(acknowledged) >= 1
    assert set(acknowledged) <= set(await numbers_in(tmp_path / "store"))


@pytest.mark.parametrize("value", [10, 16, 17, 18])
async def test_no_descriptor_for_an_open_or_a_payload_is_a_typed_error(
    tmp_path: Path, value: int
) -> None:
    ended, acknowledged = limited(
        tmp_path, "open files", value, after=0, size_bytes=300_000, count=20
    )

    assert ended.partition(" ")[0].endswith("Error")
    assert OUT_OF_FILES in ended
    assert set(acknowledged) <= set(await numbers_in(tmp_path / "store"))


# With fewer it takes the storage engine 20 seconds of tries to give up.
@pytest.mark.parametrize("value", [16, 18])
async def test_descriptors_that_run_out_at_work_lose_nothing(tmp_path: Path, value: int) -> None:
    ended, acknowledged = limited(
        tmp_path, "open files", value, after=5, size_bytes=300_000, count=20
    )

    assert ended.startswith("StoreUnavailableError store-unavailable")
    assert OUT_OF_FILES in ended
    assert len(acknowledged) >= 5
    assert set(acknowledged) <= set(await numbers_in(tmp_path / "store"))


async def test_sixty_four_descriptors_are_enough(tmp_path: Path) -> None:
    ended, acknowledged = limited(tmp_path, "open files", 64, after=0, size_bytes=300_000, count=40)

    assert (ended, len(acknowledged)) == ("done", 40)
    assert sorted(await numbers_in(tmp_path / "store")) == list(range(40))


@pytest.mark.parametrize("megabytes", [5, 30, 60])
async def test_memory_that_runs_out_loses_nothing(tmp_path: Path, megabytes: int) -> None:
    ended, acknowledged = limited(
        tmp_path, "memory", megabytes * 1_000_000, after=4, size_bytes=20_000_000, count=12
    )

    assert ended.partition(" ")[0] in ("MemoryError", "StoreUnavailableError", "done")
    assert len(acknowledged) >= 4
    assert set(acknowledged) <= set(await numbers_in(tmp_path / "store"))


READ_WITHOUT_MEMORY = """
import asyncio
from taquba import Queue
from tests.faults.limited import payload_of, set_limit

async def main():
    async with Queue.open("memory://") as queue:
        for number in range(8):
            await queue.enqueue("emails", payload_of(number, 20_000_000))
        set_limit("memory", 30_000_000)
        claims = await queue.claim_batch("emails", 8)
        try:
            print([len(claim.payload) for claim in claims])
        except MemoryError:
            print("MemoryError")
        print((await queue.stats()).queues["emails"].claimed_count)

asyncio.run(main())
"""


def test_a_payload_for_which_there_is_no_memory_is_a_memory_error() -> None:
    command = [sys.executable, "-c", READ_WITHOUT_MEMORY]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (0, "MemoryError\n8\n"), done.stderr[-2000:]
