"""Damaged stores: a typed error or the right data, never wrong data and never a hang."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from taquba import OpenOptions, Queue
from taquba.exceptions import TaqubaError
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.waiting import drain

# Each opening has to answer within ten seconds; this stops the one that does not.
pytestmark = pytest.mark.timeout(120)
FAST = OpenOptions(fsync=False, store_timeout=8.0)
JOB_COUNT = 40
PAYLOADS = [b"payload %03d " % n * 20 for n in range(JOB_COUNT)]

Damage = Callable[[bytes, random.Random], bytes]


def written_bytes(content: bytes) -> int:
    """A log is longer than what is in it, by zeros."""
    return len(content.rstrip(b"\0")) or len(content)


def flip_one_bit(content: bytes, rng: random.Random) -> bytes:
    """One bit of rot, anywhere in what was written."""
    index = rng.randrange(written_bytes(content))
    return content[:index] + bytes([content[index] ^ 1 << rng.randrange(8)]) + content[index + 1 :]


def flip_many_bytes(content: bytes, rng: random.Random) -> bytes:
    """A bad sector in the middle."""
    start = written_bytes(content) // 3
    stop = min(len(content), start + 512)
    return content[:start] + bytes(byte ^ 0xFF for byte in content[start:stop]) + content[stop:]


def cut_the_end(content: bytes, rng: random.Random) -> bytes:
    """A write that the disk did not finish."""
    return content[: len(content) // 2]


def empty(content: bytes, rng: random.Random) -> bytes:
    """Zero length, as an unsynced file has after power loss."""
    return b""


def replace_by_noise(content: bytes, rng: random.Random) -> bytes:
    """Something else altogether."""
    return rng.randbytes(max(64, len(content)))


DAMAGES = [flip_one_bit, flip_many_bytes, cut_the_end, empty, replace_by_noise]


async def finish(step: Step) -> StepOutcome:
    """Ends each run with its input."""
    return StepOutcome.Succeed(step.payload)


async def write_store(directory: Path) -> None:
    """A store with jobs, a live run and an ended one, left by an owner who did not close it."""
    queue = await Queue.open(directory, options=FAST)
    async with WorkflowRuntime(queue, finish) as runtime:
        await (await runtime.submit(RunSpec(b"ended", run_id="ended"))).outcome(timeout=20)
    await WorkflowRuntime(queue, finish, queue_name="later").submit(RunSpec(b"live", run_id="live"))
    for payload in PAYLOADS[: JOB_COUNT // 2]:
        await queue.enqueue("emails", payload)
    await queue.close()
    queue = await Queue.open(directory, options=FAST)
    for payload in PAYLOADS[JOB_COUNT // 2 :]:
        await queue.enqueue("emails", payload)
    # Damage to the last commit of an owner who was killed cannot be told from a torn write.
    await queue.kv_put("last", b"worth nothing" * 20)
    # The copy is taken while this owner is alive: the store of a process that was killed.
    shutil.copytree(directory, directory.with_name("image"))
    await queue.close()


def kind_of(file: Path) -> str:
    """The folder tells what a file is for."""
    return file.parent.name


async def read_store(directory: Path) -> tuple[list[bytes], int]:
    """Everything that the store still delivers, and how much of it was put aside as damaged."""
    async with Queue.open(directory, options=FAST) as queue:
        payloads = [claim.payload for claim in await drain(queue, "emails")]
        async with WorkflowRuntime(queue, finish, queue_name="later") as runtime:
            outcome = await runtime.handle("live").outcome(timeout=8)
            assert outcome.result == b"live"
        return payloads, (await queue.stats()).quarantined_count


NOTICED = "a typed error, or records put aside and counted"
COMPLETE = "all data is there"


async def probe(directory: Path) -> str:
    """Opens and reads a damaged store; says what came of it."""
    try:
        payloads, quarantined_count = await read_store(directory)
    except TaqubaError as error:
        return NOTICED if error.code != "internal" else f"called a bug of ours: {error}"
    except TimeoutError:
        return "hangs"
    if not set(payloads) <= set(PAYLOADS):
        return "wrong data"
    if quarantined_count > 0:
        return NOTICED
    return COMPLETE if payloads == PAYLOADS else f"lost {JOB_COUNT - len(payloads)} jobs silently"


@pytest.fixture
async def image(tmp_path: Path) -> Path:
    """The files of a store whose process was killed."""
    await write_store(tmp_path / "origin")
    return tmp_path / "image"


async def test_the_undamaged_image_is_complete(image: Path) -> None:
    assert await read_store(image) == (PAYLOADS, 0)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_damage_to_any_kind_of_file_is_noticed(image: Path, damage: Damage) -> None:
    rng = random.Random(f"taquba {damage.__name__}")
    files = sorted(file for file in image.rglob("*") if file.is_file() and file.stat().st_size)
    newest = {kind_of(file): file for file in files}
    chosen = [*newest.values(), *rng.sample(files, min(8, len(files)))]
    assert {"log", "manifest"} <= set(newest)

    problems = []
    noticed_count = 0
    for number, file in enumerate(chosen):
        copy = image.with_name(f"copy-{number}")
        shutil.copytree(image, copy)
        target = copy / file.relative_to(image)
        target.write_bytes(damage(file.read_bytes(), rng))
        found = await probe(copy)
        noticed_count += found == NOTICED
        if found not in (NOTICED, COMPLETE):
            problems.append(f"{file.relative_to(image)}: {found}")

    assert problems == []
    assert noticed_count > 0


async def test_a_log_that_is_not_there_is_no_silent_loss(image: Path) -> None:
    [segment] = [file for file in image.rglob("log/*") if file.stat().st_size]
    shutil.copytree(image, image.with_name("second"))
    shutil.rmtree(segment.parent)
    with pytest.raises(TaqubaError, match="backup") as caught:
        await read_store(image)
    assert caught.value.code == "invalid-store"

    image = image.with_name("second")
    for file in image.rglob("log/*-*"):
        file.unlink()
    with pytest.raises(TaqubaError, match=r"missing|no segments") as caught:
        await read_store(image)
    assert caught.value.code == "corrupted"


async def test_an_error_about_damage_names_the_place_and_the_way_out(image: Path) -> None:
    for manifest in image.rglob("manifest/*"):
        if manifest.is_file():
            manifest.write_bytes(b"not a manifest" * 10)

    with pytest.raises(TaqubaError) as caught:
        await read_store(image)

    assert caught.value.code == "corrupted"
    assert "backup" in str(caught.value)
