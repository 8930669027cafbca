"""The gates and their backlogs, with a clock that the test moves."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from taquba._taquba import DURATION_MAX
from taquba.webhooks import Circuit, _gates
from taquba.webhooks._backlog import Backlog
from taquba.webhooks._gates import Gates, Passage
from taquba.worker import Postponed

CIRCUIT = Circuit(failure_count=3, open_for=30)


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def enter(gates: Gates, host: str) -> AbstractAsyncContextManager[Passage]:
    """The gate of a host."""
    return gates.enter(host, f"https://{host}:443")


async def fail(gates: Gates, host: str, port: int = 443) -> None:
    """One delivery that fails."""
    async with gates.enter(host, f"https://{host}:{port}") as passage:
        passage.fail()


async def succeed(gates: Gates, host: str, port: int = 443) -> None:
    """One delivery that succeeds."""
    async with gates.enter(host, f"https://{host}:{port}") as passage:
        passage.succeed()


async def turned_away(gates: Gates, host: str, port: int = 443) -> Postponed:
    """The error of a delivery that is turned away."""
    with pytest.raises(Postponed) as info:
        await succeed(gates, host, port)
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

    async with enter(gates, "dead.example") as probe:
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
        async with enter(gates, "dead.example"):
            raise asyncio.CancelledError

    await succeed(gates, "dead.example")


async def test_of_one_host_only_so_many_are_under_way() -> None:
    gates = Gates(CIRCUIT, 3, Clock())
    under_way, most, away_count = 0, 0, 0

    async def deliver() -> None:
        nonlocal under_way, most, away_count
        try:
            async with enter(gates, "host.example") as passage:
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0)
                under_way -= 1
                passage.succeed()
        except Postponed:
            away_count += 1

    await asyncio.gather(*(deliver() for _ in range(100)))

    # Three are under way, and as many wait; nobody else holds a place of the worker.
    assert (most, away_count) == (3, 94)


async def test_who_finds_as_many_waiting_as_are_under_way_is_turned_away_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_gates, "_WAIT_SECONDS", 1_000.0)
    gates = Gates(CIRCUIT, 2, Clock())

    async with enter(gates, "slow.example") as one, enter(gates, "slow.example") as other:
        waiting = [asyncio.create_task(succeed(gates, "slow.example")) for _ in range(2)]
        await asyncio.sleep(0)
        await turned_away(gates, "slow.example")
        await succeed(gates, "other.example")
        one.succeed()
        other.succeed()

    await asyncio.gather(*waiting)


async def test_another_port_or_scheme_of_a_host_is_another_receiver() -> None:
    gates = Gates(CIRCUIT, 8, Clock())
    for _ in range(3):
        await fail(gates, "host.example", 8_443)

    await turned_away(gates, "host.example", 8_443)
    await succeed(gates, "host.example", 443)
    async with gates.enter("host.example", "http://host.example:8443") as passage:
        passage.succeed()


async def test_the_more_are_turned_away_the_longer_they_stay_away() -> None:
    clock = Clock()
    gates = Gates(CIRCUIT, 2, clock)

    async with enter(gates, "slow.example") as one, enter(gates, "slow.example") as other:
        clock.now += 10
        waiting = [asyncio.create_task(succeed(gates, "slow.example")) for _ in range(2)]
        await asyncio.sleep(0)
        waits = [
            (await turned_away(gates, "slow.example")).retry_after.total_seconds()
            for _ in range(100)
        ]
        one.succeed()
        other.succeed()
    await asyncio.gather(*waiting)

    # Ten seconds each so far, two at a time, and two wait already; spread by up to a half.
    for index, wait in enumerate(waits):
        least = min(5 * (index + 3), 300)
        assert least * 0.99 <= wait <= least * 1.51
    assert len(set(waits)) == len(waits)


async def test_the_wait_that_is_told_fits_any_circuit() -> None:
    gates = Gates(Circuit(failure_count=1, open_for=DURATION_MAX), 8, Clock())
    await fail(gates, "dead.example")

    error = await turned_away(gates, "dead.example")

    assert error.retry_after == DURATION_MAX


async def test_a_crowded_gate_turns_away_instead_of_holding_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_gates, "_WAIT_SECONDS", 0.02)
    clock = Clock()
    gates = Gates(CIRCUIT, 1, clock)

    async with enter(gates, "slow.example") as passage:
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
        async with enter(gates, "dead.example") as passage:
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


def test_a_backlog_runs_out_as_fast_as_the_receiver_is() -> None:
    backlog = Backlog(2, 0.0)
    for _ in range(50):
        backlog.begin(0.0)
        backlog.end(0.0, 4.0)
    for _ in range(10):
        backlog.add(4.0, 0)

    # Two seconds each: after ten of them, five are left, and the next one is the sixth.
    assert backlog.add(14.0, 0) == pytest.approx(12.0, rel=0.01)
    assert not backlog.is_empty(24.0)
    assert backlog.is_empty(27.0)


def test_deliveries_that_do_not_end_count_as_long_as_they_have_taken() -> None:
    backlog = Backlog(1, 0.0)
    backlog.begin(0.0)

    assert backlog.add(0.0, 0) == 0.25
    assert backlog.add(60.0, 0) >= 60.0


def test_a_wait_is_bounded_and_a_backlog_forgets_what_goes_beyond() -> None:
    backlog = Backlog(1, 0.0)

    waits = [backlog.add(0.0, 0) for _ in range(20_000)]

    assert (waits[0], max(waits)) == (0.25, 300.0)
    assert waits == sorted(waits)
    assert backlog.is_empty(301.0)
