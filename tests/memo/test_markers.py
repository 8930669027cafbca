"""Marks of the ends of runs."""

import logging
from pathlib import Path
from typing import Any

import pytest

from taquba import MemoStore, TerminalMarker
from taquba.exceptions import ArgumentTypeError, InvalidArgumentError


async def test_marks_come_oldest_first(memos: MemoStore) -> None:
    ends = [("b", 20), ("a", 100), ("c_d", 3), ("z", 2**64 - 1), ("a", 3)]
    for run_id, at_ms in ends:
        await memos.write_terminal_marker(run_id, at_ms)

    found = await memos.list_terminal_markers()

    assert found == [
        TerminalMarker("a", 3),
        TerminalMarker("c_d", 3),
        TerminalMarker("b", 20),
        TerminalMarker("a", 100),
        TerminalMarker("z", 2**64 - 1),
    ]


async def test_marking_an_end_again_changes_nothing(memos: MemoStore) -> None:
    for _ in range(3):
        await memos.write_terminal_marker("run", 7)

    assert await memos.list_terminal_markers() == [TerminalMarker("run", 7)]


async def test_a_store_without_marks_has_none(memos: MemoStore) -> None:
    assert await memos.list_terminal_markers() == []


async def test_deleting_a_mark_that_is_not_there_is_fine(memos: MemoStore) -> None:
    await memos.write_terminal_marker("run", 7)
    [marker] = await memos.list_terminal_markers()

    for _ in range(2):
        await memos.delete_terminal_marker(marker)
    await memos.delete_terminal_marker(TerminalMarker("never", 1))

    assert await memos.list_terminal_markers() == []


async def test_a_mark_has_twenty_digits_and_the_run(disk_memos: MemoStore, tmp_path: Path) -> None:
    await disk_memos.write_terminal_marker("run_1", 1_700_000_000_000)

    [file] = (tmp_path / "taquba" / "terminals").iterdir()
    assert file.name == "00000001700000000000_run_1"


@pytest.mark.parametrize(
    "name",
    [
        "readme.txt",
        "1_run",
        "00000000000000000001_",
        "00000000000000000001",
        "99999999999999999999_run",
        "+0000000000000000001_run",
        "00000000000000000001_a b",
    ],
)
async def test_what_is_no_mark_is_skipped_with_a_warning(
    disk_memos: MemoStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    await disk_memos.write_terminal_marker("run", 7)
    (tmp_path / "taquba" / "terminals" / name).write_bytes(b"")

    with caplog.at_level(logging.WARNING, "taquba.memo"):
        found = await disk_memos.list_terminal_markers()

    assert found == [TerminalMarker("run", 7)]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "taquba/terminals/" in record.getMessage()
    assert "skipped" in record.getMessage()


async def test_a_mark_in_a_directory_of_its_own_is_none(
    disk_memos: MemoStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inner = tmp_path / "taquba" / "terminals" / "inner"
    inner.mkdir(parents=True)
    (inner / "00000000000000000001_run").write_bytes(b"")

    assert await disk_memos.list_terminal_markers() == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("at_ms", [-1, 2**64, 1.5, "1", True, None])
async def test_an_instant_that_is_none_is_refused(memos: MemoStore, at_ms: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="`terminal_at_ms`"):
        await memos.write_terminal_marker("run", at_ms)
    with pytest.raises(InvalidArgumentError, match="`terminal_at_ms`"):
        TerminalMarker("run", at_ms)


async def test_only_a_mark_can_be_deleted(memos: MemoStore) -> None:
    with pytest.raises(ArgumentTypeError, match="`TerminalMarker`"):
        await memos.delete_terminal_marker("00000000000000000001_run")  # type: ignore[arg-type]
