"""Power failures of a recorded store: nothing promised is lost, or the lane would see it."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.needs import missing
from tests.power import lane, strace
from tests.power.disk import Disk
from tests.power.effects import Effect, Mark, Sync
from tests.power.images import places
from tests.power.recording import STORE, Recorder, Trace
from tests.scratch import scratch

SEED = int(os.environ.get("TAQUBA_POWER_SEED") or random.SystemRandom().randrange(2**32))
IMAGES = 60
PLANTED_IMAGES = 30

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    if not strace.is_usable():
        missing("strace, and the right to trace a process")
    print(f"to repeat it: TAQUBA_POWER_SEED={SEED}")
    with scratch("power") as path:
        yield path


@pytest.fixture(scope="module")
def trace(room: Path) -> Trace:
    """Three processes on one store: killed, followed by a second owner, closed in order."""
    return lane.record(room / f"test-{SEED}", ["kill", "takeover", "close"], SEED)


async def examined(trace: Trace, count: int, room: Path, *, is_planted: bool = False) -> lane.Lane:
    examining = lane.Lane(room, SEED, is_planted)
    await examining.examine_all(trace, places(trace, count, random.Random(SEED)))
    return examining


async def test_what_was_promised_before_a_power_failure_is_there_after_it(
    trace: Trace, room: Path
) -> None:
    done = await examined(trace, IMAGES, room)

    counters = done.counters
    print(counters)
    assert done.found == []
    # There was something to lose.
    assert counters.images >= IMAGES - 5
    assert counters.promises_checked > 20 * IMAGES
    assert counters.torn_or_lost > IMAGES // 4
    assert counters.reorderings > 0


async def test_a_process_goes_on_with_what_a_power_failure_has_left(
    trace: Trace, room: Path
) -> None:
    first = lane.Lane(room, SEED)
    left = await first.examine_all(trace, places(trace, 8, random.Random(SEED)))
    assert left is not None

    home, endings, delay = (
        room / f"second-{SEED}",
        ["kill", "close"],
        "fsync:delay_exit=9000:when=2+3",
    )
    second = lane.record(home, endings, SEED, before=left, delay=delay)
    done = await examined(second, 20, room)

    assert first.found + done.found == []
    assert done.counters.images >= 15


async def test_a_store_that_does_not_sync_is_caught(room: Path) -> None:
    unsafe = lane.record(room / f"no-fsync-{SEED}", ["close"], SEED, "--no-fsync")

    done = await examined(unsafe, PLANTED_IMAGES, room, is_planted=True)

    assert done.counters.violations > PLANTED_IMAGES // 4


def is_commit(effect: Effect, _: Trace) -> bool:
    return isinstance(effect, Sync) and effect.is_data_only


def is_sync_of_a_file(effect: Effect, trace: Trace) -> bool:
    is_file = isinstance(effect, Sync) and effect.node not in trace.dirs
    return is_file and isinstance(effect, Sync) and not effect.is_data_only


def is_sync_of_names(effect: Effect, trace: Trace) -> bool:
    return isinstance(effect, Sync) and effect.node in trace.dirs


@pytest.mark.parametrize("is_left_out", [is_commit, is_sync_of_a_file, is_sync_of_names])
async def test_a_sync_that_is_left_out_is_caught(
    trace: Trace, room: Path, is_left_out: Callable[[Effect, Trace], bool]
) -> None:
    effects = [effect for effect in trace.effects if not is_left_out(effect, trace)]
    assert len(effects) < len(trace.effects)

    doctored = replace(trace, effects=effects)
    done = await examined(doctored, PLANTED_IMAGES, room, is_planted=True)

    assert done.counters.violations > 0


async def test_the_directories_that_a_new_store_is_made_in_are_durable(room: Path) -> None:
    home, root, marks = room / f"new-{SEED}", room / "new" / "root", room / "new" / "marks"
    root.mkdir(parents=True)
    Recorder(home, root, marks).run(SEED, "close")
    assert (root / STORE).is_dir()
    shutil.rmtree(root)

    done = await examined(Trace.load(home), 20, room)

    assert done.found == []


def test_the_directories_of_objects_are_durable_before_anything_is_promised(room: Path) -> None:
    # Of two first objects, written side by side, only the one that makes their directory waits
    # until it is durable; the other one is promised when it is itself.
    trace = lane.record(room / f"opened-{SEED}", ["close"], SEED)
    opened = next(effect for effect in trace.effects if isinstance(effect, Mark))
    disk = Disk(trace.origin, trace.effects, trace.dirs)
    disk.advance(opened.begin)
    found = room / "opened"
    found.mkdir()

    disk.image({}).write_to(found)

    names = {path.name for path in (found / STORE / "taquba").iterdir()}
    assert names >= {"compacted", "compactions", "log", "manifest", "payloads"}
