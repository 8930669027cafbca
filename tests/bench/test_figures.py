"""Figures are worked out rightly: percentiles, arrivals, tables."""

import pytest

from taquba.bench._latency import Latency
from taquba.bench._scenarios.steady import arrivals
from taquba.bench._table import number, table


def test_percentiles_are_calls_that_were_made() -> None:
    latency = Latency.of([each / 1000 for each in range(1000, 0, -1)])

    assert latency.count == 1000
    assert latency.ms == pytest.approx(
        {"p50": 500.0, "p90": 900.0, "p99": 990.0, "p99.9": 999.0, "max": 1000.0}
    )


def test_a_curve_goes_as_far_as_there_are_calls() -> None:
    few, many = Latency.of([0.001] * 10), Latency.of([0.001] * 10_000)

    assert [few.curve[0][0], few.curve[-1][0]] == [0.0, 0.9]
    assert many.curve[-1][0] == 0.9999


def test_one_call_is_every_percentile() -> None:
    assert set(Latency.of([0.002]).ms.values()) == {2.0}


def test_no_call_has_no_latency() -> None:
    with pytest.raises(ValueError, match="no call was made"):
        Latency.of([])


def test_arrivals_are_always_the_same_ascend_and_have_their_rate() -> None:
    instants = arrivals(1_000.0, 10.0)

    assert instants == arrivals(1_000.0, 10.0)
    assert instants == sorted(instants)
    assert instants[-1] < 10.0
    assert 9_500 < len(instants) < 10_500


def test_there_is_at_least_one_arrival() -> None:
    assert len(arrivals(0.001, 0.001)) == 1


def test_a_number_has_as_many_digits_as_say_something() -> None:
    values = [1234.56, 123.456, 12.345, 1.2345, 0.0, None]

    assert [number(each) for each in values] == ["1,235", "123.5", "12.3", "1.23", "0.00", ""]


def test_a_table_has_names_on_the_left_and_figures_on_the_right() -> None:
    lines = table([["", "jobs/s"], ["1 caller", "12"], ["64 callers", "1,234"]], 1)

    assert lines == ["              jobs/s", "  1 caller        12", "  64 callers   1,234"]
