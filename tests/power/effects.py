"""What system calls did to a directory, and to what in it.

Files and directories are nodes, by number: a name may come to mean another one. The directory
itself is node 0.

# Invariants

1. A call that does something to the directory and is not understood is an error, never passed over.
2. With all effects applied the tree is what is really there: `recording.py` compares.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.power.strace import Call

ROOT = 0


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes of a file."""

    begin: int
    end: int
    node: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """The length of a file, and what it was before."""

    begin: int
    end: int
    node: int
    length: int
    before: int


@dataclass(frozen=True, slots=True)
class Entries:
    """Names of a directory: which node each of them means now. They change together."""

    begin: int
    end: int
    node: int
    changes: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Sync:
    """What was done to a node before is durable."""

    begin: int
    end: int
    node: int
    is_data_only: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """The workload has written a mark."""

    begin: int
    text: bytes


Change = Write | Resize | Entries
Effect = Change | Sync | Mark


# Calls that change what names there are.
_NAMING = {
    *("mkdir", "mkdirat", "open", "openat", "rmdir", "unlink", "unlinkat"),
    *("rename", "renameat", "renameat2", "link", "linkat"),
}


class _NotYetError(Exception):
    """A call that has succeeded and could not have, as things are."""


class NotUnderstoodError(Exception):
    """A call that may do something to the directory, and nobody knows what."""


@dataclass
class Tree:
    """Directories with their names, and the contents of files."""

    dirs: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    files: dict[int, bytearray] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Tree":
        """What is there."""
        tree = cls()
        tree._read(path, ROOT)
        return tree

    def _read(self, path: Path, node: int) -> None:
        for child in sorted(path.iterdir()):
            number = self.new(is_dir=child.is_dir())
            self.dirs[node][child.name] = number
            if child.is_dir():
                self._read(child, number)
            else:
                self.files[number][:] = child.read_bytes()

    def new(self, *, is_dir: bool) -> int:
        """A node without a name."""
        number = len(self.dirs) + len(self.files)
        if is_dir:
            self.dirs[number] = {}
        else:
            self.files[number] = bytearray()
        return number

    def path_of(self, node: int, within: int = ROOT) -> str | None:
        """The name of a node, if it has one."""
        for name, child in self.dirs[within].items():
            if child == node:
                return name
            if child in self.dirs:
                below = self.path_of(node, child)
                if below is not None:
                    return f"{name}/{below}"
        return None

    def contents(self, node: int = ROOT) -> dict[str, object]:
        """What there is, by name."""
        return {
            name: self.contents(child) if child in self.dirs else bytes(self.files[child])
            for name, child in self.dirs[node].items()
        }

    def copy(self) -> "Tree":
        """The same, for somebody who changes it."""
        dirs = {node: dict(names) for node, names in self.dirs.items()}
        return Tree(dirs, {node: bytearray(data) for node, data in self.files.items()})

    def apply(self, effect: Change) -> None:
        """Does this to the tree."""
        match effect:
            case Write(node=node, offset=offset, data=data):
                content = self.files[node]
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data
            case Resize(node=node, length=length):
                content = self.files[node]
                content.extend(bytes(max(0, length - len(content))))
                del content[length:]
            case Entries(node=node, changes=changes):
                for name, child in changes:
                    if child is None:
                        self.dirs[node].pop(name, None)
                    else:
                        self.dirs[node][name] = child


@dataclass
class _Open:
    node: int
    at: int
    is_appending: bool


class Process:
    """The open files of one process on a tree, which follows its calls."""

    def __init__(
        self, tree: Tree, root: Path, marks: Path, bulk: Callable[[int], bytes] | None = None
    ) -> None:
        """`bulk` gives the content of a file with writes that are too long to be shown.

        Without it they are taken for zeros, and `bulky` tells which files need it.
        """
        self.tree = tree
        self.bulky: set[int] = set()
        self._bulk = bulk
        self._root = os.fsencode(root)
        self._marks = os.fsencode(marks)
        self._open: dict[int, _Open] = {}
        self._marks_open: set[int] = set()

    def follow(self, calls: Iterable[Call], happened: Iterable[int]) -> Iterator[Effect]:
        """The effects of calls. Of calls whose result is not known those with these lines happened.

        They are followed as they ended, a close as it began: its number may be somebody else's
        before it has ended. Calls that overlap may have happened in another order: one that could
        not have succeeded has happened behind another one that was under way.
        """
        known = set(happened)
        left = [call for call in calls if _has_happened(call, known)]
        left.sort(key=lambda call: call.begin if call.name == "close" else call.end)
        early: set[int] = set()
        for place, call in enumerate(left):
            if place in early:
                continue
            while True:
                try:
                    effects = list(self._effects(call))
                    break
                except _NotYetError:
                    yield from self._hurry(left, place, early)
            yield from self._applied(effects)

    def _applied(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, (Write, Resize, Entries)):
                self.tree.apply(effect)
        return effects

    def _hurry(self, calls: Sequence[Call], place: int, early: set[int]) -> list[Effect]:
        """The effects of the next call that was under way when the one at this place ended."""
        call = calls[place]
        for number in range(place + 1, len(calls)):
            other = calls[number]
            if number in early or other.begin > call.end or other.name not in _NAMING:
                continue
            try:
                effects = list(self._effects(other))
            except _NotYetError:
                continue
            early.add(number)
            return self._applied(effects)
        raise NotUnderstoodError(f"line {call.begin}: {call.name} cannot have succeeded")

    def _effects(self, call: Call) -> Iterator[Effect]:
        match call.name:
            case "openat" | "open":
                yield from self._opened(call)
            case "close":
                self._open.pop(call.number(0), None)
                self._marks_open.discard(call.number(0))
            case "write" | "pwrite64":
                yield from self._written(call)
            case "ftruncate" | "fsync" | "fdatasync" | "lseek":
                yield from self._handled(call)
            case "mkdir" | "mkdirat" | "unlink" | "unlinkat" | "rmdir":
                yield from self._named(call)
            case "rename" | "renameat" | "renameat2" | "link" | "linkat":
                yield from self._renamed(call)
            case _:
                self._check_foreign(call)

    def _handled(self, call: Call) -> Iterator[Effect]:
        opened = self._open.get(call.number(0))
        if opened is None:
            return
        if call.name == "ftruncate":
            before = len(self.tree.files[opened.node])
            yield Resize(call.begin, call.end, opened.node, call.number(1), before)
        elif call.name == "lseek":
            opened.at = call.result or 0
        elif call.result is not None:
            # Of one that was killed nobody was told that it has succeeded.
            yield Sync(call.begin, call.end, opened.node, call.name == "fdatasync")

    def _check_foreign(self, call: Call) -> None:
        texts = call.strings()
        is_ours = any(self._place(text) is not None for text in texts[:2])
        first = call.arguments.split(b",")[0].strip()
        is_open = first.isdigit() and int(first) in self._open
        is_harmless = call.name == "fcntl" and b"F_DUPFD" not in call.arguments
        if (is_ours or is_open) and not is_harmless:
            raise NotUnderstoodError(f"line {call.begin}: {call.name}({call.arguments[:200]!r}")

    def _place(self, path: bytes) -> tuple[int, str] | None:
        """The directory of a path and its name there; `None` if it is not in our directory."""
        if not path.startswith(self._root + b"/"):
            return None
        *above, name = path.removeprefix(self._root + b"/").rstrip(b"/").decode().split("/")
        node = ROOT
        for part in above:
            child = self.tree.dirs[node].get(part)
            if child not in self.tree.dirs:
                raise _NotYetError
            node = child
        return node, name

    def _opened(self, call: Call) -> Iterator[Effect]:
        handle = call.result
        path = call.strings()[0]
        place = self._place(path + b"/." if path == self._root else path)
        if handle is not None:
            self._open.pop(handle, None)
            self._marks_open.discard(handle)
            if path == self._marks:
                self._marks_open.add(handle)
        if place is None:
            return
        directory, name = place
        node = directory if name == "." else self.tree.dirs[directory].get(name)
        if node is None:
            node = self.tree.new(is_dir=False)
            yield Entries(call.begin, call.end, directory, ((name, node),))
        elif b"O_TRUNC" in call.arguments and self.tree.files[node]:
            yield Resize(call.begin, call.end, node, 0, len(self.tree.files[node]))
        if handle is not None:
            self._open[handle] = _Open(node, 0, b"O_APPEND" in call.arguments)

    def _written(self, call: Call) -> Iterator[Effect]:
        handle = call.number(0)
        if handle in self._marks_open:
            yield Mark(call.begin, call.strings()[0])
        opened = self._open.get(handle)
        if opened is None:
            return
        if call.name == "pwrite64":
            at = call.number(-1)
        else:
            at = len(self.tree.files[opened.node]) if opened.is_appending else opened.at
        data = self._data(call, opened.node, at)
        if call.name == "write":
            opened.at = at + len(data)
        yield Write(call.begin, call.end, opened.node, at, data)

    def _data(self, call: Call, node: int, at: int) -> bytes:
        if not call.is_cut():
            data = call.strings()[0]
            return data if call.result is None else data[: call.result]
        if call.result is None:
            raise NotUnderstoodError(f"line {call.begin}: nobody knows how much was written")
        self.bulky.add(node)
        if self._bulk is None:
            return bytes(call.result)
        # Nothing is written twice to one place: what is there at the end was written now.
        return self._bulk(node)[at : at + call.result]

    def _named(self, call: Call) -> Iterator[Effect]:
        place = self._place(call.strings()[0])
        if place is None:
            return
        directory, name = place
        is_made = call.name.startswith("mkdir")
        child = self.tree.dirs[directory].get(name)
        is_full = child is not None and bool(self.tree.dirs.get(child))
        if is_made != (child is None) or is_full:
            raise _NotYetError
        node = self.tree.new(is_dir=True) if is_made else None
        yield Entries(call.begin, call.end, directory, ((name, node),))

    def _renamed(self, call: Call) -> Iterator[Effect]:
        places = [self._place(path) for path in call.strings()]
        if places[0] is None and places[1] is None:
            return
        if places[0] is None or places[1] is None or places[0][0] != places[1][0]:
            raise NotUnderstoodError(f"line {call.begin}: {call.name} from directory to directory")
        (directory, source), (_, target) = places[0], places[1]
        node = self.tree.dirs[directory].get(source)
        if node is None:
            raise _NotYetError
        changes: tuple[tuple[str, int | None], ...] = ((target, node),)
        if call.name.startswith("rename"):
            changes = ((source, None), *changes)
        yield Entries(call.begin, call.end, directory, changes)


def _has_happened(call: Call, known: Collection[int]) -> bool:
    return call.begin in known if call.result is None else call.result >= 0
