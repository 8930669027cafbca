"""So many lives of a store, and what they came to."""

from collections import Counter
from typing import Any, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.run_rules import LifeOfAStore, LifeOnDisk

MACHINES: Final = {"memory": LifeOfAStore, "disk": LifeOnDisk}
COUNTED: Final = ("lives", "rules", "crashes", "reopenings")


def live(
    where: str, *, size: int, step_count: int, seed: int | None, shrinks: bool = True
) -> Counter[str]:
    """Lives `size` lives of up to `step_count` rules, and returns what they came to.

    Args:
        where: `"memory"` or `"disk"`.
        size: How many.
        step_count: Rules of each, at most.
        seed: Of the random choices; `None` makes the same ones each time.
        shrinks: Whether a failing life is made as short as it can be.

    Raises:
        Exception: What a life failed with; its rules are in the notes of the exception.
    """
    # A class of its own for its own counts.
    counts: Counter[str] = Counter()
    machine = type(where, (MACHINES[where],), {"counts": counts})
    profile = settings(
        max_examples=size,
        stateful_step_count=step_count,
        derandomize=seed is None,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
    )
    run_state_machine_as_test(_seeded(machine, seed), settings=profile)
    return counts


def _seeded(machine: Any, number: int | None) -> Any:
    return machine if number is None else seed(number)(machine)
