"""A small slice of the lane, and what it rests on."""

import logging
from pathlib import Path

import pytest

from tests.corruption import damage as damages
from tests.corruption import lane
from tests.corruption.damage import Damage
from tests.corruption.judging import Outcome, judge
from tests.corruption.reading import read
from tests.corruption.segment import Segment
from tests.corruption.templates import make_disk, make_records

SLICE = 100
SEED = 1


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_damage_is_noticed_or_isolated_or_without_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "werkzeug")
    counters = await lane.run(SLICE, SEED)

    assert counters.found == [], f"seed {SEED}"
    assert counters.mutations == SLICE
    assert min(counters.right_data, counters.refused_typed, counters.isolated) > 0
    assert counters.right_data + counters.refused_typed + counters.isolated == SLICE
    assert counters.verify_found >= counters.refused_typed - counters.verify_refused


async def test_an_undamaged_store_is_complete(tmp_path: Path) -> None:
    for make in (make_disk, make_records):
        template = await make(tmp_path)
        nothing = Damage(template, "nothing", "nothing", ["nothing"], lambda _: None)

        seen = await read(template.directory)

        assert judge(nothing, seen, None) == (Outcome.RIGHT_DATA, [])


async def test_the_judge_finds_what_is_wrong(tmp_path: Path) -> None:
    template = await make_records(tmp_path)
    nothing = Damage(template, "record", "nothing", ["nothing"], lambda _: None)
    seen = await read(template.directory)
    lost, changed, twice = seen.jobs.copy(), seen.jobs.copy(), seen.jobs.copy()
    payload = next(iter(seen.jobs))
    del lost[payload]
    changed[payload[::-1]] = changed.pop(payload)
    twice[payload] = 2

    for jobs, expected in (
        (lost, "lost without a word"),
        (changed, "never enqueued"),
        (twice, "delivered twice"),
    ):
        seen.jobs = jobs
        _, wrong = judge(nothing, seen, None)
        assert any(expected in text for text in wrong), wrong


async def test_a_log_is_written_as_it_was_read(tmp_path: Path) -> None:
    template = await make_records(tmp_path)
    [file] = [file for file in template.files() if damages.kind_of(file) == "log-segment"][-1:]
    content = (template.directory / file).read_bytes()

    segment = Segment.read(content)

    assert segment.write() == content
    assert {key[:1] for key in segment.newest()} >= set(map(bytes, zip(b"cdjkmnqrvw")))


async def test_the_same_seed_chooses_the_same_damage(tmp_path: Path) -> None:
    first = await make_disk(tmp_path / "first")
    second = await make_disk(tmp_path / "second")

    for number in range(200):
        one, other = (damages.choose([each], SEED, number) for each in (first, second))
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert (one.kind, one.how) == (other.kind, other.how)
