"""An ext4 that loses its power while a process works on it, and what is found when it is back."""

import os
import random
from pathlib import Path

import pytest

from tests.needs import missing
from tests.power import real_disk, shutdowns

SEED = int(os.environ.get("TAQUBA_POWER_SEED") or random.SystemRandom().randrange(2**32))
ROUNDS = 4

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", autouse=True)
def can_be_shut_down(tmp_path_factory: pytest.TempPathFactory) -> None:
    lacking = real_disk.lacks(tmp_path_factory.mktemp("power"))
    if lacking is not None:
        missing(lacking)


def test_a_file_system_that_loses_its_power_keeps_what_was_promised() -> None:
    print(f"to repeat the moments: TAQUBA_POWER_SEED={SEED}")

    outcome = shutdowns.shut_down(ROUNDS, SEED)

    assert outcome.found == []
    assert outcome.round_count == ROUNDS
    assert outcome.promise_count > 100


def test_a_store_that_does_not_sync_is_caught_on_a_real_file_system() -> None:
    outcome = shutdowns.shut_down(ROUNDS, SEED, "--no-fsync")

    assert outcome.found != []


def test_a_disk_without_power_refuses_and_has_what_was_synced_when_it_is_back(
    tmp_path: Path,
) -> None:
    with real_disk.mounted(tmp_path) as disk:
        synced, not_synced = disk.path / "synced", disk.path / "not-synced"
        with synced.open("wb") as file:
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
        not_synced.write_bytes(b"lost")

        disk.cut()
        with pytest.raises(OSError, match="Input/output error"):
            (disk.path / "late").write_bytes(b"refused")
        disk.unmount()
        disk.mount()

        assert synced.read_bytes() == b"kept"
        assert not not_synced.exists() or not_synced.read_bytes() == b""
