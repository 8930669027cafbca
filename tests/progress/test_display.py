"""What people are shown, and where."""

import io
import subprocess
import sys

import pytest

from taquba import Queue, RunSpec, Step, StepOutcome, WorkflowRuntime
from taquba.progress import Progress, track
from taquba.progress import _display as display
from tests.progress.test_progress import progress


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


class Noting:
    """A display that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Progress] = []
        self.close_count = 0

    def update(self, progress: Progress) -> None:
        self.told.append(progress)

    def close(self) -> None:
        self.close_count += 1


async def succeed(_: Step) -> StepOutcome:
    return StepOutcome.Succeed(b"")


async def test_a_display_of_ones_own_is_told_everything_and_closed(queue: Queue) -> None:
    noting = Noting()
    async with WorkflowRuntime(queue, succeed) as runtime:
        handles = await runtime.submit_many([RunSpec(b"")])

        told = [each async for each in track(handles, interval=0.02, show=noting)]

    assert noting.told == told
    assert noting.close_count >= 1


async def test_a_loop_that_breaks_off_closes_the_display(queue: Queue) -> None:
    noting = Noting()

    async for _ in track(["nobody"], queue=queue, show=noting):
        break

    assert noting.close_count == 1


async def test_a_loop_that_fails_closes_the_display(queue: Queue) -> None:
    noting = Noting()

    with pytest.raises(ZeroDivisionError):
        async for progress in track(["nobody"], queue=queue, show=noting):
            assert progress.total_count // 0

    assert noting.close_count == 1


async def test_nothing_is_shown_unless_asked_for(
    queue: Queue, capfd: pytest.CaptureFixture[str]
) -> None:
    await track(["nobody"], queue=queue).finish()

    assert capfd.readouterr() == ("", "")


async def test_where_no_person_looks_lines_are_written(
    queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    await track(["nobody"], queue=queue, show=True).finish()

    shown = capsys.readouterr()
    assert shown.out == ""
    assert "1 of 1 runs ended, 1 missing, in 0.0s\n" in shown.err


def test_lines_come_every_ten_seconds_and_at_the_end() -> None:
    stream = io.StringIO()
    lines = display.LineDisplay(stream)

    for second in (0.0, 1.0, 9.9, 10.0, 15.0, 30.0):
        lines.update(progress(elapsed_seconds=second, succeeded_count=int(second)))
    lines.update(progress(elapsed_seconds=31.0, succeeded_count=1000))
    lines.close()

    firsts = [line.split()[0] for line in stream.getvalue().splitlines()]
    assert firsts == ["0", "10", "30", "1,000"]


def test_a_terminal_gets_a_bar_of_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    chosen = display.choose()
    assert isinstance(chosen, display.RichDisplay)

    chosen.update(progress())
    chosen.update(progress(succeeded_count=1000))
    chosen.close()
    chosen.close()

    assert "1,000 of 1,000 runs ended" in terminal.getvalue()
    # The cursor is back.
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")


def test_a_terminal_without_rich_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setitem(sys.modules, "rich.progress", None)

    chosen = display.choose()

    assert isinstance(chosen, display.LineDisplay)


class ZMQInteractiveShell:
    """What a notebook's IPython calls its shell."""


class FakeIPython:
    """An imported IPython, in a notebook."""

    @staticmethod
    def get_ipython() -> ZMQInteractiveShell:
        return ZMQInteractiveShell()


class Bar:
    """What `tqdm.notebook.tqdm` makes."""

    def __init__(self, *, total: int, unit: str) -> None:
        self.total, self.unit = total, unit
        self.n, self.text, self.is_closed = 0, "", False

    def set_postfix_str(self, text: str, *, refresh: bool) -> None:
        assert not refresh
        self.text = text

    def refresh(self) -> None:
        """Draws."""

    def close(self) -> None:
        self.is_closed = True


def test_a_notebook_gets_a_bar_of_tqdm() -> None:
    shown = display.TqdmDisplay(Bar)

    shown.close()
    shown.update(progress())
    bar = shown._bar  # noqa: SLF001 - the only way to it
    shown.close()

    assert (bar.total, bar.n, bar.text) == (1000, 100, str(progress()))
    assert bar.is_closed


def test_a_notebook_without_its_widgets_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", FakeIPython)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    assert isinstance(display.choose(), display.LineDisplay)


def test_a_notebook_with_its_widgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setitem(sys.modules, "IPython", FakeIPython)
    monkeypatch.setitem(sys.modules, "ipywidgets", sys)

    assert isinstance(display.choose(), display.TqdmDisplay)


def test_a_process_without_a_standard_error_is_shown_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    assert display.choose() is None


def test_importing_it_imports_no_display() -> None:
    program = (
        "import sys, taquba.progress; print(sorted({'rich', 'tqdm', 'IPython'} & set(sys.modules)))"
    )

    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert child.stdout == "[]\n"
