"""The research agent of `examples/`, killed in step 0 and after it, and started again."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.timeout(120)

TEXTS = {
    "tides.txt": (
        "Tides are caused by the moon and the sun. The moon pulls the water of the oceans towards "
        "itself. Tides rise and fall twice a day on most coasts. Sailors read tide tables."
    ),
    "bread.txt": (
        "Bread is made of flour, water and salt. Yeast makes the bread rise. "
        "The dough of the bread rests before it is baked. Ovens are hot."
    ),
}


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two real text files."""
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    return [str(tmp_path / name) for name in TEXTS]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs one of the examples."""
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def calls(state: Path) -> list[str]:
    """The model calls, without the process that made them."""
    return [line.rsplit(" ", 1)[0] for line in (state / "calls.log").read_text().splitlines()]


def test_an_agent_killed_in_the_middle_of_step_0_repeats_no_call_that_has_an_answer(
    tmp_path: Path, files: list[str]
) -> None:
    state = tmp_path / "state"

    first = run("research_agent.py", "--state", str(state), "--crash-in-step", "0", *files)
    calls_of_first = calls(state)
    second = run("research_agent.py", "--state", str(state), *files)

    assert first.returncode == -signal.SIGKILL, first.stderr
    assert calls_of_first == [f"step=0 subject={files[0]}"]
    assert second.returncode == 0, second.stderr
    assert "step 0: research" in second.stdout
    assert f"{files[0]}: known" in second.stdout
    assert f"{files[1]}: known" not in second.stdout
    subjects = [f"step=0 subject={files[1]}", "step=1 subject=overview"]
    assert calls(state) == [*calls_of_first, *subjects]
    report = (state / "report.md").read_text()
    assert "moon" in report
    assert "Yeast" in report or "dough" in report


def test_an_agent_killed_after_step_0_resumes_at_step_1(tmp_path: Path, files: list[str]) -> None:
    state = tmp_path / "state"

    first = run("research_agent.py", "--state", str(state), "--crash-after-step", "0", *files)
    calls_of_first = calls(state)
    second = run("research_agent.py", "--state", str(state), *files)

    assert first.returncode == -signal.SIGKILL, first.stderr
    assert calls_of_first == [f"step=0 subject={file}" for file in files]
    assert second.returncode == 0, second.stderr
    assert calls(state) == [*calls_of_first, "step=1 subject=overview"]
    assert "resuming, not repeating" in second.stdout
    assert "step 0" not in second.stdout
    report = (state / "report.md").read_text()
    assert report.strip() in second.stdout
    assert "offline extractive model" in report
    assert "moon" in report
    assert "Yeast" in report or "dough" in report


def test_an_agent_that_is_not_killed_shows_its_progress_and_the_report(
    tmp_path: Path, files: list[str]
) -> None:
    state = tmp_path / "state"

    done = run("research_agent.py", "--state", str(state), *files)
    again = run("research_agent.py", "--state", str(state), *files)

    assert done.returncode == 0, done.stderr
    for index, file in enumerate(files):
        assert f"[{index + 1}/{len(files)}] {file}" in done.stdout
    assert "# Research report" in done.stdout
    assert again.returncode == 0, again.stderr
    assert "# Research report" in again.stdout
    assert len(calls(state)) == len(files) + 1


def test_an_agent_with_other_files_starts_another_run(tmp_path: Path, files: list[str]) -> None:
    state = tmp_path / "state"

    run("research_agent.py", "--state", str(state), files[0])
    other = run("research_agent.py", "--state", str(state), files[1])

    assert "submitted" in other.stdout
    assert calls(state)[2] == f"step=0 subject={files[1]}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("research_agent.py", "--state", str(tmp_path / "state"), str(tmp_path / "absent"))

    assert done.returncode == 2
    assert "absent" in done.stderr


def test_a_key_without_pydantic_ai_says_what_to_install(
    tmp_path: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("pydantic_ai") is not None:
        pytest.skip("pydantic-ai is installed here, so there is nothing to say")
    monkeypatch.setenv("OPENAI_API_KEY", "not a real key")

    done = run("research_agent.py", "--state", str(tmp_path / "state"), *files)

    assert done.returncode == 0, done.stderr
    assert "pip install pydantic-ai" in done.stdout
    assert "not a real key" not in done.stdout + done.stderr


def test_the_demonstration_passes_its_own_checks(tmp_path: Path, files: list[str]) -> None:
    done = run("crash_and_resume.py", "--state", str(tmp_path / "state"), *files)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT" not in done.stdout
    assert done.stdout.count("  ok ") == 13
    made = [line.strip() for line in done.stdout.splitlines() if line.startswith("    process")]
    assert made == [
        f"process 1: step=0 subject={files[0]}",
        f"process 2: step=0 subject={files[1]}",
        "process 3: step=1 subject=overview",
    ]


def demonstrate_with(
    tmp_path: Path, files: list[str], agent: Path, *changes: tuple[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs a demonstration of that agent, with other words in its source."""
    named = (
        'AGENT = Path(__file__).with_name("research_agent.py")',
        f"AGENT = Path({str(agent)!r})",
    )
    program = tmp_path / "changed.py"
    program.write_text(changed(EXAMPLES / "crash_and_resume.py", named, *changes))
    command = [sys.executable, str(program), "--state", str(tmp_path / "state"), *files]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def changed(source: Path, *changes: tuple[str, str]) -> str:
    """A program with other words in it."""
    text = source.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def test_the_demonstration_fails_if_a_model_call_was_repeated(
    tmp_path: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its agent asks again what it knows.
    agent = tmp_path / "forgetful.py"
    forgets = ("(await step.memo.get_or_compute(subject, ask))", "(await ask())")
    agent.write_text(changed(EXAMPLES / "research_agent.py", forgets))
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))

    done = demonstrate_with(tmp_path, files, agent)

    assert done.returncode == 1
    assert "NOT it made the 1 calls that were missing" in done.stdout


def test_the_demonstration_fails_if_a_process_starts_over(tmp_path: Path, files: list[str]) -> None:
    # Its last process gets a state directory of its own.
    done = demonstrate_with(
        tmp_path,
        files,
        EXAMPLES / "research_agent.py",
        ('"--state", str(state), *options', '"--state", f"{state}{bool(options)}", *options'),
        ('(state / "calls.log")', 'Path(f"{state}True", "calls.log")'),
    )

    assert done.returncode == 1
    assert "ok  it made the 1 calls that were missing" in done.stdout
    assert "NOT it found the run" in done.stdout
