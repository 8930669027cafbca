"""The public API does what dicts and lists would do, whatever is done in whatever order.

Full size: `python -m tests.model --size 2000`.
"""

import pytest

from tests.model.lane import live
from tests.model.planted import PLANTED, difference

# Enough for a failing life to be made short.
pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]

# Those that take longer to notice are part of the full size.
NOTICED_SOON = [
    "a cancel does nothing",
    "a revived job keeps its place",
    "a step outlives its attempts",
    "memos end with their delivery",
]


@pytest.mark.parametrize(("where", "size"), [("memory", 60), ("disk", 6)])
def test_a_store_does_what_the_model_says(where: str, size: int) -> None:
    counts = live(where, size=size, step_count=40, seed=None)

    assert counts["lives"] >= size
    assert counts["crashes"] > 0
    assert counts["reopenings"] > 0


@pytest.mark.parametrize("bug", NOTICED_SOON)
def test_a_difference_is_found_and_its_rules_are_told(bug: str) -> None:
    assert bug in PLANTED

    told = difference(bug)

    assert told is not None
    for rule in ("state.open()", "state.teardown()"):
        assert rule in told
