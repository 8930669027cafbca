"""What a crash test has found: where a run that was cut short does something else.

Invariants:
    1. What is compared was copied when it was seen: nothing that happens later changes a report.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, TypeGuard, final

from taquba._taquba import RunOutcome
from taquba.testing._places import Place
from taquba.testing._points import CrashPoint, Delivery

__all__ = ["CrashReport", "Ending", "Finding", "compare"]

_ADDRESS: Final = re.compile(r"0x[0-9a-f]+")
_SHOWN_MAX: Final = 8
_TEXT_MAX: Final = 200
_ADVICE: Final = (
    "It is not idempotent here: give the service the key (run_id, step_number), keep its",
    "answer in `step.memo`, or put the call at the end of a step of its own.",
)


@final
@dataclass(frozen=True, slots=True)
class Ending:
    """How one trial ended.

    Args:
        outcome: How the run ended; `None` if it did not.
        effects: What `observe` returned.
        jobs: What is in other queues of the store: queue and payload of each job.
        trouble: Why the run did not end.
    """

    outcome: RunOutcome | None
    effects: object
    jobs: tuple[tuple[str, bytes], ...]
    trouble: str | None = None


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """A crash point after which the run did something else.

    Args:
        point: Where the process died.
        after: The last point before it after which all was as it should be, if it is one of the
            same delivery: what happened twice lies between the two.
        differences: What was different, in words.
        repeated: Effects that happened more often than without a crash.
        missing: Effects that did not happen, or not as often.
    """

    point: CrashPoint
    after: CrashPoint | None
    differences: tuple[str, ...]
    repeated: tuple[object, ...]
    missing: tuple[object, ...]


@final
@dataclass(frozen=True, slots=True)
class CrashReport:
    """What `crash_test` has found.

    Args:
        points: Where the process died, once each.
        findings: Those after which the run did something else.
        outcome: How the run ended without a crash.
        effects: What `observe` returned then.
        unreached_count: Points that were not there when the process was to die at them: the code
            does not do the same each time.
        left_out_count: Points that were not tried, because of `points_max`.
    """

    points: tuple[CrashPoint, ...]
    findings: tuple[Finding, ...]
    outcome: RunOutcome
    effects: object
    unreached_count: int = 0
    left_out_count: int = 0

    @property
    def ok(self) -> bool:
        """Whether the run was the same wherever the process died."""
        return not self.findings

    def raise_if_failed(self) -> None:
        """Raise what says where the run was not the same.

        Raises:
            AssertionError: There are findings.
        """
        if self.findings:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        """Show a table of the deliveries, and what was found."""
        parts = [self._heading(), *self._table()]
        for _, group in groupby(self.findings, _kind):
            parts += ["", *_described(list(group))]
        return "\n".join(parts)

    def _heading(self) -> str:
        text = f"crash_test: {len(self.findings)} of {len(self.points)} crash points change the run"
        if self.unreached_count:
            text += f"; {self.unreached_count} were not reached: the code varies by itself"
        if self.left_out_count:
            text += f"; {self.left_out_count} were left out: raise `points_max`"
        return text

    def _table(self) -> list[str]:
        names = [_name(point.delivery) for point in self.points]
        bad = [_name(finding.point.delivery) for finding in self.findings]
        width = max(map(len, (*names, "delivery")))
        rows = [f"  {'delivery':<{width}}  points  differ"]
        return rows + [
            f"  {name:<{width}}  {names.count(name):>6}  {bad.count(name):>6}"
            for name in dict.fromkeys(names)
        ]


def compare(
    expected: Ending, seen: Ending, point: CrashPoint, after: CrashPoint | None
) -> Finding | None:
    """Compare a trial with the one without a crash.

    Args:
        expected: Without a crash.
        seen: With one.
        point: Where the process died.
        after: The point before it.

    Returns:
        What is different, if anything is.
    """
    if seen.trouble is not None:
        return Finding(point, after, (seen.trouble,), (), ())
    differences = _of_outcomes(expected.outcome, seen.outcome)
    repeated: list[object] = []
    missing: list[object] = []
    for before, now in ((expected.effects, seen.effects), (expected.jobs, seen.jobs)):
        if before == now:
            continue
        more, fewer = _surplus(now, before), _surplus(before, now)
        repeated += more
        missing += fewer
        if not more and not fewer:
            differences.append(f"effects: {_shown(now)} instead of {_shown(before)}")
    if not (differences or repeated or missing):
        return None
    return Finding(point, after, tuple(differences), tuple(repeated), tuple(missing))


def _of_outcomes(expected: RunOutcome | None, seen: RunOutcome | None) -> list[str]:
    differences = []
    for name in ("status", "result", "error", "final_step"):
        before, now = getattr(expected, name, None), getattr(seen, name, None)
        if _plain(before) != _plain(now):
            differences.append(f"{name}: {_shown(now)} instead of {_shown(before)}")
    return differences


def _plain(value: object) -> object:
    """Return a value without what differs by chance: addresses, and frames of an error text."""
    if not isinstance(value, str):
        return value
    return _ADDRESS.sub("", value.partition("\n")[0])


def _surplus(more: object, fewer: object) -> list[object]:
    """Return what the one collection has and the other lacks, as often as that is so."""
    if isinstance(more, Mapping) and isinstance(fewer, Mapping):
        return [(key, more[key]) for key in more if key not in fewer or fewer[key] != more[key]]
    if not _is_collection(more) or not _is_collection(fewer):
        return []
    rest = list(fewer)
    surplus: list[object] = []
    for item in more:
        # Not a `Counter`: effects need not be hashable.
        if item in rest:
            rest.remove(item)
        else:
            surplus.append(item)
    return surplus


def _is_collection(value: object) -> TypeGuard[Collection[object]]:
    return isinstance(value, list | tuple | set | frozenset)


def _kind(finding: Finding) -> tuple[object, ...]:
    return (
        finding.point.delivery,
        finding.differences,
        _shown(finding.repeated),
        _shown(finding.missing),
    )


def _described(group: list[Finding]) -> list[str]:
    first, last = group[0], group[-1]
    lines = [f"{first.point}:"]
    if len(group) > 1:
        lines = [f"{len(group)} points,", f"  from {first.point}", f"  to   {last.point}:"]
    lines += [f"    {difference}" for difference in first.differences]
    lines += [f"    happened again: {item!r}" for item in first.repeated[:_SHOWN_MAX]]
    lines += [f"    did not happen: {item!r}" for item in first.missing[:_SHOWN_MAX]]
    if first.repeated:
        lines += [f"    {text}" for text in _between(first)]
        lines += [f"    {text}" for text in _ADVICE]
    return lines


def _between(finding: Finding) -> list[str]:
    """Show the code that did what happened again."""
    point, after = finding.point, finding.after
    if after is None or after.delivery is None:
        return []
    begin = after.where[0] if after.where else after.delivery.begins
    end = point.where[0] if point.where else None
    if begin is None:
        return []
    if begin == end:
        return [f"It was done by {begin}:", _source(begin)]
    until = "its end" if end is None else str(end)
    since = str(begin) if after.where else f"its beginning ({begin})"
    lines = [f"It was done between {since} and {until}:", _source(begin)]
    if end is not None and begin.file == end.file and 0 < end.line - begin.line <= _SHOWN_MAX:
        between = (replace(begin, line=line) for line in range(begin.line + 1, end.line))
        lines += [_source(place) for place in between if place.source]
    return lines if end is None else [*lines, _source(end)]


def _source(place: Place) -> str:
    return f"  {place.line:>4}  {place.source}"


def _name(delivery: Delivery | None) -> str:
    return "the run" if delivery is None else delivery.name


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}.."
