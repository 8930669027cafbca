"""What a disk keeps when its power fails."""

import random
from pathlib import Path

from tests.power.disk import Disk, torn
from tests.power.effects import ROOT, Effect, Entries, Resize, Sync, Tree, Write

FILE = 1
MADE: Effect = Entries(1, 1, ROOT, (("a", FILE),))
NAMED: Effect = Sync(2, 2, ROOT, is_data_only=False)


def kept(tmp_path: Path, effects: list[Effect], line: int, *survivors: int) -> dict[str, object]:
    """What there is at this line, if of all that was pending only these changes survive."""
    disk = Disk(Tree(), effects, {ROOT})
    disk.advance(line)
    target = tmp_path / f"{line}-{survivors}"
    target.mkdir()
    disk.image(dict.fromkeys(survivors)).write_to(target)
    return Tree.read(target).contents()


def test_a_name_is_durable_when_its_directory_was_synced_not_when_its_file_was(
    tmp_path: Path,
) -> None:
    effects: list[Effect] = [
        MADE,
        Sync(2, 2, FILE, is_data_only=False),
        Sync(3, 3, ROOT, is_data_only=False),
    ]

    assert kept(tmp_path, effects, 2) == {}
    assert kept(tmp_path, effects, 2, 0) == {"a": b""}
    assert kept(tmp_path, effects, 3) == {"a": b""}


def test_a_sync_promises_what_had_ended_before_it_began_and_only_at_its_end(
    tmp_path: Path,
) -> None:
    early, late = Write(3, 3, FILE, 0, b"ab"), Write(4, 6, FILE, 2, b"cd")
    effects: list[Effect] = [MADE, NAMED, early, late, Sync(5, 7, FILE, is_data_only=False)]

    assert kept(tmp_path, effects, 6) == {"a": b""}
    assert kept(tmp_path, effects, 7) == {"a": b"ab"}
    assert kept(tmp_path, effects, 7, 2) == {"a": b"abcd"}


def test_a_write_that_is_there_before_an_earlier_one_leaves_zeros(tmp_path: Path) -> None:
    effects: list[Effect] = [MADE, NAMED, Write(3, 3, FILE, 0, b"ab"), Write(4, 4, FILE, 2, b"cd")]

    assert kept(tmp_path, effects, 4, 2) == {"a": b"\0\0cd"}


def test_fdatasync_promises_data_and_not_a_length_that_no_data_needs(tmp_path: Path) -> None:
    grown = Resize(3, 3, FILE, 4, 0)
    within, at_end = Write(4, 4, FILE, 0, b"ab"), Write(4, 4, FILE, 2, b"cd")
    sync = Sync(5, 5, FILE, is_data_only=True)

    assert kept(tmp_path, [MADE, NAMED, grown, within, sync], 5) == {"a": b"ab"}
    assert kept(tmp_path, [MADE, NAMED, grown, at_end, sync], 5, -1) == {"a": b"\0\0cd"}


def test_a_rename_is_there_or_not(tmp_path: Path) -> None:
    renamed = Entries(3, 3, ROOT, (("a", None), ("b", FILE)))
    effects: list[Effect] = [MADE, NAMED, renamed]

    assert kept(tmp_path, effects, 3) == {"a": b""}
    assert kept(tmp_path, effects, 3, 1) == {"b": b""}


def test_a_torn_write_consists_of_whole_sectors_of_the_disk() -> None:
    write = Write(1, 1, FILE, 500, bytes(range(1, 251)) * 8)
    seen = set()

    for seed in range(200):
        for begin, data in torn(write, random.Random(seed)):
            assert write.data[begin - 500 :].startswith(data)
            seen.add((begin, len(data)))

    # The first sector has 12 bytes of it, the last one 452, and a piece without bytes is a length.
    assert seen == {(500, 12), (512, 512), (1024, 512), (1536, 512), (2048, 452), (2500, 0)}
