"""Recording what processes do to a store: a trace, and reading it again.

A trace is a directory:

| name | what |
|---|---|
| `trace.json` | the processes in their order, where the store was, what nobody could see |
| `origin/` | what was there before the first process |
| `marks` | the marks before the first process |
| `N.strace` | the calls of process N |
| `N.bulk/` | files that it wrote so much to that their content is not among its calls, by node |

# Invariants

1. The tree that the effects of a trace make is the one that was there after each process, byte
   for byte.
"""

import functools
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.power import strace
from tests.power.effects import Effect, Process, Tree

STORE = "data/queue"
"""Where the store is, below the directory that is watched."""

UNKNOWN_MAX = 8
RUN_SECONDS_MAX = 120

_REPOSITORY = Path(__file__).resolve().parents[2]


class RecordingError(Exception):
    """A recording that cannot be used: the workload failed, or its effects are not understood."""


@dataclass(frozen=True)
class Trace:
    """What happened to a directory, and what was there before."""

    origin: Tree
    effects: list[Effect]
    dirs: frozenset[int]
    first_marks: bytes
    home: Path

    @classmethod
    def load(cls, home: Path) -> Self:
        """Reads a trace."""
        info = json.loads((home / "trace.json").read_text())
        origin = Tree.read(home / "origin")
        tree, effects, line = origin.copy(), list[Effect](), 0
        for number, happened in enumerate(info["happened"]):
            calls = list(strace.read(home / f"{number}.strace", line))
            line = _next_line(calls, line)
            bulk = functools.cache(lambda node, of=home / f"{number}.bulk": _read_bulk(of, node))
            process = Process(tree, Path(info["root"]), Path(info["marks"]), bulk)
            effects.extend(process.follow(calls, happened))
        dirs = frozenset(tree.dirs)
        return cls(origin, effects, dirs, (home / "marks").read_bytes(), home)


class Recorder:
    """Runs processes on a directory, one after the other, and keeps what they do."""

    def __init__(self, home: Path, root: Path, marks: Path) -> None:
        self._home = home
        self._root = root
        self._marks = marks
        self._happened: list[list[int]] = []
        self._line = 0
        home.mkdir(parents=True)
        root.mkdir(parents=True, exist_ok=True)
        marks.touch()
        shutil.copytree(root, home / "origin")
        shutil.copyfile(marks, home / "marks")
        self._tree = Tree.read(home / "origin")

    def run(self, seed: int, ending: str, *options: str, inject: str | None = None) -> None:
        """Runs the workload once; `inject` is done to some of its calls."""
        number = len(self._happened)
        output = self._home / f"{number}.strace"
        name = f"{self._home.name}p{number}"
        store = self._root / STORE
        program = [sys.executable, "-m", "tests.power.workload", str(store), str(self._marks)]
        command = [*strace.command(output, inject), *program, str(seed), name, ending, *options]
        done = subprocess.run(
            command,
            cwd=_REPOSITORY,
            check=False,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
        )
        was_killed = done.returncode in {-9, 137}
        is_expected = ending == "kill" or inject is not None
        if done.returncode != 0 and not (was_killed and is_expected):
            raise RecordingError(f"the workload failed ({done.returncode}): {done.stderr[-2000:]}")
        calls = list(strace.read(output, self._line))
        self._line = _next_line(calls, self._line)
        self._happened.append(self._reconcile(calls, self._home / f"{number}.bulk"))
        info = {"root": str(self._root), "marks": str(self._marks), "happened": self._happened}
        (self._home / "trace.json").write_text(json.dumps(info))

    def _reconcile(self, calls: Sequence[strace.Call], bulk: Path) -> list[int]:
        """Which of the calls happened during which the process was killed: what is there tells."""
        real = Tree.read(self._root).contents()
        unknown = [call.begin for call in calls if call.result is None]
        if len(unknown) > UNKNOWN_MAX:
            raise RecordingError(f"{len(unknown)} calls have no result")
        for happened in _subsets(unknown):
            self._keep_bulk(calls, happened, bulk)
            content = functools.cache(lambda node: _read_bulk(bulk, node))
            tree = self._tree.copy()
            _exhaust(Process(tree, self._root, self._marks, content).follow(calls, happened))
            if tree.contents() == real:
                self._tree = tree
                return list(happened)
        differs = _differences(tree.contents(), real)
        raise RecordingError(f"the effects do not make what is there: {differs}")

    def _keep_bulk(self, calls: Sequence[strace.Call], happened: Iterable[int], bulk: Path) -> None:
        """Keeps the files that were written to in pieces which are too long to be shown."""
        tree = self._tree.copy()
        process = Process(tree, self._root, self._marks)
        _exhaust(process.follow(calls, happened))
        bulk.mkdir(exist_ok=True)
        for node in process.bulky:
            path = tree.path_of(node)
            if path is None:
                raise RecordingError("a file with large writes has gone")
            shutil.copyfile(self._root / path, bulk / str(node))


def _read_bulk(bulk: Path, node: int) -> bytes:
    return (bulk / str(node)).read_bytes()


def _exhaust(effects: Iterable[Effect]) -> None:
    for _ in effects:
        pass


def _next_line(calls: Iterable[strace.Call], line: int) -> int:
    return max((call.end for call in calls), default=line) + 1


def _subsets(items: Sequence[int]) -> Iterable[tuple[int, ...]]:
    sizes = range(len(items) + 1)
    return itertools.chain.from_iterable(itertools.combinations(items, size) for size in sizes)


def _differences(made: dict[str, Any], real: dict[str, Any]) -> list[str]:
    found = []
    for name in sorted(made.keys() | real.keys()):
        ours, theirs = made.get(name), real.get(name)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            found += [f"{name}/{below}" for below in _differences(ours, theirs)]
        elif ours != theirs:
            found.append(name)
    return found
