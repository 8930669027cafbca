"""A disk that loses its power: what of a trace is durable at some moment, and what may be.

The rules are those of POSIX, not of a file system: a name is durable when its directory was synced,
the content of a file when the file was. `fdatasync` promises the length as far as the data need it.

# Invariants

1. Durable is what had ended before a sync began that has ended by now, and nothing else.
2. A rename is there or not, never half. Bytes are there by sectors of 512.
3. Pending changes are independent of each other, unless whoever chooses wants them in their order.
"""

import os
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.power.effects import ROOT, Change, Effect, Entries, Resize, Sync, Tree, Write

SECTOR_BYTES = 512

Piece = tuple[int, bytes]
"""Bytes of a file, and where."""


@dataclass(frozen=True)
class Pending:
    """A change that the disk may have kept back, and its place among all."""

    number: int
    change: Change


@dataclass
class _Node:
    durable: list[Pending] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)

    def sync(self, sync: Sync) -> None:
        """Everything that had ended before is durable."""
        covered = [item for item in self.pending if item.change.end < sync.begin]
        if sync.is_data_only:
            covered = [item for item in covered if _is_needed(item, covered)]
        numbers = {item.number for item in covered}
        self.durable += covered
        self.pending = [item for item in self.pending if item.number not in numbers]


def _is_needed(item: Pending, covered: Sequence[Pending]) -> bool:
    """Whether `fdatasync` promises this: a longer file is worth nothing without data at its end."""
    change = item.change
    if not isinstance(change, Resize) or change.length < change.before:
        return True
    later = (other.change for other in covered if other.number > item.number)
    writes = (other for other in later if isinstance(other, Write))
    return any(write.offset + len(write.data) >= change.length for write in writes)


class Disk:
    """The disk at a moment that only goes forward."""

    def __init__(self, origin: Tree, effects: Sequence[Effect], dirs: Collection[int]) -> None:
        self.origin = origin
        self.dirs = dirs
        self._nodes: dict[int, _Node] = {}
        # Their order is the one in which they took effect, which need not be that of their begins.
        changes = [effect for effect in effects if isinstance(effect, (Write, Resize, Entries))]
        self._changes = [Pending(number, change) for number, change in enumerate(changes)]
        self._changes.sort(key=lambda item: item.change.begin)
        self._syncs = sorted(
            (effect for effect in effects if isinstance(effect, Sync)), key=lambda sync: sync.end
        )
        self._next_change = self._next_sync = 0

    def advance(self, line: int) -> None:
        """Goes to the moment at which this line was written."""
        while self._next_sync < len(self._syncs) and self._syncs[self._next_sync].end <= line:
            sync = self._syncs[self._next_sync]
            self._begin_changes(sync.end)
            self._nodes.setdefault(sync.node, _Node()).sync(sync)
            self._next_sync += 1
        self._begin_changes(line)

    def _begin_changes(self, line: int) -> None:
        while (
            self._next_change < len(self._changes)
            and self._changes[self._next_change].change.begin <= line
        ):
            item = self._changes[self._next_change]
            self._nodes.setdefault(item.change.node, _Node()).pending.append(item)
            self._next_change += 1

    def pending(self) -> list[Pending]:
        """What may be there or not, in its order."""
        found = [item for node in self._nodes.values() for item in node.pending]
        return sorted(found, key=lambda item: item.number)

    def begun_count(self) -> int:
        """Changes up to this moment."""
        return self._next_change

    def image(self, survivors: "Survivors") -> "Image":
        """The disk with these of the pending changes."""
        return Image(self, survivors)

    def changes_of(self, node: int, survivors: "Survivors") -> list[Pending]:
        """What there is of a node, in its order."""
        known = self._nodes.get(node, _Node())
        kept = [item for item in known.pending if item.number in survivors]
        return sorted([*known.durable, *kept], key=lambda item: item.number)


Survivors = dict[int, tuple[Piece, ...] | None]
"""Pending changes that are there, by number: pieces of a write, or `None` for all of it."""


def torn(write: Write, rng: random.Random) -> tuple[Piece, ...]:
    """Some sectors of a write, perhaps with zeros up to its end if it made the file longer."""
    end = write.offset + len(write.data)
    first = write.offset // SECTOR_BYTES
    sectors = range(first, (end - 1) // SECTOR_BYTES + 1)
    if rng.random() < 0.5:
        chosen = set(sectors[: rng.randrange(len(sectors))])
    else:
        share = rng.random()
        chosen = {sector for sector in sectors if rng.random() < share}
    pieces = []
    for sector in sorted(chosen):
        begin = max(write.offset, sector * SECTOR_BYTES)
        stop = min(end, (sector + 1) * SECTOR_BYTES)
        pieces.append((begin, write.data[begin - write.offset : stop - write.offset]))
    if rng.random() < 0.5:
        # Nothing at the end: only the length is there.
        pieces.append((end, b""))
    return tuple(pieces)


@dataclass(frozen=True)
class Image:
    """What is found when the power is back."""

    disk: Disk
    survivors: Survivors

    def write_to(self, target: Path) -> None:
        """Makes it, in a directory that is there and empty."""
        self._write_dir(ROOT, target)

    def _write_dir(self, node: int, target: Path) -> None:
        names = dict(self.disk.origin.dirs.get(node, {}))
        for item in self.disk.changes_of(node, self.survivors):
            assert isinstance(item.change, Entries)
            for name, child in item.change.changes:
                if child is None:
                    names.pop(name, None)
                else:
                    names[name] = child
        for name, child in names.items():
            if child in self.disk.dirs:
                (target / name).mkdir()
                self._write_dir(child, target / name)
            else:
                self._write_file(child, target / name)

    def _write_file(self, node: int, target: Path) -> None:
        with target.open("wb") as file:
            file.write(self.disk.origin.files.get(node, b""))
            for item in self.disk.changes_of(node, self.survivors):
                match item.change:
                    case Write(offset=offset, data=data):
                        pieces = self.survivors.get(item.number)
                        for begin, piece in ((offset, data),) if pieces is None else pieces:
                            file.truncate(max(file.seek(0, os.SEEK_END), begin))
                            file.seek(begin)
                            file.write(piece)
                    case Resize(length=length):
                        file.truncate(length)
