"""Every scenario does its work, notices work that was not done, and has the figures it promises."""

import dataclasses
from pathlib import Path

import pytest

from taquba import Queue
from taquba.bench._lab import Lab, in_lanes
from taquba.bench._meter import Meter
from taquba.bench._places import place_of
from taquba.bench._result import FIGURES, Case, NotDoneError
from taquba.bench._scenario import Curves, Lines, Scenario
from taquba.bench._scenarios import SCENARIOS
from taquba.bench._scenarios.steps import NoopRunner
from tests.bench.conftest import TINY

IN_ANY_STORE = [name for name in SCENARIOS if name not in {"open", "remote"}]
ROUNDS_OF_ITS_OWN = {"drift", "idle"}


def check(scenario: Scenario, cases: list[Case]) -> None:
    """Every round counted something, and every figure of the table and the plot is there."""
    assert cases
    for case in cases:
        assert all(each.count > 0 and each.cost.wall_seconds > 0 for each in case.rounds)
        assert all(latency.count > 0 for each in case.rounds for latency in each.latencies.values())
    shown = {*scenario.columns}
    for panel in scenario.panels:
        if isinstance(panel, Curves):
            assert any(case.timed() for case in cases)
        else:
            shown |= {panel.figure, panel.along} if isinstance(panel, Lines) else {panel.figure}
    assert shown <= FIGURES.keys()
    assert {name for name in shown if not any(case.values(name) for case in cases)} == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_ANY_STORE)
async def test_a_scenario_does_its_work(name: str, lab: Lab) -> None:
    cases = await SCENARIOS[name].measure(lab)

    check(SCENARIOS[name], cases)
    if name not in ROUNDS_OF_ITS_OWN:
        assert {len(case.rounds) for case in cases} == {TINY.round_count}


@pytest.mark.slow
async def test_remote_uses_a_slow_store_whatever_is_asked_for() -> None:
    scenario = SCENARIOS["remote"]
    settings = dataclasses.replace(TINY, round_count=1)

    with place_of(scenario.choose_store("memory://")) as place:
        [case] = await scenario.measure(Lab(settings, place))

    assert place.title == "memory with 20 ms for each PUT and GET"
    check(scenario, [case])
    # A run has 10 steps, and each of them waits for at least one write.
    assert min(case.latency_ms("run", "p50")) > 10 * 20


@pytest.mark.slow
async def test_open_measures_processes_of_its_own(tmp_path: Path) -> None:
    scenario = SCENARIOS["open"]
    settings = dataclasses.replace(TINY, round_count=1)

    with place_of(str(tmp_path)) as place:
        cases = await scenario.measure(Lab(settings, place))

    assert [case.name for case in cases] == ["40 jobs, after a kill", "40 jobs, after a close"]
    check(scenario, cases)
    assert scenario.choose_store("memory://") is None
    assert scenario.choose_store("s3://bucket") == "s3://bucket"


async def test_a_payload_that_is_missing_twice_or_foreign_is_noticed(lab: Lab) -> None:
    missing, twice, foreign = lab.seen(2), lab.seen(2), lab.seen(2)

    missing.add(lab.payload(1))
    with pytest.raises(NotDoneError, match="1 of 2 payloads came back"):
        missing.check()
    twice.add(lab.payload(0))
    with pytest.raises(NotDoneError, match="payload 0 came back twice"):
        twice.add(lab.payload(0))
    for payload in (lab.payload(2), lab.payload(0)[:-1], b""):
        with pytest.raises(NotDoneError, match="that nobody sent"):
            foreign.add(payload)


async def test_a_step_that_is_missing_is_noticed() -> None:
    runner = NoopRunner()
    runner.step_count = 19

    with pytest.raises(NotDoneError, match="19 steps were done, not 20"):
        runner.check(2)


async def test_lanes_make_each_call_once_and_none_after_the_time_is_up() -> None:
    made: list[int] = []

    async def call(number: int) -> None:
        made.append(number)

    assert await in_lanes(3, 10, call, 60.0) == 10
    assert sorted(made) == list(range(10))
    assert await in_lanes(3, 10, call, 0.0) == 0


async def test_what_is_on_a_disk_goes_with_the_block(tmp_path: Path) -> None:
    with place_of(str(tmp_path)) as place:
        lab = Lab(TINY, place)
        async with lab.open() as queue:
            await queue.enqueue("q", b"x")
            assert list(tmp_path.rglob("*.manifest"))
        assert list(tmp_path.rglob("*.manifest")) == []
        async with lab.open() as queue:
            assert (await queue.stats()).queues == {}

    assert list(tmp_path.iterdir()) == []


async def test_a_meter_counts_what_the_store_was_asked_for(queue: Queue) -> None:
    async with Meter(queue) as meter:
        for _ in range(5):
            await queue.enqueue("q", b"x" * 1_000)

    assert meter.cost.counters["commit_count"] == 5
    assert meter.cost.counters["put_bytes"] >= 5 * 1_000
    assert meter.cost.resident_bytes_peak >= (meter.cost.resident_bytes or 0) > 0
