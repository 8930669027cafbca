"""How many cases there are, so that a table that became empty is noticed."""

from pathlib import Path

import pytest

CASES_MIN = 250


def test_there_are_as_many_cases_as_were_promised(request: pytest.FixtureRequest) -> None:
    here = Path(__file__).parent
    files = [path for path in here.glob("test_*.py") if path != Path(__file__)]
    cases = [item for item in request.session.items if item.path.parent == here]
    if not {item.path for item in cases} >= set(files):
        pytest.skip("only a part of this directory was collected")

    assert len(cases) >= CASES_MIN
