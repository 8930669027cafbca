"""The guard of `make instructions` fails when it has to: on doctored counts, in seconds."""

import json
import sys
from pathlib import Path

import pytest
from benches import callgrind, instructions
from benches.callgrind import Counted, Profile

PROGRAM = "/somewhere/instructions"
COMPILER = "rustc 1.0 for here"

# One call of `apply` from `measured`, and what that calls: `encode` twice, and the allocator.
FILE = f"""\
# callgrind format
version: 1
cmd:  {PROGRAM}
desc: Trigger: --dump-after=instructions::measured
positions: line
events: Ir
summary: 1000

ob={PROGRAM}
fl=???
fn=instructions::measured
0 10
cfn=engine::apply
calls=1 0
0 990

fn=engine::apply
0 500
cfn=engine::encode
calls=2 0
0 300
cob=/lib/libc.so.6
cfi=malloc.c
cfn=malloc
calls=3 40
0 150
0 40

fn=engine::encode
0 260
cob=/lib/libc.so.6
cfi=malloc.c
cfn=realloc
calls=2 60
0 40
cfn=calloc
calls=7 0
0 0

ob=/lib/libc.so.6
fl=malloc.c
fn=malloc
40 150
fn=realloc
60 30
cfn=malloc
calls=2 40
61 0
62 10
"""


def counted(name: str, own: int, allocations: int, operation_count: int = 100) -> Counted:
    profile = Profile(allocations=allocations)
    profile.own["engine::apply"] = profile.inclusive["engine::apply"] = own
    return Counted(name, operation_count, profile)


def test_a_file_of_callgrind_is_read_by_who_spent_what() -> None:
    profile = Profile()

    profile.add(FILE.splitlines(), PROGRAM)

    own = {"instructions::measured": 10, "engine::apply": 540, "engine::encode": 260}
    assert profile.own == own
    assert profile.library == 190
    assert profile.own.total() + profile.library == 1000
    assert profile.inclusive["engine::apply"] == 990
    assert profile.allocations == 5, "calls from the library itself, or of our own `calloc`: none"


HELD = {"ack": {"instructions": 2_000.0, "allocations": 1.0}}


@pytest.mark.parametrize(
    ("instructions_now", "allocations_now", "expected"),
    [
        (2_000.0, 1.0, []),
        (2_060.0, 1.0, []),
        (1_940.0, 1.0, []),
        (2_080.0, 1.0, ["ack: more instructions per operation, 2,000.0 -> 2,080.0 (+4.0%)"]),
        (1_900.0, 1.0, ["ack: fewer instructions per operation, 2,000.0 -> 1,900.0 (-5.0%)"]),
        (2_000.0, 2.0, ["ack: more allocations per operation, 1.0 -> 2.0 (+100.0%)"]),
    ],
)
def test_a_change_beyond_the_tolerance_is_named(
    instructions_now: float, allocations_now: float, expected: list[str]
) -> None:
    now = {"ack": {"instructions": instructions_now, "allocations": allocations_now}}

    assert instructions.complaints(HELD, now) == expected


def test_the_first_allocation_of_something_that_had_none_is_named() -> None:
    held = {"decode": {"instructions": 9.0, "allocations": 0.0}}
    now = {"decode": {"instructions": 9.0, "allocations": 0.01}}

    [complaint] = instructions.complaints(held, now)

    assert "from none" in complaint


def test_an_operation_on_one_side_only_is_named() -> None:
    [complaint, other] = instructions.complaints(HELD, {"nack": HELD["ack"]})

    assert complaint.startswith("ack: held")
    assert other.startswith("nack: counted")


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is held, for a compiler that is here; counting finds the same."""
    file = tmp_path / "instructions.json"
    file.write_text(json.dumps({"compiler": COMPILER, "operations": HELD}))
    monkeypatch.setattr(instructions, "HELD", file)
    monkeypatch.setattr(callgrind, "valgrind", lambda: "/usr/bin/valgrind")
    monkeypatch.setattr(callgrind, "compiler", lambda: COMPILER)
    monkeypatch.setattr(callgrind, "count", lambda: [counted("ack", 200_000, 100)])
    monkeypatch.setattr(sys, "argv", ["instructions.py"])
    monkeypatch.delenv("CI", raising=False)
    return file


def test_equal_counts_pass(held: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert instructions.main() == 0
    assert capsys.readouterr().err == ""


def test_a_slowdown_fails_and_says_how_to_accept_it_and_then_passes(
    held: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(callgrind, "count", lambda: [counted("ack", 230_000, 100)])

    assert instructions.main() == 1

    told = capsys.readouterr()
    assert "FAILED  ack: more instructions" in told.err
    assert "+15.0%" in told.out
    assert "python benches/instructions.py --accept" in told.err
    monkeypatch.setattr(sys, "argv", ["instructions.py", "--accept"])
    assert instructions.main() == 0
    monkeypatch.setattr(sys, "argv", ["instructions.py"])
    assert instructions.main() == 0
    assert json.loads(held.read_text())["operations"]["ack"]["instructions"] == 2_300.0


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_without_valgrind_it_says_so_and_fails_in_ci(
    held: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ci: str,
    status: int,
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(callgrind, "valgrind", lambda: None)

    assert instructions.main() == status

    told = capsys.readouterr().err
    assert "valgrind" in told
    assert ("NOT COMPARED" in told) == (status == 0)


def test_the_code_of_another_compiler_is_not_compared(
    held: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(callgrind, "compiler", lambda: "another")

    assert instructions.main() == 0

    told = capsys.readouterr().err
    assert COMPILER in told
    assert "NOT COMPARED" in told


def test_the_costliest_functions_can_be_shown(
    held: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["instructions.py", "--top", "3"])

    assert instructions.main() == 0

    assert "2,000.0   2,000.0    engine::apply" in capsys.readouterr().out
