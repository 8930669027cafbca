"""A lab for tests: so little work that a scenario takes a moment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taquba.bench._lab import Lab, Settings
from taquba.bench._places import place_of

TINY = Settings(
    is_quick=True,
    round_count=2,
    in_flight=8,
    jobs_per_second=400.0,
    drift_minutes=0.01,
    count_max=40,
    seconds_max=0.2,
)


@pytest.fixture(params=["memory", "disk"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """The same work in memory and on a local disk."""
    store = "memory://" if request.param == "memory" else str(tmp_path)
    with place_of(store) as place:
        yield Lab(TINY, place)
