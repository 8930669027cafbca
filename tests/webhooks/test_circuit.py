"""The circuit breaker and the gates, with a clock that the test moves."""

import asyncio
from typing import Any

import pytest

from taquba.exceptions import InvalidArgumentError
from taquba.webhooks import Circuit, _gates
from taquba.webhooks._circuit import Breaker, BreakerState
from taquba.webhooks._gates import Gates
from taquba.worker import Postponed

CIRCUIT = Circuit(failure_count=3, open_for=30)


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def opened(now: float = 0.0) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker(CIRCUIT)
    for _ in range(3):
        breaker.fail(now, is_probe=breaker.enter(now))
    return breaker


def test_a_circuit_opens_after_failures_in_a_row_and_closes_after_a_good_probe() -> None:
    breaker = Breaker(CIRCUIT)

    told = [breaker.fail(0.0, is_probe=breaker.enter(0.0)) for _ in range(3)]

    assert told == [False, False, True]
    assert (breaker.state, breaker.wait(0.0), breaker.wait(29.0)) == (BreakerState.OPEN, 30.0, 1.0)
    assert breaker.wait(30.0) is None
    assert breaker.enter(30.0) is True
    assert (breaker.state, breaker.wait(30.0)) == (BreakerState.HALF_OPEN, 30.0)
    breaker.succeed()
    assert (breaker.state, breaker.wait(30.0)) == (BreakerState.CLOSED, None)
    assert breaker.failure_count == 0


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker(CIRCUIT)
    for _ in range(10):
        for _ in range(2):
            breaker.fail(0.0, is_probe=breaker.enter(0.0))
        breaker.succeed()

    assert breaker.state is BreakerState.CLOSED


def test_a_bad_probe_opens_the_circuit_again() -> None:
    breaker = opened()

    told = breaker.fail(40.0, is_probe=breaker.enter(40.0))

    assert (told, breaker.state, breaker.wait(40.0)) == (False, BreakerState.OPEN, 30.0)


def test_a_probe_without_a_verdict_frees_its_place() -> None:
    breaker = opened()
    is_probe = breaker.enter(40.0)

    breaker.give_up(is_probe=is_probe)

    assert breaker.wait(40.0) is None
    assert breaker.enter(40.0) is True


def test_deliveries_from_before_do_not_speak_for_the_probe() -> None:
    breaker = opened()
    assert breaker.enter(40.0) is True

    breaker.fail(41.0, is_probe=False)
    breaker.give_up(is_probe=False)

    assert (breaker.state, breaker.wait(41.0)) == (BreakerState.HALF_OPEN, 30.0)


@pytest.mark.parametrize(
    "options",
    [{"failure_count": 0}, {"failure_count": True}, {"open_for": 0}, {"open_for": -1}],
)
def test_settings_that_make_no_circuit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        Circuit(**options)


async def fail(gates: Gates, host: str) -> None:
    """One delivery that fails."""
    async with gates.enter(host) as passage:
        passage.fail()


async def succeed(gates: Gates, host: str) -> None:
    """One delivery that succeeds."""
    async with gates.enter(host) as passage:
        passage.succeed()


async def turned_away(gates: Gates, host: str) -> Postponed:
    """The error of a delivery that is turned away."""
    with pytest.raises(Postponed) as info:
        await succeed(gates, host)
    return info.value


async def test_one_host_is_left_alone_and_others_are_not() -> None:
    clock = Clock()
    gates = Gates(CIRCUIT, 8, clock)
    for _ in range(3):
        await fail(gates, "dead.example")

    error = await turned_away(gates, "dead.example")
    await succeed(gates, "good.example")

    assert "`dead.example` has failed 3 times in a row" in str(error)
    assert 30 <= error.retry_after.total_seconds() <= 45
    clock.now += 30
    await succeed(gates, "dead.example")
    await succeed(gates, "dead.example")
    assert len(gates) == 0


async def test_one_probe_goes_out_at_a_time() -> None:
    clock = Clock()
    gates = Gates(CIRCUIT, 8, clock)
    for _ in range(3):
        await fail(gates, "dead.example")
    clock.now += 31

    async with gates.enter("dead.example") as probe:
        await turned_away(gates, "dead.example")
        probe.succeed()

    await succeed(gates, "dead.example")


async def test_an_interrupted_probe_makes_room_for_the_next() -> None:
    clock = Clock()
    gates = Gates(CIRCUIT, 8, clock)
    for _ in range(3):
        await fail(gates, "dead.example")
    clock.now += 31

    with pytest.raises(asyncio.CancelledError):
        async with gates.enter("dead.example"):
            raise asyncio.CancelledError

    await succeed(gates, "dead.example")


async def test_of_one_host_only_so_many_are_under_way() -> None:
    gates = Gates(CIRCUIT, 3, Clock())
    under_way, most = 0, 0

    async def deliver() -> None:
        nonlocal under_way, most
        async with gates.enter("host.example") as passage:
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            passage.succeed()

    await asyncio.gather(*(deliver() for _ in range(100)))

    assert (most, len(gates)) == (3, 0)


async def test_a_crowded_gate_turns_away_instead_of_holding_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_gates, "_WAIT_SECONDS", 0.02)
    clock = Clock()
    gates = Gates(CIRCUIT, 1, clock)

    async with gates.enter("slow.example") as passage:
        error = await turned_away(gates, "slow.example")
        monkeypatch.setattr(_gates, "_WAIT_SECONDS", 1_000.0)
        # Nobody waits while the gate is known to be crowded: this returns at once.
        await turned_away(gates, "slow.example")
        await succeed(gates, "other.example")
        passage.succeed()

    assert "`slow.example` is busy with 1 other" in str(error)
    await succeed(gates, "slow.example")


async def test_what_waits_is_turned_away_when_the_circuit_opens() -> None:
    gates = Gates(Circuit(failure_count=1), 1, Clock())
    entered = asyncio.Event()

    async def first() -> None:
        async with gates.enter("dead.example") as passage:
            entered.set()
            await asyncio.sleep(0.01)
            passage.fail()

    task = asyncio.create_task(first())
    await entered.wait()
    error = await turned_away(gates, "dead.example")
    await task

    assert "left alone" in str(error)


async def test_the_hosts_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gates, "_GATE_COUNT_MAX", 10)
    gates = Gates(CIRCUIT, 8, Clock())

    for number in range(100):
        await fail(gates, f"host-{number}.example")

    assert len(gates) == 10
