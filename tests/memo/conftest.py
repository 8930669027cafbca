"""Stores of memos that are closed when a test ends."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taquba import MemoStore
from taquba.store import MemoryStore


@pytest.fixture(params=["memory", "disk", "disk with fsync"])
async def memos(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoStore]:
    """One store of memos, in memory and on local disk."""
    place = MemoryStore() if request.param == "memory" else tmp_path / "memos"
    async with MemoStore(place, fsync=request.param == "disk with fsync") as store:
        yield store


@pytest.fixture
async def disk_memos(tmp_path: Path) -> AsyncIterator[MemoStore]:
    """One whose files the test looks at, below `tmp_path`."""
    async with MemoStore(tmp_path, fsync=False) as store:
        yield store
