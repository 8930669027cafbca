"""What is found in stores that are well, and that nothing is left behind in them."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from taquba import EnqueueOptions, OpenOptions, Queue
from taquba.doctor import CheckStatus, examine
from taquba.exceptions import InvalidArgumentError, InvalidStoreError
from taquba.store import MemoryStore
from tests.doctor.fake_s3 import FakeS3
from tests.doctor.finding import found, worse_than_ok
from tests.needs import missing

PROBES = (
    "right-to-read",
    "right-to-list",
    "right-to-write",
    "right-to-overwrite",
    "right-to-upload",
    "right-to-abort",
    "right-to-delete",
    "create-once",
    "race",
    "swap",
    "conditional-read",
    "read-after-write",
    "read-after-overwrite",
    "metadata",
    "range",
    "list",
    "delete",
    "latency-write",
    "latency-read",
    "latency-list",
    "commit-rate",
    "clock",
    "clean-up",
)


def content(directory: Path) -> dict[str, bytes]:
    """Every file and directory below one."""
    return {
        str(each.relative_to(directory)): each.read_bytes() if each.is_file() else b"directory"
        for each in directory.rglob("*")
    }


async def test_memory_does_everything_but_last() -> None:
    diagnosis = await examine(MemoryStore())

    assert tuple(check.name for check in diagnosis.checks)[: len(PROBES)] == PROBES
    assert worse_than_ok(diagnosis) == {"durability": "warning"}
    assert diagnosis.status is CheckStatus.WARNING
    assert diagnosis.count(CheckStatus.OK) == len(diagnosis.checks) - 1


async def test_a_directory_is_examined_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "kept").write_bytes(b"somebody else's")
    before = content(tmp_path)

    diagnosis = await examine(tmp_path / "store")

    assert [each for each in diagnosis.checks if each.status is CheckStatus.FAILURE] == []
    assert {"disk-space", "file-system", "fsync"} <= {check.name for check in diagnosis.checks}
    assert found(diagnosis, "fsync").figures["p50"] > 0
    assert content(tmp_path) == before


async def test_a_directory_that_was_not_there_is_not_there_afterwards(tmp_path: Path) -> None:
    diagnosis = await examine((tmp_path / "not" / "yet").as_uri())

    assert found(diagnosis, "right-to-write").status is CheckStatus.OK
    assert found(diagnosis, "queue").seen.startswith("there is none yet")
    assert content(tmp_path) == {}


async def test_a_file_in_place_of_a_directory_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file")

    diagnosis = await examine(tmp_path / "store")

    assert found(diagnosis, "directory").status is CheckStatus.FAILURE
    assert content(tmp_path) == {"store": b"a file"}


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    """A directory in which this user may not write, whoever that is."""
    directory = tmp_path / "unwritable"
    directory.mkdir()
    if os.geteuid() != 0:
        directory.chmod(0o555)
        yield directory
        directory.chmod(0o755)
        return
    command = ["chattr", "+i", str(directory)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        missing("a file system with `chattr +i`, or a user that is not root")
    yield directory
    subprocess.run(["chattr", "-i", str(directory)], check=True)  # noqa: S607 - as above


async def test_a_directory_that_cannot_be_written_says_so(unwritable: Path) -> None:
    diagnosis = await examine(unwritable)

    check = found(diagnosis, "right-to-write")
    assert check.status is CheckStatus.FAILURE
    assert "writable" in str(check.remedy)
    assert found(diagnosis, "right-to-list").status is CheckStatus.OK
    assert "race" not in [each.name for each in diagnosis.checks]


async def test_a_bucket_is_examined_and_left_as_it_was(s3: FakeS3) -> None:
    diagnosis = await examine(s3.store())

    assert worse_than_ok(diagnosis) == {}
    assert found(diagnosis, "right-to-list").seen == "s3:ListBucket is granted"
    assert s3.left == []


async def test_only_a_prefix_of_its_own_is_touched(s3: FakeS3) -> None:
    await examine(s3.store(), "queues/one")

    writes = [line for line in s3.seen if not line.startswith("GET")]
    deleted_together = [line for line in writes if line.startswith("POST /bucket?delete")]
    places = {line.split("?")[0].split("/doctor-")[0] for line in writes if "/doctor-" in line}
    assert places <= {f"{each} /bucket/app/queues/one" for each in ("PUT", "POST", "DELETE")}
    assert [
        line for line in writes if "/doctor-" not in line and line not in deleted_together
    ] == []


async def test_a_queue_at_work_is_not_disturbed(tmp_path: Path) -> None:
    async with Queue.open(tmp_path, options=OpenOptions(fsync=False)) as queue:
        await queue.enqueue("emails", b"x")
        working = asyncio.create_task(work(queue))

        diagnosis = await examine(tmp_path)

        await working
        assert found(diagnosis, "owner").status is CheckStatus.OK
        assert f"process {os.getpid()}" in found(diagnosis, "owner").seen
        await queue.enqueue("emails", b"still mine")


async def work(queue: Queue) -> None:
    """Writes while the store is examined."""
    for _ in range(30):
        await queue.enqueue_batch("letters", [b"x"] * 10)


async def test_what_a_queue_waits_for_is_told() -> None:
    store = MemoryStore()
    async with Queue.open(store) as queue:
        await queue.enqueue("letters", b"x", EnqueueOptions(max_attempts=1))
        claim = await queue.claim("letters")
        assert claim is not None
        await queue.dead_letter(claim, "no such address")
        await queue.enqueue("emails", b"x")

        diagnosis = await examine(store)

    assert found(diagnosis, "dead").seen == "1 dead jobs in `letters`"
    assert found(diagnosis, "dead").status is CheckStatus.WARNING
    assert found(diagnosis, "quarantined").status is CheckStatus.OK
    assert found(diagnosis, "oldest-pending").seen.startswith("a job in queue `emails` was due")
    assert found(diagnosis, "queue").seen == "readable, 2 queues, 0 live runs"


async def test_a_queue_that_was_closed_has_no_owner() -> None:
    store = MemoryStore()
    async with Queue.open(store):
        pass

    diagnosis = await examine(store)

    assert found(diagnosis, "owner").seen == "nobody: it was closed in order"
    assert found(diagnosis, "oldest-pending").seen == "nothing waits"


async def test_what_is_no_store_is_an_error() -> None:
    with pytest.raises(InvalidStoreError):
        await examine("nope://bucket/prefix")
    with pytest.raises(InvalidArgumentError, match="`request_timeout`"):
        await examine("memory://", request_timeout=0)
    with pytest.raises(InvalidArgumentError, match="`time_limit`"):
        await examine("memory://", time_limit=0.5)


async def test_a_cancelled_examination_leaves_nothing_behind(s3: FakeS3) -> None:
    s3.spoil.delay_seconds = 0.01
    task = asyncio.create_task(examine(s3.store()))
    for _ in range(60):
        await asyncio.to_thread(s3.arrived.acquire)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert [line for line in s3.seen if line.startswith("PUT")] != []
    assert s3.left == []
