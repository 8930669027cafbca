"""Whether what a damaged store gave keeps the promises.

A damage may have no effect, be refused by a typed error, or be isolated: what is damaged is told,
and everything else is there. Nothing else is allowed: no wrong data, no silent loss, no error that
calls it a bug of ours, and no damage that `verify` has not seen.
"""

import enum
from typing import final

from taquba.queue import VerifyReport
from tests.corruption.content import CANCELLED, FREE_KEY, MEMO_RUNS, Content, memo_value
from tests.corruption.damage import Damage, is_of_queue
from tests.corruption.reading import Seen

__all__ = ["Outcome", "is_named", "judge"]


@final
class Outcome(enum.Enum):
    """What came of a damage."""

    RIGHT_DATA = "right_data"
    """Everything is there."""
    REFUSED = "refused_typed"
    """A typed error says that the store is damaged."""
    ISOLATED = "isolated"
    """What is damaged is told, everything else is there."""


def judge(damage: Damage, seen: Seen, report: VerifyReport | None) -> tuple[Outcome, list[str]]:
    """Judge what a store gave.

    Args:
        damage: What was done to it.
        seen: What it gave.
        report: What `verify` found before; `None` if it could not read the store.

    Returns:
        What came of it, and which promises were broken.
    """
    content = damage.template.content
    wrong = _bugs(seen) + _wrong_data(content, seen) + _memos(damage, seen)
    if seen.refusal is not None:
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.ISOLATED if seen.isolated_count() else Outcome.RIGHT_DATA
        wrong += _lost(content, seen)
    is_found = report is None or not report.is_clean
    if outcome is not Outcome.RIGHT_DATA and is_of_queue(damage) and not is_found:
        wrong.append("`verify` found nothing")
    return outcome, wrong


def is_named(damage: Damage, text: str) -> bool:
    """Whether a text names a damaged object. What a record is called depends on its kind."""
    names = [name.rpartition("/")[2] for name in damage.names]
    return damage.kind == "record" or any(name in text for name in names)


def _bugs(seen: Seen) -> list[str]:
    errors = [*seen.errors.values(), *([seen.refusal] if seen.refusal else [])]
    return [f"called a bug of ours: {error}" for error in errors if error.code == "internal"]


def _wrong_data(content: Content, seen: Seen) -> list[str]:
    wrong = []
    allowed = content.jobs | content.waiting
    # A request to stop that was lost with its record is not heard.
    allowed |= {CANCELLED} if seen.isolated_count() else set()
    strange = [payload[:40] for payload in seen.jobs if payload not in allowed]
    if strange:
        wrong.append(f"delivered what was never enqueued: {strange}")
    twice = [payload[:40] for payload, count in seen.jobs.items() if count > 1]
    if twice:
        wrong.append(f"delivered twice: {twice}")
    if not seen.waiting <= content.waiting | content.jobs | {b""}:
        wrong.append(f"shows what was never enqueued: {seen.waiting - content.waiting}")
    for key, value in seen.keys.items():
        if key != FREE_KEY and content.keys.get(key) != value:
            wrong.append(f"key {key} holds {value!r}")
    for run_id, (status, result, error) in seen.results.items():
        is_told = error is not None and "damaged" in error
        if not is_told and (status, result) != content.results[run_id] and not _is_spared(seen):
            wrong.append(f"run {run_id} ended as {status}, {result!r}, {error}")
    return wrong


def _is_spared(seen: Seen) -> bool:
    """Whether the live run may end otherwise: a memo of it was moved aside, or says so itself."""
    return seen.isolated_count() > 0


def _lost(content: Content, seen: Seen) -> list[str]:
    missing = [f"job {payload[:20]!r}" for payload in content.jobs if payload not in seen.jobs]
    told = set(seen.jobs) | seen.waiting
    missing += [f"job {payload!r}" for payload in content.waiting - told]
    missing += [f"key {key}" for key in content.keys.keys() - seen.keys.keys()]
    missing += [f"run {run_id}" for run_id in content.results.keys() - seen.results.keys()]
    if len(missing) > seen.isolated_count():
        return [f"lost without a word: {missing}, with {seen.isolated_count()} damages told"]
    return []


def _memos(damage: Damage, seen: Seen) -> list[str]:
    wrong = []
    for (run_id, key), value in seen.memos.items():
        if value is None and damage.kind == "memo" and damage.how == "delete":
            continue
        if value != memo_value(run_id, key):
            wrong.append(f"memo {key} of {run_id} reads as {value and value[:30]!r}")
    has_marks = "marks" in seen.errors or damage.kind == "memo-mark"
    if seen.memos and not has_marks and seen.marks != [MEMO_RUNS[0]]:
        wrong.append(f"marks of ended runs: {seen.marks}")
    return wrong
