"""Memos as objects: where they are, what is found again, and what damage looks like."""

import hashlib
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from taquba import MemoStore, exceptions
from taquba._taquba import PAYLOAD_BYTES_MAX
from taquba.exceptions import (
    ArgumentTypeError,
    InvalidArgumentError,
    InvalidRunIdError,
    InvalidStoreError,
    MemoCorruptedError,
    MemoTooLargeError,
)
from taquba.store import MemoryStore

HOSTILE_KEYS = [
    "",
    "/",
    "//",
    "..",
    "../..",
    "../../terminals/00000000000000000001_run",
    ".",
    "\0",
    "a\0b",
    "\ud800",
    "\udfff",
    "memos/x",
    "%2e%2e",
    "%2E%2E",
    "a" * 10_000,
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    " ",
    "\n",
    "CON",
    "K",
    "k",
    "#1",
    "é" * 5_000,
    hashlib.sha256(b"").hexdigest(),
]


def digest(key: str) -> str:
    """What a key is stored as."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def files(root: Path) -> set[str]:
    """The files below a directory."""
    return {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}


async def test_any_text_is_a_key_and_no_two_meet(memos: MemoStore) -> None:
    memo = memos.new_memo("run", 0)
    for number, key in enumerate(HOSTILE_KEYS):
        await memo.put(key, b"%d" % number)

    found = [await memo.get(key) for key in HOSTILE_KEYS]

    assert found == [b"%d" % number for number in range(len(HOSTILE_KEYS))]


async def test_a_key_is_stored_as_its_sha_256_wherever_it_points(
    disk_memos: MemoStore, tmp_path: Path
) -> None:
    memo = disk_memos.new_memo("run-7", 12)
    for key in HOSTILE_KEYS:
        await memo.put(key, b"value")

    assert files(tmp_path) == {f"taquba/memos/run-7/12/{digest(key)}" for key in HOSTILE_KEYS}


@pytest.mark.parametrize("prefix", ["", "a", "a/b/c"])
async def test_the_prefix_is_where_everything_is(prefix: str, tmp_path: Path) -> None:
    async with MemoStore(tmp_path, prefix, fsync=False) as memos:
        await memos.new_memo("run", 0).put("k", b"value")
        await memos.write_terminal_marker("run", 1)

    below = f"{prefix}/" if prefix else ""
    assert files(tmp_path) == {
        f"{below}memos/run/0/{digest('k')}",
        f"{below}terminals/00000000000000000001_run",
    }


async def test_a_key_without_a_value_is_none(memos: MemoStore) -> None:
    assert await memos.new_memo("run", 0).get("nothing") is None


async def test_the_last_put_counts(memos: MemoStore) -> None:
    memo = memos.new_memo("run", 0)
    for value in (b"first", b"", b"last"):
        await memo.put("k", value)
        assert await memo.get("k") == value


async def test_a_memo_belongs_to_one_run_and_one_step(memos: MemoStore) -> None:
    await memos.new_memo("run", 1).put("k", b"value")

    for run_id, step_number in (("run", 0), ("run", 11), ("run1", 1), ("run-1", 1), ("ru", 1)):
        assert await memos.new_memo(run_id, step_number).get("k") is None
    assert await memos.new_memo("run", 1).get("k") == b"value"


async def test_two_stores_on_one_prefix_see_the_same_memos() -> None:
    store = MemoryStore()
    async with MemoStore(store, "p") as one, MemoStore(store, "p") as other:
        await one.new_memo("run", 0).put("k", b"of one")
        assert await other.new_memo("run", 0).get("k") == b"of one"
        await other.new_memo("run", 0).put("k", b"of the other")
        assert await one.new_memo("run", 0).get("k") == b"of the other"
        await one.write_terminal_marker("run", 5)
        assert await other.list_terminal_markers() == await one.list_terminal_markers() != []

        async with MemoStore(store, "q") as elsewhere:
            assert await elsewhere.new_memo("run", 0).get("k") is None


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
async def test_any_kind_of_bytes_comes_back_as_bytes(memos: MemoStore, make: Any) -> None:
    await memos.new_memo("run", 0).put("k", make(b"value"))

    found = await memos.new_memo("run", 0).get("k")

    assert type(found) is bytes
    assert found == b"value"


@pytest.mark.parametrize("value", ["text", None, 7, [1], {}])
async def test_a_value_that_is_no_bytes_is_refused_with_its_type(
    memos: MemoStore, value: Any
) -> None:
    memo = memos.new_memo("run", 0)

    with pytest.raises(ArgumentTypeError, match=f"`{type(value).__name__}`.*give `bytes`"):
        await memo.put("k", value)
    with pytest.raises(ArgumentTypeError, match=rf"`fn\(\)`.*`{type(value).__name__}`"):
        await memo.get_or_compute("k", lambda: value)
    assert await memo.get("k") is None


@pytest.mark.parametrize("key", [b"bytes", None, 7])
async def test_a_key_that_is_no_text_is_refused(memos: MemoStore, key: Any) -> None:
    memo = memos.new_memo("run", 0)

    for call in (memo.get(key), memo.put(key, b""), memo.get_or_compute(key, lambda: b"")):
        with pytest.raises(ArgumentTypeError, match=r"`key`.*give `str`"):
            await call


async def test_a_large_value_comes_back_and_one_over_the_limit_is_refused(
    disk_memos: MemoStore, tmp_path: Path
) -> None:
    memo = disk_memos.new_memo("run", 0)
    large = bytes(range(256)) * 4096

    await memo.put("large", large)
    assert await memo.get("large") == large

    with pytest.raises(MemoTooLargeError) as caught:
        await memo.put("larger", bytes(PAYLOAD_BYTES_MAX + 1))
    assert caught.value.size_bytes == PAYLOAD_BYTES_MAX + 1
    assert str(PAYLOAD_BYTES_MAX) in str(caught.value)
    assert files(tmp_path) == {f"taquba/memos/run/0/{digest('large')}"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"\x01",
        lambda _: b"some other file",
        lambda whole: whole[:-1],
        lambda whole: whole + b"x",
        lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
        lambda whole: b"\x03" + whole[1:],
        lambda whole: whole[:1] + bytes(32) + whole[33:],
    ],
    ids=["empty", "version", "foreign", "cut", "longer", "flipped", "newer", "digest"],
)
async def test_a_damaged_value_is_told_by_its_place_and_never_returned(
    disk_memos: MemoStore, tmp_path: Path, damage: Any
) -> None:
    memo = disk_memos.new_memo("run", 3)
    await memo.put("k", b"what was written")
    file = tmp_path / f"taquba/memos/run/3/{digest('k')}"
    file.write_bytes(damage(file.read_bytes()))

    for call in (memo.get("k"), memo.get_or_compute("k", lambda: b"")):
        with pytest.raises(MemoCorruptedError) as caught:
            await call
        assert caught.value.place.endswith(f"/taquba/memos/run/3/{digest('k')}")
        assert caught.value.detail in str(caught.value)

    await memo.put("k", b"again")
    assert await memo.get("k") == b"again"


async def test_a_memo_of_another_place_is_not_taken_for_this_one_unnoticed(
    disk_memos: MemoStore, tmp_path: Path
) -> None:
    memo = disk_memos.new_memo("run", 0)
    await memo.put("k", b"value")
    file = tmp_path / f"taquba/memos/run/0/{digest('k')}"
    with file.open("r+b") as opened:
        opened.truncate(PAYLOAD_BYTES_MAX + 34)

    with pytest.raises(MemoCorruptedError, match="more than any has"):
        await memo.get("k")


async def test_clearing_a_run_counts_and_leaves_all_others_alone(memos: MemoStore) -> None:
    for run_id in ("run", "run-suffix", "run_", "ru", "RUN0"):
        for step_number in (0, 1, 10):
            for key in ("", "k"):
                await memos.new_memo(run_id, step_number).put(key, b"value")
    await memos.write_terminal_marker("run", 1)

    assert await memos.clear_memos_for_run("run") == 6
    assert await memos.clear_memos_for_run("run") == 0
    assert await memos.clear_memos_for_run("never") == 0

    assert await memos.new_memo("run", 0).get("k") is None
    for run_id in ("run-suffix", "run_", "ru", "RUN0"):
        assert await memos.new_memo(run_id, 10).get("") == b"value"
    assert len(await memos.list_terminal_markers()) == 1


async def test_nothing_is_left_on_disk_of_a_cleared_run(
    disk_memos: MemoStore, tmp_path: Path
) -> None:
    await disk_memos.new_memo("run", 0).put("k", b"value")
    await disk_memos.clear_memos_for_run("run")

    assert [path for path in tmp_path.rglob("*") if "run" in path.parts] == []


@pytest.mark.parametrize("run_id", ["", "a/b", "..", "a b", "é", "x" * 129, "\ud800"])
async def test_a_run_id_that_is_none_is_refused(memos: MemoStore, run_id: str) -> None:
    with pytest.raises((InvalidRunIdError, InvalidArgumentError)):
        memos.new_memo(run_id, 0)
    with pytest.raises((InvalidRunIdError, InvalidArgumentError)):
        await memos.clear_memos_for_run(run_id)
    with pytest.raises((InvalidRunIdError, InvalidArgumentError)):
        await memos.write_terminal_marker(run_id, 1)


@pytest.mark.parametrize("step_number", [-1, 2**32, True, 1.0, "1"])
async def test_a_step_number_that_is_none_is_refused(memos: MemoStore, step_number: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="`step_number`"):
        memos.new_memo("run", step_number)


@pytest.mark.parametrize("store", [7, None, "ftp://host/dir", "", object()])
async def test_what_is_no_store_is_refused(store: Any) -> None:
    with pytest.raises(InvalidStoreError):
        MemoStore(store)


@pytest.mark.parametrize(
    ("prefix", "error"),
    [
        ("a//b", "InvalidStoreError"),
        ("../up", "InvalidStoreError"),
        ("\ud800", "InvalidArgumentError"),
        (7, "ArgumentTypeError"),
    ],
)
async def test_a_prefix_that_is_no_path_is_refused(prefix: Any, error: str) -> None:
    with pytest.raises(getattr(exceptions, error)):
        MemoStore("memory://", prefix)


async def test_a_store_shows_where_it_is(tmp_path: Path) -> None:
    memos = MemoStore(tmp_path / "here")

    assert repr(memos) == f"MemoStore('{tmp_path}/here/taquba', open)"
    assert repr(memos.new_memo("run", 1)) == (
        f"Memo(store='{tmp_path}/here/taquba', run_id='run', step_number=1)"
    )
    await memos.close()
    assert repr(memos).endswith("closed)")
