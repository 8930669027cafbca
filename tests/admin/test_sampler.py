"""The sampling: begins when somebody looks, and ends by itself."""

import asyncio

import pytest

from taquba import Queue
from taquba.admin import _sampler
from taquba.admin._sampler import Sampler
from tests.waiting import eventually

NAME = "taquba.admin sampler"


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples a hundred times a second."""
    monkeypatch.setattr(_sampler, "_OWNER_SECONDS", 0.01)


def sampling() -> int:
    """How many tasks sample."""
    return sum(task.get_name() == NAME for task in asyncio.all_tasks())


async def none_is_sampling() -> bool:
    return sampling() == 0


async def test_one_task_samples_for_all_who_look(owned: Queue) -> None:
    sampler = Sampler(owned)
    assert sampling() == 0

    first = await sampler.latest()
    await asyncio.gather(*(sampler.latest() for _ in range(8)))

    async def has_gone_on() -> bool:
        return await sampler.latest() is not first

    await eventually(has_gone_on, "another sample")
    assert sampling() == 1
    assert sampler.minute_ago() is first
    sampler.stop()
    await eventually(none_is_sampling, "the end of the sampling")


async def test_changes_make_neither_many_samples_nor_many_at_once(
    owned: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(_sampler, "_OWNER_SECONDS", 3_600.0)
    monkeypatch.setattr(_sampler, "_PAUSE_SECONDS", 0.02)
    sampler = Sampler(owned)
    first = before = await sampler.latest()

    for _ in range(8):
        sampler.expire()
        after = await sampler.latest()
        pauses.append(after.at - before.at)
        before = after

    assert min(pauses) >= 0.015
    assert sampler.minute_ago() is first
    assert len(sampler._samples) == 2  # noqa: SLF001 - what it keeps in memory
    sampler.stop()


async def test_the_sampling_ends_when_nobody_looks(
    owned: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sampler, "_IDLE_SECONDS_MAX", 0.05)
    sampler = Sampler(owned)
    await sampler.latest()

    await eventually(none_is_sampling, "the end of the sampling")

    await sampler.latest()
    assert sampling() == 1
    sampler.stop()


async def test_the_sampling_ends_with_the_queue(owned: Queue) -> None:
    await Sampler(owned).latest()

    await owned.close()

    await eventually(none_is_sampling, "the end of the sampling")
