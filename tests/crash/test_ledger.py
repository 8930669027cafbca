"""The checker of the crash tests finds every kind of broken promise that it is there for."""

import pytest

from tests.crash.ledger import parse, violations

CHAIN = "succeeded|" + "[[0,'a'],[1,'b'],[2,'c'],[3,'d'],[4,'e']]".replace("'", '"')
RAN = [f"ran r {number}:{nonce}" for number, nonce in enumerate("abcde")]
RUN = ["submitting r -", "submitted r -", *RAN, f"told r {CHAIN}", f"outcome r {CHAIN}"]
JOB = ["enqueuing j -", "enqueued j -", "claimed j -", "acked j -"]


def test_a_history_in_which_all_was_kept_has_no_violation() -> None:
    assert violations(parse(RUN + JOB)) == []


@pytest.mark.parametrize(
    "lines",
    [
        # A step that was interrupted runs again; only one of its outcomes was applied.
        [*RUN[:2], "ran r 0:zombie", *RUN[2:]],
        # The hook is told again after a crash.
        [*RUN, f"told r {CHAIN}"],
        # Nobody was told that these exist: they may, or may not.
        ["submitting r -"],
        ["enqueuing j -"],
        # The process died between the ack and its line.
        ["enqueuing j -", "enqueued j -", "claimed j -", "claimed j -", "acked j -"],
    ],
)
def test_what_at_least_once_allows_is_no_violation(lines: list[str]) -> None:
    assert violations(parse(lines)) == []


SKIPPED = CHAIN.replace('[2,"c"],', "")
TWICE = CHAIN.replace('[2,"c"]', '[2,"c"],[2,"c"]')
FOREIGN = CHAIN.replace('"c"', '"x"')


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (["submitting r -", "submitted r -"], "lost"),
        (RUN[1:], "phantom"),
        ([*RUN[:-1], "outcome r failed|"], "ended as failed"),
        ([*RUN[:-2], f"told r {SKIPPED}", f"outcome r {SKIPPED}"], "applied for steps"),
        ([*RUN[:-2], f"told r {TWICE}", f"outcome r {TWICE}"], "applied for steps"),
        ([*RUN[:-2], f"told r {FOREIGN}", f"outcome r {FOREIGN}"], "no step returned"),
        ([*RUN, "ran r 2:again"], "ran again"),
        ([line for line in RUN if not line.startswith("told")], "hook was told"),
        ([*RUN, "told r failed|"], "hook was told"),
        (JOB[:2], "lost"),
        (JOB[2:], "phantom"),
        ([*JOB, "claimed j -"], "delivered again"),
    ],
)
def test_every_broken_promise_is_found(lines: list[str], word: str) -> None:
    [violation] = violations(parse(lines))

    assert word in violation
