"""Which moments of a trace, and what a disk may have made of what was pending then.

# Invariants

1. A seed and a trace give the same images.
2. No two images of a trace are the same in content and in what was promised.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.power import history
from tests.power.disk import Disk, Image, Pending, Survivors, torn
from tests.power.effects import Entries, Mark, Sync, Write
from tests.power.recording import Trace

WAYS = ("lost", "kept", "prefix", "mixed")
"""Nothing that was pending is there; all of it; the first of it; any of it, writes torn."""

_WEIGHTS = (35, 10, 20, 35)
_TRIES_PER_IMAGE = 20
# More than there are variants of one place: further tries have numbers behind it.
_VARIANTS_MAX = 1_000_000


@dataclass(frozen=True)
class Crash:
    """An image, and what had been promised when the power failed.

    Good until the next one is asked for.
    """

    cut: int
    variant: int
    way: str
    image: Image
    history: history.History
    marks: bytes
    pending_count: int
    is_reordered: bool


@dataclass(frozen=True)
class Place:
    """Where an image comes from: a line of the trace, and which try at it."""

    cut: int
    variant: int


def moments(trace: Trace) -> list[int]:
    """Every line at which something changes: a change begins, a sync ends, a mark is written."""
    lines = {effect.end if isinstance(effect, Sync) else effect.begin for effect in trace.effects}
    return sorted(lines)


def places(trace: Trace, count: int, rng: random.Random) -> list[Place]:
    """So many places, spread evenly over the moments, in their order."""
    all_moments = moments(trace)
    offset = rng.random()
    chosen: dict[int, int] = {}
    for number in range(count):
        place = int((number + offset) * len(all_moments) / count) % len(all_moments)
        chosen[all_moments[place]] = chosen.get(all_moments[place], 0) + 1
    return [Place(cut, variant) for cut in sorted(chosen) for variant in range(chosen[cut])]


def places_of_a_roll(trace: Trace, count: int) -> list[Place]:
    """So many places at and behind the moment at which the last file of the log was begun."""
    begun = [
        effect.begin
        for effect in trace.effects
        if isinstance(effect, Entries)
        and any(node is not None and name.endswith(".new") for name, node in effect.changes)
    ]
    later = [line for line in moments(trace) if line >= begun[-1]]
    return [Place(line, 0) for line in later[:count]]


def crashes(trace: Trace, chosen: Sequence[Place], seed: int) -> Iterator[Crash]:
    """The images of these places; where one was had already, none."""
    disk = Disk(trace.origin, trace.effects, trace.dirs)
    marks = sorted((e for e in trace.effects if isinstance(e, Mark)), key=lambda mark: mark.begin)
    text, known = trace.first_marks, history.History(history.parse(trace.first_marks.decode()))
    next_mark = 0
    had: set[object] = set()
    for place in chosen:
        disk.advance(place.cut)
        while next_mark < len(marks) and marks[next_mark].begin <= place.cut:
            text += marks[next_mark].text
            known.add(history.parse(marks[next_mark].text.decode())[0])
            next_mark += 1
        pending = disk.pending()
        durable_count = disk.begun_count() - len(pending)
        for number in range(_TRIES_PER_IMAGE):
            variant = place.variant + number * _VARIANTS_MAX
            rng = random.Random(f"{seed}-{place.cut}-{variant}")
            way = rng.choices(WAYS, _WEIGHTS)[0]
            survivors = survivors_of(pending, way, rng)
            key = (next_mark, durable_count, frozenset(survivors.items()))
            if key not in had:
                had.add(key)
                image = disk.image(survivors)
                reordered = is_reordered(pending, survivors)
                yield Crash(place.cut, variant, way, image, known, text, len(pending), reordered)
                break


def survivors_of(pending: Sequence[Pending], way: str, rng: random.Random) -> Survivors:
    """What of the pending changes is there."""
    match way:
        case "lost":
            return {}
        case "kept":
            return {item.number: None for item in pending}
        case "prefix":
            kept: Survivors = {}
            for item in pending[: rng.randint(0, len(pending))]:
                kept[item.number] = None
            # The last one may have been under way.
            if kept and rng.random() < 0.5:
                last = pending[len(kept) - 1]
                kept[last.number] = _torn(last, rng)
            return kept
        case _:
            share = rng.random()
            chosen = [item for item in pending if rng.random() < share]
            return {
                item.number: _torn(item, rng) if rng.random() < 0.5 else None for item in chosen
            }


def _torn(item: Pending, rng: random.Random) -> tuple[tuple[int, bytes], ...] | None:
    change = item.change
    return torn(change, rng) if isinstance(change, Write) and change.data else None


def is_reordered(pending: Sequence[Pending], survivors: Survivors) -> bool:
    """Whether something is there that was done after something that is not."""
    missing = [item.number for item in pending if item.number not in survivors]
    return bool(missing) and any(number > missing[0] for number in survivors)
