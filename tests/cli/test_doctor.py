"""`taquba doctor`: what it prints, and what it ends with."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taquba.cli import main
from tests.doctor.fake_s3 import FakeS3, fake_s3


def test_a_directory_that_is_well_ends_with_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended_with = main(["doctor", str(tmp_path), "--json"])

    told = json.loads(capsys.readouterr().out)
    worse = [check for check in told["checks"] if check["status"] != "ok"]
    assert (told["location"], told["path"]) == (str(tmp_path), "taquba")
    # A machine may have little space, or a file system of its own kind.
    assert {check["name"] for check in worse} <= {"disk-space", "file-system", "fsync"}
    assert ended_with == (1 if worse else 0)
    assert list(tmp_path.iterdir()) == []


def test_a_warning_ends_with_one_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", "memory://"]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "memory://, path taquba"
    at = next(number for number, line in enumerate(lines) if line.startswith("  WARNING "))
    assert "durability" in lines[at]
    assert lines[at + 1].strip() == "do: use a bucket or a directory, except in tests"
    assert lines[-1].endswith("ok, 1 warning, 0 failures")


def test_a_failure_ends_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "store").write_bytes(b"a file")

    assert main(["doctor", str(tmp_path / "store")]) == 2

    assert "  FAILURE " in capsys.readouterr().out


def test_what_is_no_store_ends_with_two_and_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAQUBA_URL", raising=False)

    assert main(["doctor", "nope://bucket"]) == 2
    assert main(["doctor"]) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 2
    assert "[invalid-store]" in shown.err


def test_an_address_of_the_environment_is_examined(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAQUBA_URL", "memory://")

    assert main(["doctor", "--path", "here", "--json"]) == 1

    assert json.loads(capsys.readouterr().out)["path"] == "here"


def test_hostile_answers_are_shown_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "\x1b[31mred\u202e"

    main(["doctor", str(directory)])

    shown = capsys.readouterr().out
    assert "\\x1b[31mred\\u202e" in shown
    assert "\x1b" not in shown


def interrupted(server: FakeS3, request_count: int) -> "subprocess.CompletedProcess[str]":
    """`taquba doctor`, stopped by Ctrl-C when it has sent so many requests."""
    command = [sys.executable, "-m", "taquba.cli", "doctor", "s3://bucket/app"]
    with subprocess.Popen(
        command,
        env=os.environ | server.settings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        for _ in range(request_count):
            assert server.arrived.acquire(timeout=30)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


# Among the rights, in the race, among the latencies.
@pytest.mark.parametrize("request_count", [6, 40, 150])
def test_an_interrupted_examination_leaves_nothing_behind(request_count: int) -> None:
    with fake_s3() as server:
        server.spoil.delay_seconds = 0.005

        child = interrupted(server, request_count)

        assert (child.returncode, child.stdout, child.stderr) == (130, "", "")
        assert server.left == []
        assert [line for line in server.seen if line.startswith("PUT")] != []


def test_a_bucket_is_examined_by_its_url(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_s3() as server:
        for name, value in server.settings().items():
            monkeypatch.setenv(name, value)

        assert main(["doctor", "s3://bucket/app"]) == 0

        assert server.left == []
    assert "s3:AbortMultipartUpload is granted" in capsys.readouterr().out
