"""What is made of figures, and what is seen of the machine."""

import importlib.metadata
import os
import resource
from datetime import UTC, datetime
from pathlib import Path

import pytest

from taquba.doctor import CheckStatus, Diagnosis
from taquba.doctor import _machine as machine
from taquba.doctor._check import failure, ok, warning
from taquba.doctor._conditions import _judge_race
from taquba.doctor._place import Kind, find
from taquba.doctor._queue import _owned
from taquba.doctor._timing import _judge, percentile, spell
from taquba.queue import Owner

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [float(each) for each in range(1, 101)]

    assert (percentile(values, 0.5), percentile(values, 0.99)) == (50.0, 99.0)
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0
    assert percentile([2.0, 1.0], 0.5) == 1.0


@pytest.mark.parametrize(
    ("seconds", "spelled"), [(0.0000123, "12 us"), (0.0456, "45.6 ms"), (1.5, "1.50 s")]
)
def test_a_time_has_a_unit_that_keeps_it_short(seconds: float, spelled: str) -> None:
    assert spell(seconds) == spelled


def test_a_slow_store_is_told_to_be_nearer() -> None:
    check = _judge("latency-write", [1.5] * 3)

    assert check.status is CheckStatus.WARNING
    assert "same region" in str(check.remedy)
    assert _judge("latency-write", [0.5] * 3).status is CheckStatus.OK


@pytest.mark.parametrize(
    ("winners", "nothing", "status"),
    [
        ([1] * 10, 0, CheckStatus.OK),
        ([1] * 9 + [2], 0, CheckStatus.FAILURE),
        ([1] * 9 + [0], 0, CheckStatus.WARNING),
        ([1] * 9 + [0], 1, CheckStatus.FAILURE),
    ],
)
def test_a_race_has_one_winner(winners: list[int], nothing: int, status: CheckStatus) -> None:
    assert _judge_race(winners, nothing).status is status


def test_a_silent_owner_is_a_warning() -> None:
    owner = Owner(host="one", pid=7, since=NOW, last_seen=NOW, is_alive=False)

    check = _owned(owner)

    assert check.status is CheckStatus.WARNING
    assert check.seen == "process 7 on one, silent since 2030-01-02 03:04:05 UTC"


def test_the_worst_check_is_the_verdict() -> None:
    def verdict(*checks: object) -> CheckStatus:
        return Diagnosis(location="x", path="y", checks=checks).status  # type: ignore[arg-type]

    fine, bad, worse = ok("a", "x"), warning("b", "x", "y"), failure("c", "x", "y")
    assert verdict(fine) is CheckStatus.OK
    assert verdict(fine, bad) is CheckStatus.WARNING
    assert verdict(fine, worse, bad) is CheckStatus.FAILURE


def test_what_a_store_says_is_one_line_without_secrets() -> None:
    text = "<Error>\n\t<Code>x</Code>\n" + "y" * 1000
    check = failure("list", f"Authorization: Bearer abcdefghijklmnopqrstuvwx\n{text}", "do")

    assert "abcdefghij" not in check.seen
    assert "\n" not in check.seen
    assert len(check.seen) == 400


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("s3://bucket/x", Kind.S3),
        ("gs://bucket", Kind.GCS),
        ("abfss://container@account.dfs.core.windows.net/x", Kind.AZURE),
        ("memory://", Kind.MEMORY),
        ("file:///srv/state", Kind.DISK),
        ("state/here", Kind.DISK),
        ("nope://x", Kind.OTHER),
    ],
)
def test_a_url_tells_what_the_store_is(url: str, kind: Kind) -> None:
    assert find(url).kind is kind


def test_a_password_in_a_url_is_not_shown() -> None:
    assert "hunter2" not in find("s3://me:hunter2@bucket/x").location


def test_a_file_system_in_memory_is_a_warning() -> None:
    memory = Path("/dev/shm")  # noqa: S108 - what it is called on Linux
    if machine._mounted(memory) != "tmpfs":  # noqa: SLF001 - as the check does
        pytest.skip("there is none here")

    checks = {check.name: check for check in machine.disk(memory)}

    assert checks["file-system"].status is CheckStatus.WARNING


def test_a_system_that_does_not_tell_its_file_systems_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_mounted", lambda _: None)

    checks = {check.name: check for check in machine.disk(tmp_path)}

    assert checks["file-system"].status is CheckStatus.WARNING
    assert "not Linux" in checks["file-system"].seen


def test_a_network_file_system_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_mounted", lambda _: "nfs4")

    checks = {check.name: check for check in machine.disk(tmp_path / "not" / "there")}

    assert checks["file-system"].status is CheckStatus.WARNING
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_nearly_full_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = os.statvfs(tmp_path)
    full = os.statvfs_result((seen.f_bsize, 4096, *list(seen)[2:4], 10, *list(seen)[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)

    checks = {check.name: check for check in machine.disk(tmp_path)}

    assert checks["disk-space"].status is CheckStatus.WARNING
    assert checks["disk-space"].figures["free_bytes"] == 40960


@pytest.mark.parametrize(
    ("limit", "status"),
    [(256, CheckStatus.WARNING), (4096, CheckStatus.OK), (resource.RLIM_INFINITY, CheckStatus.OK)],
)
def test_few_open_files_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, limit: int, status: CheckStatus
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))

    assert machine.open_files().status is status


def test_extras_are_told_by_what_they_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [
        "pytest>=8 ; extra == 'there'",
        'no-such-package>=1; extra == "lacking"',
        "another-one; python_version >= '3' and extra == 'lacking'",
        "plain",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: requirements)

    seen = machine.extras().seen

    assert seen == ("can be used: there; not installed: lacking (no-such-package, another-one)")
