"""On a terminal, into a pipe that is closed, and interrupted."""

import importlib.util
import io
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from taquba.cli import _progress, _screen
from taquba.cli._blocks import Column, Table
from tests.cli.conftest import Taquba
from tests.cli.places import HOSTILE, OwnerThread

COMMAND = [sys.executable, "-W", "error", "-m", "taquba.cli"]
PATIENCE_SECONDS = 30.0


def read_all(descriptor: int, until: str | None = None) -> str:
    """What comes out of a terminal, up to its end or to a text."""
    content = b""
    while until is None or until.encode() not in content:
        ready, _, _ = select.select([descriptor], [], [], PATIENCE_SECONDS)
        assert ready, f"nothing more came after {content!r}"
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # Linux: nobody has the other end any more.
            part = b""
        if not part:
            break
        content += part
    return content.decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Both ends of a terminal of 200 columns."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    outside, inside = pty.openpty()
    yield outside, inside
    os.close(outside)


def on_terminal(ends: tuple[int, int], words: Sequence[object]) -> tuple[int, str]:
    """Runs a command on a terminal. Returns what it ended with, and all that it wrote."""
    outside, inside = ends
    child = subprocess.Popen([*COMMAND, *map(str, words)], stdout=inside, stderr=inside)
    os.close(inside)
    shown = read_all(outside)
    return child.wait(PATIENCE_SECONDS), shown


def test_a_terminal_gets_colours_and_nothing_hostile(
    terminal: tuple[int, int], filled: Path
) -> None:
    code, shown = on_terminal(terminal, ["dead", "ls", filled])

    assert code == 0
    assert "\x1b[1;2mjob" in shown
    assert "\\x1b[31mred" in shown
    for hostile in ("\x1b[31mred", "\u202e", "\u2066", "\x07", "\u200b"):
        assert hostile not in shown


def test_states_are_coloured(terminal: tuple[int, int], filled: Path) -> None:
    _, shown = on_terminal(terminal, ["runs", "ls", filled])

    assert "\x1b[32msucceeded" in shown
    assert "\x1b[31mfailed" in shown


def test_a_narrow_terminal_cuts_errors_and_no_ids(
    terminal: tuple[int, int], filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")

    _, shown = on_terminal(terminal, ["dead", "ls", filled, "--queue", "broken"])

    rows = [line for line in shown.splitlines() if "broken" in line]
    assert len(rows) == 3
    assert all("…" in row and len(row) <= 70 for row in rows)
    assert all(row.split()[0].isalnum() and len(row.split()[0]) == 16 for row in rows)


def test_watching_draws_again_until_it_is_interrupted(
    terminal: tuple[int, int], filled: Path
) -> None:
    outside, inside = terminal
    command = [*COMMAND, "queues", str(filled), "--watch", "0.1"]
    child = subprocess.Popen(command, stdout=inside, stderr=inside)
    os.close(inside)

    first = read_all(outside, until="enqueued/s")
    child.send_signal(signal.SIGINT)
    rest = read_all(outside)

    assert child.wait(PATIENCE_SECONDS) == 130
    assert "\x1b[?1049h" in first, "a screen of its own"
    assert "\x1b[?1049l" in rest, "and the one before is given back"
    assert "Traceback" not in first + rest


def test_watching_without_a_terminal_writes_one_answer_after_the_other(filled: Path) -> None:
    command = [*COMMAND, "queues", str(filled), "--watch", "0.1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first, second = child.stdout.readline(), child.stdout.readline()
        child.send_signal(signal.SIGINT)
        child.stdout.read()

    assert child.returncode == 130
    assert '"rates": null' in first
    assert '"rates": {"enqueued": 0.0' in second


def test_a_closed_pipe_ends_it_quietly(filled: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    child = subprocess.Popen(
        [*COMMAND, "kv", "ls", str(filled), "--ndjson"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write_end)
    _, err = child.communicate(timeout=PATIENCE_SECONDS)

    assert (child.returncode, err) == (141, "")


def test_following_a_run_is_interrupted_without_a_traceback(filled: Path) -> None:
    command = [*COMMAND, "runs", "tail", str(filled), "waiting", "--every", "10s"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert "pending, step 0" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.stderr.read() == ""

    assert child.returncode == 130


def test_without_rich_a_terminal_gets_plain_text_that_fits(
    taquba: Taquba, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_screen, "find_spec", lambda _: None)
    monkeypatch.setattr(_screen, "is_terminal", lambda _: True)
    monkeypatch.setenv("COLUMNS", "70")

    rows = taquba("dead", "ls", filled, "--queue", "broken").out.splitlines()

    assert len(rows) == 4
    assert all(len(row) <= 70 and row.isprintable() for row in rows)
    assert rows[1].endswith("...")
    assert taquba("dead", "ls", filled, "--queue", "emails").out == "no dead jobs\n"


def test_a_table_shows_no_column_in_which_nothing_stands() -> None:
    columns = [Column("a"), Column("b"), Column("c")]

    table = Table(columns, [["1", "", HOSTILE], ["2", "", ""]], "none").without_empty()

    assert [column.title for column in table.columns] == ["a", "c"]
    assert table.rows == [["1", HOSTILE], ["2", ""]]


def test_a_listing_imports_no_extra() -> None:
    program = (
        "import sys; from taquba.cli import main; main(['kv', 'ls', '/nowhere']);"
        "print(sorted({'rich', 'starlette', 'uvicorn', 'taquba.bench', 'taquba.admin'}"
        " & set(sys.modules)))"
    )
    assert importlib.util.find_spec("rich") is not None

    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert child.stdout == "[]\n"


def test_long_work_shows_a_bar_beside_its_answer(
    terminal: tuple[int, int], owner: OwnerThread, taquba: Taquba
) -> None:
    words = ["dead", "requeue", "broken", "--yes", "--admin", owner.address]

    code, shown = on_terminal(terminal, words)

    assert code == 0
    assert "dead jobs" in shown
    assert "3/3" in shown
    assert "3 of 3 requeued" in shown
    silent = taquba("dead", "purge", "broken", "--yes", "--admin", owner.address)
    assert silent.err == "", "without a terminal there is no bar"


def test_a_bar_without_rich_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "is_fancy", lambda _: False)
    monkeypatch.setattr(_progress, "is_terminal", lambda _: True)

    with _progress.progress("jobs", 4) as update:
        update(1)
        update(4)

    quarter, whole = capsys.readouterr().err.strip().split("\r")
    assert quarter.count("#") == 7
    assert whole == f"[{'#' * 30}] 4/4 jobs"


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("YES", 0), ("n", 2), ("", 2)])
def test_a_person_is_asked_before_much_is_changed(
    taquba: Taquba, owner: OwnerThread, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    typed = io.StringIO(answer + "\n")
    monkeypatch.setattr(typed, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", typed)

    ended = taquba("dead", "purge", "broken", "--admin", owner.address)

    assert ended.code == code
    assert "Delete at most 3 dead jobs of `broken` for good? [y/N] " in ended.err
    assert ended.err.startswith("Steps of failed runs among them are the input that `taquba runs")
    assert ended.out == ("3 deleted\n" if code == 0 else "")
