"""What callgrind counts of the Rust bench `instructions`: instructions and calls of the allocator.

The bench tells what it did, one line for each kind of operation; callgrind writes one file for each
call of the function `measured`, in the same order. Nothing here depends on the load of the machine,
nor on its C library: what that costs is kept apart.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BENCH = "instructions"
MEASURED = f"{BENCH}::measured"
ALLOCATIONS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"}
# A build from nothing on a small machine is in it.
SECONDS_MAX = 1_800


@dataclass(frozen=True)
class Cost:
    """One line of callgrind's: what a function cost itself, or through its calls of another one."""

    object: str
    function: str
    instructions: int
    # The callee, and in which object it is if that is another one; `None`: the function itself.
    callee: str | None
    callee_object: str
    calls: int


def costs(lines: Iterable[str]) -> Iterator[Cost]:
    """The costs of one of callgrind's files, which has to be written without compression."""
    names = dict.fromkeys(["ob", "fn", "cob", "cfn"], "")
    calls: int | None = None
    for line in lines:
        key, _, value = line.strip().partition("=")
        if key in names:
            names[key] = value
        elif key == "calls":
            calls = int(value.split()[0])
        elif line[:1].isdigit():
            callee = None if calls is None else names["cfn"]
            instructions = int(line.split()[1])
            yield Cost(names["ob"], names["fn"], instructions, callee, names["cob"], calls or 0)
            names["cob"], calls = "", None


@dataclass
class Profile:
    """What some calls of the function cost that is counted."""

    # Instructions by function, callees not among them; without the C library.
    own: Counter[str] = field(default_factory=Counter)
    # The same, all callees among them; a recursive function counts each time.
    inclusive: Counter[str] = field(default_factory=Counter)
    allocations: int = 0
    # Instructions of the C library.
    library: int = 0

    def add(self, lines: Iterable[str], program: str) -> None:
        """Reads one file; `program` is the object whose functions count."""
        for cost in costs(lines):
            if cost.object != program:
                self.library += cost.instructions if cost.callee is None else 0
                continue
            self.inclusive[cost.function] += cost.instructions
            if cost.callee is None:
                self.own[cost.function] += cost.instructions
            elif cost.callee in ALLOCATIONS and cost.callee_object:
                self.allocations += cost.calls


@dataclass(frozen=True)
class Counted:
    """One kind of operation, counted."""

    name: str
    operation_count: int
    profile: Profile

    def per_operation(self) -> dict[str, float]:
        """What one operation costs: what is held."""
        return {
            "instructions": round(self.profile.own.total() / self.operation_count, 1),
            "allocations": round(self.profile.allocations / self.operation_count, 2),
        }


def output_of(*command: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """What a program of this machine prints; its errors go to the terminal."""
    done = subprocess.run(  # noqa: S603 - the compiler, and our own bench
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ if environment is None else environment,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=SECONDS_MAX,
        check=True,
    )
    return done.stdout


def compiler() -> str:
    """The compiler, and what it compiles for."""
    version, *details = output_of("rustc", "-vV").splitlines()
    [host] = [line.removeprefix("host: ") for line in details if line.startswith("host: ")]
    return f"{version} for {host}"


def build() -> str:
    """Builds the bench just as `cargo test` does: after that there is nothing left to compile."""
    flags = ["--release", "--locked", "--workspace", "--bench", BENCH, "--no-run"]
    told = output_of("cargo", "test", *flags, "--message-format=json-render-diagnostics")
    messages = [json.loads(line) for line in told.splitlines()]
    [program] = [
        message["executable"]
        for message in messages
        if message.get("executable") and message["target"]["name"] == BENCH
    ]
    return str(program)


def valgrind() -> str | None:
    """Where valgrind is, if it is here."""
    return shutil.which("valgrind")


def run(program: str, directory: Path) -> list[Counted]:
    """Counts the bench; callgrind's files stay in the directory."""
    out = directory / "counts"
    options = [f"--callgrind-out-file={out}", "--compress-strings=no", "--compress-pos=no", "-q"]
    options += [f"--zero-before={MEASURED}", f"--dump-after={MEASURED}"]
    # The environment lies on the stack and would move it: there is none.
    told = output_of(valgrind() or "", "--tool=callgrind", *options, program, environment={})
    files = sorted(directory.glob("counts.*"), key=lambda file: int(file.suffix[1:]))
    counted = []
    for line in told.splitlines():
        call_count, operation_count, name = line.split("\t")
        profile = Profile()
        for file in files[: int(call_count)]:
            profile.add(file.read_text().splitlines(), program)
        del files[: int(call_count)]
        counted.append(Counted(name, int(operation_count), profile))
    if files or not all(one.profile.own for one in counted):
        message = f"callgrind and the bench do not agree on the calls of `{MEASURED}`"
        raise RuntimeError(message)
    return counted


def count() -> list[Counted]:
    """Builds the bench and counts it."""
    program = build()
    with tempfile.TemporaryDirectory() as directory:
        return run(program, Path(directory))
