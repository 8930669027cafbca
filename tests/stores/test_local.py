"""A queue on a local disk: how it is named, and what can be in the way."""

from pathlib import Path

import pytest

from taquba import OpenOptions, Queue
from taquba.exceptions import InvalidStoreError, TaqubaError
from taquba.store import LocalStore, MemoryStore
from tests.waiting import drain

pytestmark = pytest.mark.timeout(30)
FAST = OpenOptions(fsync=False)


async def put_and_take(store: object, again: object) -> list[bytes]:
    """Enqueues through one name of the store, delivers through another one."""
    async with Queue.open(store, options=FAST) as queue:  # type: ignore[arg-type]
        await queue.enqueue("emails", b"x")
    async with Queue.open(again, options=FAST) as queue:  # type: ignore[arg-type]
        return [claim.payload for claim in await drain(queue, "emails")]


async def test_a_directory_has_many_names(tmp_path: Path) -> None:
    directory = tmp_path / "a b" / "ünï"
    names = [directory, str(directory), directory.as_uri(), LocalStore(directory, mkdir=True)]

    for name in names:
        assert await put_and_take(name, directory) == [b"x"]


async def test_a_relative_path_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert await put_and_take("state", tmp_path / "state") == [b"x"]


async def test_a_local_store_of_obstore_is_adopted(tmp_path: Path) -> None:
    obstore_store = pytest.importorskip("obstore.store")
    theirs = obstore_store.LocalStore(tmp_path)

    assert await put_and_take(theirs, tmp_path) == [b"x"]


async def test_a_memory_store_of_obstore_is_refused_with_a_way_out() -> None:
    obstore_store = pytest.importorskip("obstore.store")

    with pytest.raises(InvalidStoreError, match=r"taquba\.store\.MemoryStore"):
        await Queue.open(obstore_store.MemoryStore())


async def test_paths_in_one_store_are_separate_queues() -> None:
    store = MemoryStore()
    async with Queue.open(store, "a") as a, Queue.open(store, "b") as b:
        await a.enqueue("emails", b"in a")

        assert await drain(b, "emails") == []
        assert [claim.payload for claim in await drain(a, "emails")] == [b"in a"]


async def test_every_memory_url_is_a_store_of_its_own() -> None:
    async with Queue.open("memory://") as first, Queue.open("memory://") as second:
        await first.enqueue("emails", b"x")

        assert await drain(second, "emails") == []


async def test_fsync_is_on_unless_it_is_turned_off(tmp_path: Path) -> None:
    assert OpenOptions().fsync is True

    async with Queue.open(tmp_path) as queue:
        await queue.enqueue("emails", b"x")
    async with Queue.open(tmp_path, options=FAST) as queue:
        assert len(await drain(queue, "emails")) == 1


async def test_a_file_where_a_directory_should_be_is_named(tmp_path: Path) -> None:
    file = tmp_path / "store"
    file.write_bytes(b"I am a file")

    with pytest.raises(TaqubaError, match="store") as caught:
        await Queue.open(file)

    assert caught.value.code in {"store-not-found", "invalid-store"}
    assert file.read_bytes() == b"I am a file"


async def test_a_file_in_the_middle_of_the_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(TaqubaError, match="file") as caught:
        await Queue.open(tmp_path / "file" / "store")

    assert caught.value.code in {"store-not-found", "invalid-store"}


async def test_a_file_where_the_queue_keeps_its_objects_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "taquba").write_bytes(b"in the way")

    with pytest.raises(TaqubaError):
        await Queue.open(tmp_path)


# Nobody may make directories there, root neither.
@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs the sysfs of Linux")
@pytest.mark.parametrize("directory", ["/sys", "/sys/taquba-test"])
async def test_a_directory_without_write_permission_is_refused(directory: str) -> None:
    with pytest.raises(TaqubaError, match=directory) as caught:
        await Queue.open(directory)

    assert caught.value.code in {"permission-denied", "invalid-store"}


@pytest.mark.parametrize("url", ["ftp://host/dir", "s3://", "nonsense://x", "http://host/x", ""])
async def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(InvalidStoreError):
        await Queue.open(url)


@pytest.mark.parametrize("store", [None, 5, object(), b"bytes", ["list"]])
async def test_an_object_that_is_no_store_is_refused(store: object) -> None:
    with pytest.raises((InvalidStoreError, TypeError)):
        await Queue.open(store)  # type: ignore[arg-type]
