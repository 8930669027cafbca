"""Rates, times left, and how they are spelled: figures alone."""

import pytest

from taquba.progress import Progress
from taquba.progress._progress import Window, spell_rate


def progress(**given: object) -> Progress:
    fields = {
        "total_count": 1000,
        "succeeded_count": 100,
        "failed_count": 0,
        "cancelled_count": 0,
        "missing_count": 0,
        "elapsed_seconds": 10.0,
        "rate": 10.0,
        "eta_seconds": 90.0,
    }
    return Progress(**{**fields, **given})  # type: ignore[arg-type]


def test_a_rate_is_that_of_the_window_only() -> None:
    window = Window(10)

    assert window.rate(0.0, 0) is None
    assert window.rate(10.0, 100) == 10.0
    assert window.rate(20.0, 100) == 0.0
    assert window.rate(25.0, 150) == pytest.approx(50 / 15)
    assert window.rate(30.0, 150) == pytest.approx(5.0)


def test_a_window_keeps_no_more_than_it_needs() -> None:
    window = Window(5)

    for second in range(1000):
        window.rate(float(second), second)

    assert len(window._seen) <= 7  # noqa: SLF001 - what must be bounded


def test_a_line_says_what_matters() -> None:
    assert str(progress()) == "100 of 1,000 runs ended, 10.0/s, 1m30s left"
    assert str(progress(failed_count=2)) == "102 of 1,000 runs ended, 2 failed, 10.0/s, 1m30s left"
    assert str(progress(rate=None, eta_seconds=None)) == "100 of 1,000 runs ended"
    done = progress(succeeded_count=1000, elapsed_seconds=3725.0, eta_seconds=0.0)
    assert str(done) == "1,000 of 1,000 runs ended, in 1h02m"


@pytest.mark.parametrize(
    ("rate", "spelled"), [(0.0, "0"), (0.123, "0.12"), (9.87, "9.9"), (12345.6, "12,346")]
)
def test_a_rate_has_the_digits_that_say_something(rate: float, spelled: str) -> None:
    assert spell_rate(rate) == spelled


def test_a_notebook_shows_a_table() -> None:
    shown = progress(failed_count=3)._repr_html_()

    assert shown.startswith("<table>")
    assert "<td>897</td>" in shown
    assert "<th>failed</th><td>3</td>" in shown
    assert "cancelled" not in shown
