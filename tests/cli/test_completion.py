"""What a shell completes."""

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Taquba
from tests.cli.test_command_line import COMMANDS
from tests.cli.test_terminal import read_all

COMPLETE = """
source {script}
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_taquba
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(script: Path, *words: str) -> list[str]:
    """What a bash offers behind these words, the last of which is being typed."""
    program = COMPLETE.format(script=script)
    bash = shutil.which("bash")
    assert bash is not None
    child = subprocess.run(
        [bash, "-uc", program, "bash", "taquba", *words],
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.stderr == ""
    return child.stdout.split()


@pytest.fixture
def script(taquba: Taquba, tmp_path: Path) -> Path:
    """The script for bash, in a directory with one other file."""
    (tmp_path / "some-file").touch()
    script = tmp_path / "script"
    script.write_text(taquba("completion", "bash").out)
    return script


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["jo"], ["jobs"]),
        (["jobs", ""], ["ls", "show", "cancel", "requeue", "wake", "enqueue"]),
        (["dead", "re"], ["requeue"]),
        (["jobs", "ls", "--sta"], ["--state"]),
        (["jobs", "ls", "--state", "d"], ["done", "dead"]),
        (["jobs", "ls", "--queue", "x", "--state", "pe"], ["pending"]),
        (["jobs", "ls", "some"], ["some-file"]),
        (["runs", "submit", "--file", "some"], ["some-file"]),
        (["runs", "submit", "--run-id", ""], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["completion", "z"], ["zsh"]),
        (["nonsense", "jo"], []),
        (["--ver"], ["--version"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bash_completes(script: Path, words: list[str], offered: list[str]) -> None:
    assert completed(script, *words) == offered


def test_bash_completes_every_command(script: Path) -> None:
    for words in COMMANDS:
        if words:
            assert words[-1] in completed(script, *words), words


def test_bash_completes_what_a_person_types(script: Path) -> None:
    (script.parent / "jobs").mkdir()
    outside, inside = pty.openpty()
    bash = ["bash", "--norc", "--noprofile", "-i"]
    with subprocess.Popen(
        bash, cwd=script.parent, stdin=inside, stdout=inside, stderr=inside, start_new_session=True
    ) as child:
        os.close(inside)
        try:
            os.write(outside, b"PS1='> '; source ./script; echo re''ady\n")
            read_all(outside, until="ready\r\n")
            os.write(outside, b"taquba jo\tca\t")
            # No slash behind `jobs`, though there is a directory of that name.
            read_all(outside, until="taquba jobs cancel ")
            os.write(outside, b"some\t")
            read_all(outside, until="some-file ")
        finally:
            child.kill()
    os.close(outside)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_every_option_is_in_the_script(taquba: Taquba, shell: str) -> None:
    script = taquba("completion", shell).out

    for words in COMMANDS:
        assert f"'{' '.join(words)}'" in script
    for option in ("watch", "dry-run", "older-than", "max-attempts", "listen", "policy"):
        assert f"-l {option}" in script if shell == "fish" else f"--{option}" in script


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_is_one_of_that_shell(taquba: Taquba, tmp_path: Path, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"MISSING: {shell}, which would read its completion script")
    script = tmp_path / "script"
    script.write_text(taquba("completion", shell).out)

    child = subprocess.run([program, "-n", script], capture_output=True, text=True, check=False)

    assert (child.returncode, child.stderr) == (0, "")
