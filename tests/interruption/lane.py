"""Every case, cut short after more and more turns, until it returns."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.interruption.cases import CASES
from tests.interruption.cutting import NEVER, Cutting, Violation

__all__ = ["cut_all", "few", "many"]

# Up to there each turn, then some more at a time: by then the call waits for the disk.
_EACH_TURN: Final = 24
_TURNS_MAX: Final = 20_000


def few() -> Iterator[int]:
    """While the call is being made, while its commit is under way, and not at all."""
    yield from (0, 1, 2, 3, 5, 9, NEVER)


def many() -> Iterator[int]:
    """Each number of turns at first, then each a tenth more than the one before."""
    turns = 0
    while turns < _TURNS_MAX:
        yield turns
        turns += 1 if turns < _EACH_TURN else turns // 10
    yield NEVER


async def cut_all(
    place: Path | None,
    turns: Callable[[], Iterator[int]],
    *,
    only: str = "",
    noted: Callable[[str], None] = print,
) -> Cutting:
    """Cuts all calls short, and counts.

    Args:
        place: A directory, or `None` for memory.
        turns: After how many turns.
        only: Part of the names of the cases.
        noted: Is told of each violation.
    """
    cutting = Cutting(place)
    for name, case in CASES.items():
        if only not in name:
            continue
        cutting.counts["operations"] += 1
        try:
            for number in turns():
                if case.wakes is not None and number != NEVER:
                    await cutting.wake(name, case, number)
                if await cutting.cut(name, case, number):
                    break
        except Violation as violation:
            cutting.counts["violations"] += 1
            noted(str(violation))
    return cutting
