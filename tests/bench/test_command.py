"""The command: its options, its tables, its document, its plots."""

import dataclasses
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from taquba.bench import _command, main
from taquba.bench._lab import Lab, Settings
from taquba.bench._result import Case, NotDoneError
from taquba.bench._scenarios import SCENARIOS
from tests.bench.conftest import TINY
from tests.needs import missing

Output = pytest.CaptureFixture[str]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command measures as little as the other tests do."""
    monkeypatch.setattr(_command, "_settings", lambda _options: _in_memory())


def _in_memory() -> Settings:
    return Settings(
        store="memory://", is_quick=True, round_count=2, in_flight=8, count_max=TINY.count_max
    )


def hide_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taquba.bench._plots.find_spec", lambda _name: None)


def refuse_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_arguments: object) -> None:
        pytest.fail("something was measured")

    monkeypatch.setattr(_command, "_measure", measure)


def test_the_list_names_every_scenario(capsys: Output) -> None:
    assert main(["--list"]) == 0

    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == list(SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "no scenario `nonsense`; there are enqueue, drain"),
        (["--rounds", "0"], "--rounds is at least 1"),
        (["--payload-bytes", "7"], "--payload-bytes is at least 8"),
        (["--in-flight", "0"], "--in-flight is at least 1"),
        (["--minutes", "0"], "--minutes is at least 0.01"),
        (["--store", "slow:"], "`slow:`: give the milliseconds"),
        (["--json", "no/such/directory/x.json"], "there is no directory `no/such/directory`"),
    ],
)
def test_a_bad_option_is_refused_before_anything_is_measured(
    arguments: list[str], complaint: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_measure(monkeypatch)

    with pytest.raises(SystemExit) as end:
        main(arguments)

    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_plots_without_matplotlib_are_refused_before_anything_is_measured(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_matplotlib(monkeypatch)
    refuse_to_measure(monkeypatch)

    with pytest.raises(SystemExit) as end:
        main(["memos", "--plots", str(tmp_path / "plots")])

    assert end.value.code == 2
    assert "pip install 'taquba[bench]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("tiny")
def test_the_document_has_machine_command_and_every_round(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "found.json"

    assert main(["memos", "queue", "--json", str(file)]) == 0

    found: dict[str, Any] = json.loads(file.read_text())
    assert found.keys() == {"format", "command", "machine", "settings", "scenarios"}
    assert found["format"] == 1
    assert found["command"] == ["python -m taquba.bench", "memos", "queue", "--json", str(file)]
    assert found["machine"]["taquba"] in capsys.readouterr().out
    assert found["settings"]["payload_bytes"] == 64
    memos, queue = found["scenarios"]
    assert (memos["name"], queue["name"]) == ("memos", "queue")
    assert memos["store"] == "memory"
    assert [case["name"] for case in memos["cases"]] == ["put", "get", "empty get"]
    put = memos["cases"][0]
    assert (put["unit"], len(put["rounds"])) == ("call", 2)
    for measured in put["rounds"]:
        assert measured["count"] == TINY.count_max
        assert measured["wall_seconds"] > 0
        assert measured["counters"]["commit_count"] > 0
        assert measured["figures"]["per_second"] > 0
        latency = measured["latencies"]["call"]
        assert latency["ms"].keys() == {"p50", "p90", "p99", "p99.9", "max"}
        assert latency["count"] == TINY.count_max
        assert latency["curve_ms"] == sorted(latency["curve_ms"])


@pytest.mark.usefixtures("tiny")
def test_the_tables_show_best_and_median_of_each_case(capsys: Output) -> None:
    assert main(["memos"]) == 0

    lines = capsys.readouterr().out.splitlines()
    [header] = [line for line in lines if "calls/s" in line]
    assert "CPU us/call" in header
    first = lines.index(header) + 1
    assert [line.split()[0] for line in lines[first : first + 2]] == ["put", "median"]
    assert lines[first].split()[1] == "best"
    [latency] = [line for line in lines if line.strip().startswith("latency, ms")]
    assert latency.split()[2:] == ["p50", "p90", "p99", "p99.9", "max"]


@pytest.mark.usefixtures("tiny")
def test_work_that_was_not_done_ends_with_1_and_keeps_what_was_measured(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_lab: Lab) -> list[Case]:
        message = "3 of 4 payloads came back"
        raise ExceptionGroup("lanes", [NotDoneError(message), NotDoneError("another lane")])

    monkeypatch.setattr(
        _command,
        "SCENARIOS",
        {
            "memos": SCENARIOS["memos"],
            "queue": dataclasses.replace(SCENARIOS["queue"], measure=fail),
        },
    )
    file = tmp_path / "found.json"

    assert main(["memos", "queue", "--json", str(file)]) == 1

    assert "queue: 3 of 4 payloads came back" in capsys.readouterr().err
    assert [each["name"] for each in json.loads(file.read_text())["scenarios"]] == ["memos"]


@pytest.mark.slow
@pytest.mark.timeout(240)  # matplotlib looks at every font of the machine the first time
@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("tiny")
def test_plots_are_drawn_as_svg_and_png(tmp_path: Path) -> None:
    if find_spec("matplotlib") is None:
        missing("matplotlib: pip install 'taquba[bench]'")

    assert main(["memos", "queue", "--plots", str(tmp_path / "plots")]) == 0

    files = sorted(file.name for file in (tmp_path / "plots").iterdir())
    assert files == ["memos.png", "memos.svg", "queue.png", "queue.svg"]
    assert (tmp_path / "plots/queue.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "plots/memos.svg").read_text()
    assert "calls per second" in svg
    assert "time of a call (ms)" in svg


@pytest.mark.slow
def test_it_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "taquba.bench", "drain", "--quick"]

    child = subprocess.run(
        [*command, "--rounds", "1", "--in-flight", "16"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (child.returncode, child.stderr) == (0, "")
    assert "local disk with fsync; rounds: 1 of 10,000 jobs" in child.stdout
    assert list(tmp_path.iterdir()) == []


def test_importing_taquba_imports_no_benchmark() -> None:
    program = "import sys, taquba; print([m for m in sys.modules if m.startswith('taquba.bench')])"

    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert child.stdout.strip() == "[]"
