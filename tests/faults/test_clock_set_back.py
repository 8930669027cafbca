"""The machine's calendar is moved while the store is closed, or while nobody could close it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import clocks
from tests.faults.clocks import DELAY_SECONDS, HOUR, JOB_COUNT, run_shifted
from tests.needs import missing

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]

# A commit takes milliseconds; a clock that has to be waited out takes hours.
AT_ONCE_SECONDS = 5.0
DAY = 24 * HOUR
FIVE_YEARS = 5 * 365 * DAY
# The first day of the calendar: what a machine shows that has no battery.
FIRST_DAY = DAY - int(time.time())


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What moves the calendar."""
    if clocks.compiler() is None:
        missing("a C compiler (cc), for the library that moves the calendar")
    return clocks.build(tmp_path_factory.mktemp("clock"))


JUMPS = {
    "two hours back": (2 * HOUR, 0),
    "behind the machine": (0, -2 * HOUR),
    "five years back": (FIVE_YEARS, 0),
    "to 1970": (0, FIRST_DAY),
    "a day forth": (0, DAY),
}


def cases() -> Iterator[Any]:
    """Every jump, after a process that closed the store and after one that was killed.

    Of the latter only the log knows how late it was.
    """
    for name, (first, second) in JUMPS.items():
        for end in ("closed", "killed"):
            yield pytest.param(first, second, end, id=f"{name}, {end}")


@pytest.mark.parametrize(("first", "second", "end"), [*cases()])
def test_a_calendar_that_jumps_between_two_processes_harms_nothing(
    tmp_path: Path, library: Path, first: int, second: int, end: str
) -> None:
    store = tmp_path / "store"

    before = run_shifted(library, store, f"write-{end}", first)
    after = run_shifted(library, store, "write-read", second)

    # The library does what it is for.
    assert before["at"] - after["at"] == pytest.approx(first - second, abs=60)
    # Writes are taken at once, ids go on, and the order holds.
    assert after["first_seconds"] < AT_ONCE_SECONDS
    ids = before["ids"] + after["ids"]
    assert ids == sorted(ids)
    assert after["delivered"] == [f"{name}-{n}" for name in (end, "read") for n in range(JOB_COUNT)]
    # What was put off is not lost for hours, and new work is never early.
    assert set(after["waited"]) == {f"{end}-later", "read-later"}
    assert max(after["waited"].values()) < DELAY_SECONDS + AT_ONCE_SECONDS
    assert after["waited"]["read-later"] > DELAY_SECONDS * 0.9
    assert after["ends"] == {f"{end}-run": "succeeded", "read-run": "succeeded"}


@pytest.mark.xfail(strict=True, reason="the storage engine asks the calendar itself, and panics")
def test_a_calendar_before_1970_is_no_bug_of_ours(tmp_path: Path, library: Path) -> None:
    told = run_shifted(library, tmp_path / "store", "write-read", FIRST_DAY - 2 * DAY)

    assert len(told["delivered"]) == JOB_COUNT
