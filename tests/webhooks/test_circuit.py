"""The circuit breaker, at instants that the test names."""

from datetime import timedelta
from typing import Any

import pytest

from taquba.exceptions import InvalidArgumentError
from taquba.webhooks import Circuit
from taquba.webhooks._circuit import Breaker, BreakerState

CIRCUIT = Circuit(failure_count=3, open_for=30)


def opened(now: float = 0.0) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker(CIRCUIT)
    for _ in range(3):
        breaker.fail(now, breaker.enter(now))
    return breaker


def test_a_circuit_opens_after_failures_in_a_row_and_closes_after_a_good_probe() -> None:
    breaker = Breaker(CIRCUIT)

    told = [breaker.fail(0.0, breaker.enter(0.0)) for _ in range(3)]

    assert told == [False, False, True]
    assert (breaker.state, breaker.wait(0.0), breaker.wait(29.0)) == (BreakerState.OPEN, 30.0, 1.0)
    assert breaker.wait(30.0) is None
    breaker.enter(30.0)
    assert (breaker.state, breaker.wait(30.0)) == (BreakerState.HALF_OPEN, 30.0)
    breaker.succeed()
    assert (breaker.state, breaker.wait(30.0)) == (BreakerState.CLOSED, None)
    assert breaker.failure_count == 0


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker(CIRCUIT)
    for _ in range(10):
        for _ in range(2):
            breaker.fail(0.0, breaker.enter(0.0))
        breaker.succeed()

    assert breaker.state is BreakerState.CLOSED


def test_each_bad_probe_opens_the_circuit_for_twice_as_long_up_to_ten_minutes() -> None:
    breaker = opened()
    now, waits = 30.0, []

    for _ in range(7):
        told = breaker.fail(now, breaker.enter(now))
        assert (told, breaker.state) == (False, BreakerState.OPEN)
        wait = breaker.wait(now)
        assert wait is not None
        waits.append(wait)
        now += wait

    assert waits == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0, 600.0]
    breaker.enter(now)
    breaker.succeed()
    for _ in range(3):
        breaker.fail(now, breaker.enter(now))
    assert breaker.wait(now) == 30.0


def test_a_circuit_that_is_to_stay_open_for_longer_stays_open_for_as_long() -> None:
    breaker = Breaker(Circuit(failure_count=1, open_for=timedelta(hours=1)))

    breaker.fail(0.0, breaker.enter(0.0))
    breaker.fail(3_600.0, breaker.enter(3_600.0))

    assert breaker.wait(3_600.0) == 3_600.0


def test_a_probe_without_a_verdict_frees_its_place() -> None:
    breaker = opened()
    probe = breaker.enter(40.0)

    breaker.give_up(probe)

    assert breaker.wait(40.0) is None
    breaker.enter(40.0)
    assert breaker.state is BreakerState.HALF_OPEN


def test_deliveries_from_before_do_not_speak_for_the_probe() -> None:
    breaker = Breaker(CIRCUIT)
    late = breaker.enter(0.0)
    for _ in range(3):
        breaker.fail(0.0, breaker.enter(0.0))
    breaker.enter(40.0)

    breaker.fail(41.0, late)
    breaker.give_up(late)

    assert (breaker.state, breaker.wait(41.0)) == (BreakerState.HALF_OPEN, 30.0)
    assert breaker.failure_count == 3


def test_an_earlier_probe_does_not_speak_for_a_later_one() -> None:
    breaker = Breaker(CIRCUIT)
    late = breaker.enter(0.0)
    for _ in range(3):
        breaker.fail(0.0, breaker.enter(0.0))
    earlier = breaker.enter(30.0)
    # The one from before answers after all, and closes the circuit under the probe.
    assert late != earlier
    breaker.succeed()
    for _ in range(3):
        breaker.fail(31.0, breaker.enter(31.0))
    later = breaker.enter(61.0)

    breaker.fail(62.0, earlier)
    breaker.give_up(earlier)

    assert (breaker.state, breaker.wait(62.0)) == (BreakerState.HALF_OPEN, 30.0)
    breaker.fail(63.0, later)
    assert (breaker.state, breaker.wait(63.0)) == (BreakerState.OPEN, 60.0)


def test_a_probe_that_was_overtaken_does_not_open_a_closed_circuit() -> None:
    breaker = opened()
    overtaken = breaker.enter(30.0)
    breaker.succeed()

    breaker.fail(31.0, overtaken)

    assert (breaker.state, breaker.failure_count) == (BreakerState.CLOSED, 0)


@pytest.mark.parametrize(
    "options",
    [{"failure_count": 0}, {"failure_count": True}, {"open_for": 0}, {"open_for": -1}],
)
def test_settings_that_make_no_circuit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        Circuit(**options)
