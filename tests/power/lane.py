"""The lane: record, cut, open, look.

Traces come in chains: the first one is of a new store, each further one begins with what a power
failure in the one before has left. In those files are made to look old, so that the storage engine
deletes what it no longer needs.

# Invariants

1. Whatever breaks a promise leaves its trace on the disk, and the command that opens it again.
"""

import os
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.power import recovery
from tests.power.images import Crash, Place, crashes, places, places_of_a_roll
from tests.power.looking import memos_of
from tests.power.recording import STORE, Recorder, RecordingError, Trace
from tests.scratch import scratch

IMAGES_PER_TRACE = 250
CHAIN = (
    ("die", "close", "kill", "takeover"),
    ("die", "close", "kill", "close"),
    ("die", "kill", "rest"),
)
"""How the processes of each trace of a chain end, before they are shuffled.

`die` is a process that is killed inside a call, wherever it is by then: in its open, too.
"""

# The large trace has few images, since each of them is large; a short lane has none.
LARGE_FROM_SIZE = 1_000
LARGE_IMAGES = 40
RECORD_TRIES_MAX = 3
AGE_SECONDS = 3 * 60 * 60
VIOLATIONS_SHOWN_MAX = 20
DELAY_US_MAX = 20_000
# More calls than the open of a new store has.
DEATH_CALL_MAX = 80


@dataclass
class Counters:
    """What was done."""

    images: int = 0
    cuts: int = 0
    traces: int = 0
    reorderings: int = 0
    torn_or_lost: int = 0
    real_shutdowns: int = 0
    promises_checked: int = 0
    violations: int = 0


@dataclass(frozen=True)
class Left:
    """What a power failure has left, and the marks up to it."""

    path: Path
    marks: bytes

    @classmethod
    def of(cls, crash: Crash, path: Path) -> Self:
        """Keeps an image."""
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        crash.image.write_to(path)
        return cls(path, crash.marks)

    def put(self, root: Path, marks: Path) -> None:
        """Puts it where processes will find it, as if they came much later."""
        shutil.copytree(self.path, root, dirs_exist_ok=True)
        marks.write_bytes(self.marks)
        then = time.time() - AGE_SECONDS
        for path in root.rglob("*"):
            os.utime(path, (then, then))


def prepare(store: Path) -> None:
    """Makes the directories that a user gives: there and durable before the first process."""
    store.mkdir(parents=True)
    memos_of(store).mkdir()


def delays(rng: random.Random) -> str | None:
    """Some syncs shall take long, so that others overtake them; in every second recording."""
    if rng.random() < 0.5:
        return None
    delay_us, first, step = rng.randint(500, DELAY_US_MAX), rng.randint(1, 8), rng.randint(2, 9)
    return f"fsync,fdatasync:delay_exit={delay_us}:when={first}+{step}"


def death(rng: random.Random) -> str:
    """A process shall be killed inside a call that has to do with what is durable."""
    calls = "fsync,fdatasync,rename,linkat,mkdir,unlink"
    return f"{calls}:signal=SIGKILL:when={rng.randint(1, DEATH_CALL_MAX)}"


def record(
    home: Path,
    endings: Sequence[str],
    seed: int,
    *options: str,
    before: Left | None = None,
    delay: str | None = None,
) -> Trace:
    """Records processes on a new store, or on what a power failure has left."""
    rng = random.Random(seed)
    root, marks = home.with_suffix(".root"), home.with_suffix(".marks")
    for number in range(RECORD_TRIES_MAX):
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
        marks.unlink(missing_ok=True)
        root.mkdir()
        if before is None:
            prepare(root / STORE)
        else:
            before.put(root, marks)
        try:
            recorder = Recorder(home, root, marks)
            for ending in endings:
                if ending == "die":
                    recorder.run(seed, "close", *options, inject=death(rng))
                else:
                    recorder.run(seed, ending, *options, inject=delay)
            return Trace.load(home)
        except RecordingError as error:
            # A process that is killed inside a large write leaves half of it: rare, and no image.
            if number + 1 == RECORD_TRIES_MAX:
                raise
            print(f"recording again: {error}", flush=True)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    raise AssertionError("unreachable")


async def examine(crash: Crash, room: Path) -> list[str]:
    """Makes the image, opens it, looks."""
    target = room / "image"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    crash.image.write_to(target)
    return await recovery.violations(target / STORE, crash.history)


@dataclass
class Lane:
    """Images of traces, opened one after the other."""

    room: Path
    seed: int
    # Of a trace that is meant to break promises nothing is kept or said.
    is_planted: bool = False
    counters: Counters = field(default_factory=Counters)
    found: list[str] = field(default_factory=list)

    async def examine_all(self, trace: Trace, chosen: Sequence[Place]) -> Left | None:
        """Opens the images of these places; returns one, for another trace to begin with."""
        rng = random.Random(self.seed)
        left: Left | None = None
        cuts = set()
        counters = self.counters
        for number, crash in enumerate(crashes(trace, chosen, self.seed)):
            found = await examine(crash, self.room)
            cuts.add(crash.cut)
            counters.images += 1
            counters.reorderings += crash.is_reordered
            counters.torn_or_lost += crash.way != "kept" and crash.pending_count > 0
            counters.promises_checked += crash.history.promise_count
            if found:
                self.report(trace, crash, found)
            elif rng.random() < 2 / (number + 2):
                left = Left.of(crash, self.room / "left")
        counters.cuts += len(cuts)
        return left

    def report(self, trace: Trace, crash: Crash, found: list[str]) -> None:
        """Counts what was found in one image, and says how to see it again."""
        self.counters.violations += 1
        self.found += found
        if self.is_planted or self.counters.violations > VIOLATIONS_SHOWN_MAX:
            return
        kept = Path(tempfile.gettempdir()) / f"taquba-{trace.home.name}"
        if not kept.exists():
            shutil.copytree(trace.home, kept)
        where = f"{trace.home.name} at {crash.cut}.{crash.variant} ({crash.way})"
        again = f"--seed {self.seed} --cut {crash.cut} --variant {crash.variant}"
        print(f"VIOLATION {where}: {'; '.join(found[:5])[:2000]}", flush=True)
        print(f"  again: python -m tests.power --replay {kept} {again}", flush=True)


async def run(size: int, seed: int) -> Lane:
    """So many images, in several traces."""
    rng = random.Random(seed)
    begun = time.monotonic()
    left: Left | None = None
    large = LARGE_IMAGES if size >= LARGE_FROM_SIZE else 0
    with scratch("power") as room:
        lane = Lane(room, seed)
        counters = lane.counters
        while counters.images < size - large:
            number = counters.traces
            if number % len(CHAIN) == 0:
                left = None
            endings = [*CHAIN[number % len(CHAIN)]]
            rng.shuffle(endings)
            home, delay = room / f"power-{seed}-{number}", delays(rng)
            trace = record(home, endings, seed + number, before=left, delay=delay)
            wanted = min(IMAGES_PER_TRACE, size - large - counters.images)
            left = await lane.examine_all(trace, places(trace, wanted, rng))
            counters.traces += 1
            shutil.rmtree(home, ignore_errors=True)
            print(
                f"{counters.images} images, {counters.traces} traces, {counters.violations} "
                f"violations after {time.monotonic() - begun:.0f} s",
                flush=True,
            )
        if large:
            trace = record(room / f"power-{seed}-large", ["large"], seed)
            half = large // 2
            await lane.examine_all(trace, places(trace, half, rng))
            await lane.examine_all(trace, places_of_a_roll(trace, large - half))
            counters.traces += 1
    return lane


async def replay(home: Path, seed: int, place: Place) -> list[str]:
    """Opens one image again."""
    with scratch("power") as room:
        for crash in crashes(Trace.load(home), [place], seed):
            print(f"{crash.way}, {crash.pending_count} changes pending")
            return await examine(crash, room)
    return []
