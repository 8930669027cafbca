"""The scrub, as users call it: from Python and from a shell."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from taquba import OpenOptions, Queue
from taquba.cli import main
from taquba.exceptions import StoreNotFoundError
from taquba.queue import verify
from taquba.store import MemoryStore
from tests.conftest import Store
from tests.corruption import content, templates

PAYLOAD = b"large payload " * 200


async def fill(store: Store) -> Queue:
    """A queue with one small job and one large one, still open."""
    options = OpenOptions(fsync=False, payload_offload_threshold=1024)
    queue = await Queue.open(store, options=options)
    await queue.enqueue("emails", b"small")
    await queue.enqueue("emails", PAYLOAD)
    return queue


def payload_of(directory: Path) -> Path:
    """The one payload object."""
    [file] = (directory / "taquba" / "payloads").iterdir()
    return file


async def test_a_store_at_work_is_clean_and_counted(store: Store) -> None:
    queue = await fill(store)

    report = await verify(store)

    assert report.problems == []
    assert report.is_clean
    assert report.is_complete
    assert (report.job_count, report.queue_count, report.row_count) == (2, 1, 5)
    assert (report.payload_object_count, report.payload_bytes) == (1, len(PAYLOAD))
    assert report.object_count > 0
    assert report.owner is not None
    assert report.owner.is_alive
    # It was fenced by nobody.
    await queue.enqueue("emails", b"again")
    await queue.close()
    assert (await verify(store)).owner is None


async def test_an_owner_at_work_is_no_damage(store: Store) -> None:
    queue = await fill(store)
    reports = []

    async def work() -> None:
        for turn in range(30):
            await queue.enqueue_batch("emails", [b"small", PAYLOAD + b"%d" % turn])
            claims = await queue.claim_batch("emails", 2, lease=30.0)
            await asyncio.gather(*(queue.ack(claim) for claim in claims))

    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        while not working.done():
            reports.append(await verify(store))

    assert [report.problems for report in reports if not report.is_clean] == []
    assert reports
    await queue.close()


async def test_everything_that_a_store_can_hold_is_clean(tmp_path: Path) -> None:
    for make in (templates.make_disk, templates.make_records):
        template = await make(tmp_path)
        report = await verify(template.directory)

        assert report.problems == [], template.name
        assert report.memo_count == 2
        assert report.run_count == len(template.content.results)
        assert report.key_count == len(template.content.keys) + 1
        large = {job for job in template.content.jobs if len(job) > content.OFFLOAD_BYTES}
        # And one memo.
        assert report.payload_object_count == len(large) + 1


async def test_where_there_is_no_store_there_is_nothing_to_verify(tmp_path: Path) -> None:
    for nowhere in (MemoryStore(), tmp_path, tmp_path / "nothing"):
        with pytest.raises(StoreNotFoundError):
            await verify(nowhere)
    assert list(tmp_path.iterdir()) == []


async def test_damage_is_told_and_not_raised(tmp_path: Path) -> None:
    await (await fill(tmp_path)).close()
    payload_of(tmp_path).unlink()
    for table in (tmp_path / "taquba" / "compacted").iterdir():
        table.write_bytes(table.read_bytes()[:100])

    report = await verify(tmp_path)

    assert not report.is_clean
    assert not report.is_complete
    kinds = {problem.kind for problem in report.problems}
    assert kinds == {"damaged-object", "unreadable"}
    [damaged] = [problem for problem in report.problems if problem.kind == "damaged-object"]
    assert damaged.object.startswith("compacted/")
    assert "backup" in damaged.remedy


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "taquba.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


async def test_the_command_says_what_it_found_and_ends_with_it(tmp_path: Path) -> None:
    await (await fill(tmp_path)).close()

    clean = run("verify", str(tmp_path))
    assert (clean.returncode, clean.stderr) == (0, "")
    assert clean.stdout.splitlines()[-1] == "clean"
    assert "2 jobs" in clean.stdout

    name = payload_of(tmp_path).name
    payload_of(tmp_path).write_bytes(PAYLOAD[::-1])
    damaged = run("verify", str(tmp_path), "--json")
    assert (damaged.returncode, damaged.stderr) == (1, "")
    report = json.loads(damaged.stdout)
    assert report["is_clean"] is False
    assert [problem["kind"] for problem in report["problems"]] == ["payload-damaged"]
    assert report["problems"][0]["object"] == f"payloads/{name}"
    assert f"payloads/{name}" in run("verify", str(tmp_path)).stdout

    nothing = run("verify", str(tmp_path), "--path", "elsewhere")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "store-not-found" in nothing.stderr
    assert "Traceback" not in nothing.stderr


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, expected in ((["--help"], "verify"), (["verify", "--help"], "--json")):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        assert expected in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
