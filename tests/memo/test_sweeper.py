"""The sweeper: memos of ended runs go in time, those of live runs never."""

import asyncio
import logging
import os
from datetime import timedelta
from pathlib import Path

import pytest

from taquba import MemoStore, TerminalMarker
from taquba.memo._sweeper import sweep, sweep_forever
from tests.waiting import eventually

HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000
NOW_MS = 1_900_000_000_000


class Live:
    """Says of some runs that they are live, and notes who was asked about."""

    def __init__(self, *run_ids: str) -> None:
        self.run_ids = set(run_ids)
        self.asked: list[str] = []

    async def __call__(self, run_id: str) -> bool:
        self.asked.append(run_id)
        return run_id in self.run_ids


async def end(memos: MemoStore, run_id: str, at_ms: int) -> None:
    """Leaves what an ended run leaves."""
    await memos.new_memo(run_id, 0).put("k", b"value")
    await memos.new_memo(run_id, 1).put("k", b"value")
    await memos.write_terminal_marker(run_id, at_ms)


async def left(memos: MemoStore, *run_ids: str) -> list[str]:
    """Which of these runs still have memos."""
    return [run_id for run_id in run_ids if await memos.new_memo(run_id, 1).get("k") is not None]


async def test_what_ended_longer_ago_than_the_retention_goes_and_the_rest_stays(
    memos: MemoStore,
) -> None:
    await end(memos, "old", NOW_MS - HOUR_MS)
    await end(memos, "young", NOW_MS - HOUR_MS + 1)
    await memos.new_memo("unfinished", 1).put("k", b"value")

    assert await sweep(memos, HOUR, Live(), NOW_MS) == 1

    assert await left(memos, "old", "young", "unfinished") == ["young", "unfinished"]
    assert await memos.list_terminal_markers() == [TerminalMarker("young", NOW_MS - HOUR_MS + 1)]
    assert await sweep(memos, HOUR, Live(), NOW_MS) == 0


async def test_a_run_that_goes_on_again_keeps_its_memos_and_its_mark(memos: MemoStore) -> None:
    await end(memos, "again", 1)
    await end(memos, "gone", 2)
    live = Live("again")

    assert await sweep(memos, HOUR, live, NOW_MS) == 1

    assert sorted(live.asked) == ["again", "gone", "gone"], "before and after the look"
    assert await left(memos, "again", "gone") == ["again"]
    assert await memos.list_terminal_markers() == [TerminalMarker("again", 1)]


@pytest.mark.parametrize("step_number", [0, 7], ids=["over an old one", "a new one"])
async def test_what_is_written_while_the_sweeper_asks_stays(
    memos: MemoStore, step_number: int
) -> None:
    await end(memos, "again", 1)
    memo = memos.new_memo("again", step_number)

    async def is_live(_: str) -> bool:
        # It goes on again right behind the answer.
        await memo.put("k", b"new")
        return False

    assert await sweep(memos, HOUR, is_live, NOW_MS) == 0

    assert await memo.get("k") == b"new"
    assert await memos.list_terminal_markers() == [TerminalMarker("again", 1)]
    assert await sweep(memos, HOUR, Live(), NOW_MS) == 1
    assert await left(memos, "again") == []


async def test_who_only_looks_at_memos_keeps_no_sweep_from_its_work(memos: MemoStore) -> None:
    await end(memos, "run", 1)

    async def is_live(_: str) -> bool:
        assert await memos.new_memo("run", 0).get("k") == b"value"
        return False

    assert await sweep(memos, HOUR, is_live, NOW_MS) == 1
    assert await memos.new_memo("run", 0).get("k") is None


async def younger_than_its_mark(memos: MemoStore, directory: Path) -> int:
    """Ends `run`, and dates its memo two minutes later; returns the date of the memo."""
    await end(memos, "run", 1)
    [file] = (directory / "taquba" / "memos" / "run" / "1").iterdir()
    later = file.stat().st_mtime + 120
    os.utime(file, (later, later))
    return int(later * 1000)


async def test_what_is_younger_than_the_mark_stays_until_the_next_end(
    disk_memos: MemoStore, tmp_path: Path
) -> None:
    later_ms = await younger_than_its_mark(disk_memos, tmp_path)

    assert await sweep(disk_memos, HOUR, Live(), later_ms) == 0

    assert await disk_memos.new_memo("run", 0).get("k") is None
    assert await left(disk_memos, "run") == ["run"]
    assert await disk_memos.list_terminal_markers() == [TerminalMarker("run", 1)]
    await disk_memos.write_terminal_marker("run", 2)
    for mark in (tmp_path / "taquba" / "terminals").iterdir():
        os.utime(mark, (later_ms / 1000, later_ms / 1000))
    assert await sweep(disk_memos, HOUR, Live(), later_ms) == 1
    assert await left(disk_memos, "run") == []


async def test_what_is_younger_than_the_mark_goes_when_it_is_as_old_as_the_retention(
    disk_memos: MemoStore, tmp_path: Path
) -> None:
    later_ms = await younger_than_its_mark(disk_memos, tmp_path)
    assert await sweep(disk_memos, HOUR, Live(), later_ms + HOUR_MS - 1000) == 0

    assert await sweep(disk_memos, HOUR, Live(), later_ms + HOUR_MS + 1000) == 1

    assert await left(disk_memos, "run") == []
    assert await disk_memos.list_terminal_markers() == []


async def test_some_runs_are_swept_at_a_time_and_all_in_the_end(memos: MemoStore) -> None:
    run_ids = [f"run-{number}" for number in range(30)]
    for run_id in run_ids:
        await memos.new_memo(run_id, 1).put("k", b"value")
        await memos.write_terminal_marker(run_id, 1)
    asking: set[str] = set()
    most_asking = 0
    eight_ask = asyncio.Event()

    async def is_live(run_id: str) -> bool:
        nonlocal most_asking
        asking.add(run_id)
        most_asking = max(most_asking, len(asking))
        if len(asking) == 8:
            eight_ask.set()
        await eight_ask.wait()
        asking.remove(run_id)
        return False

    assert await sweep(memos, HOUR, is_live, NOW_MS) == 30

    assert most_asking == 8
    assert await left(memos, *run_ids) == []
    assert await memos.list_terminal_markers() == []


async def test_the_last_end_of_a_run_counts(memos: MemoStore) -> None:
    await memos.write_terminal_marker("twice", 1)
    await end(memos, "twice", NOW_MS)

    assert await sweep(memos, HOUR, Live(), NOW_MS) == 0
    assert await left(memos, "twice") == ["twice"]

    assert await sweep(memos, HOUR, Live(), NOW_MS + HOUR_MS) == 1
    assert await left(memos, "twice") == []
    assert await memos.list_terminal_markers() == []


async def test_a_run_without_memos_leaves_no_mark(memos: MemoStore) -> None:
    await memos.write_terminal_marker("run", 1)

    assert await sweep(memos, HOUR, Live(), NOW_MS) == 1
    assert await memos.list_terminal_markers() == []


async def test_a_retention_of_nothing_takes_what_has_ended(memos: MemoStore) -> None:
    await end(memos, "run", NOW_MS)
    await end(memos, "later", NOW_MS + 1)

    assert await sweep(memos, timedelta(), Live(), NOW_MS) == 1
    assert await left(memos, "run", "later") == ["later"]


async def test_a_retention_longer_than_the_age_of_the_epoch_takes_nothing(
    memos: MemoStore,
) -> None:
    await end(memos, "run", 0)

    assert await sweep(memos, timedelta(days=36_600), Live(), NOW_MS) == 0
    assert await left(memos, "run") == ["run"]


async def test_the_first_sweep_is_at_once_and_a_failure_is_tried_again(
    memos: MemoStore, caplog: pytest.LogCaptureFixture
) -> None:
    await end(memos, "run", 1)
    failures = [LookupError("who knows")]

    async def is_live(_: str) -> bool:
        if failures:
            raise failures.pop()
        return False

    async def is_gone() -> bool:
        return await left(memos, "run") == []

    with caplog.at_level(logging.WARNING, "taquba.memo"):
        sweeping = asyncio.create_task(sweep_forever(memos, timedelta(), is_live, lambda: NOW_MS))
        await eventually(is_gone, "the second sweep")
        sweeping.cancel()
        await asyncio.wait([sweeping])

    assert sweeping.cancelled()
    assert [record.getMessage() for record in caplog.records] == [
        "memos of ended runs could not be swept"
    ]
