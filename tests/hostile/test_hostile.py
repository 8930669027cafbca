"""Every public argument against odd values, a part of the pool at each.

Full size: `python -m tests.hostile --size 100000`.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from taquba import EnqueueOptions, MemoStore, OpenOptions, Queue, RunSpec
from taquba.exceptions import InvalidArgumentError, ReservedHeaderError
from tests.hostile import attack
from tests.hostile.attack import Attack, Violation, values_for
from tests.hostile.ground import Ground
from tests.hostile.kinds import Kind
from tests.hostile.row import Row
from tests.hostile.surface import LEFT_OUT, public_arguments
from tests.hostile.table import BOUNDARIES, ROWS
from tests.hostile.values import POOL

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

# Every so many values of the pool, another part of it at each boundary.
STRIDE = 16

RESERVED = [
    "workflow.run_id",
    "workflow.",
    "WORKFLOW.STEP",
    "Workflow.anything",
    " workflow.step",
    "\tworkflow.step",
    "\u00a0workflow.step",
    "\uff57\uff4f\uff52\uff4b\uff46\uff4c\uff4f\uff57.step",
    "workflow\uff0estep",
    "workflow\u2024step",
    "\U0001d430orkflow.step",
]

PATHS = ["../outside", "..", "a/../../outside", "/outside", "./..", "a/../..", "%2e%2e/outside"]


def test_every_public_argument_is_in_the_table() -> None:
    assert {call: frozenset(row.kinds) for call, row in ROWS.items()} == public_arguments()
    assert not LEFT_OUT.keys() & ROWS.keys()


async def test_odd_values_are_taken_as_said_or_refused_by_name() -> None:
    striker, found = Attack(), list[str]()
    for number, (call, argument) in enumerate(BOUNDARIES):
        for value in values_for(call, argument, None, 0)[number % STRIDE :: STRIDE]:
            try:
                await striker.strike(call, argument, value)
            except Violation as violation:
                found.append(str(violation))
    await striker.close()

    assert found == []
    assert striker.counts["inputs"] > len(BOUNDARIES) * len(POOL) / STRIDE * 0.9
    assert striker.counts["taken"] > 0


@pytest.mark.parametrize("key", RESERVED)
@pytest.mark.parametrize("make", [EnqueueOptions, lambda headers: RunSpec(b"", headers=headers)])
def test_a_reserved_header_is_refused_however_it_is_spelled(make: Any, key: str) -> None:
    with pytest.raises(ReservedHeaderError):
        make(headers={key: "x"})


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_out_of_the_store(tmp_path: Path, path: str) -> None:
    inside = tmp_path / "store"
    inside.mkdir()

    for use in (use_queue, use_memos):
        with suppress(ValueError):
            await use(inside, path)

    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]


async def use_queue(store: Path, path: str) -> None:
    async with Queue.open(store, path, OpenOptions(fsync=False)) as queue:
        await queue.enqueue("emails", b"x")


async def use_memos(store: Path, path: str) -> None:
    async with MemoStore(store, path, fsync=False) as memos:
        await memos.new_memo("run", 0).put("k", b"x")


# What a call must not do, done by calls of our own: each has to be noticed.


def fine(value: Any) -> None:
    """Takes everything."""


def refuses_all(value: Any) -> None:
    raise InvalidArgumentError("`value` is odd", name="value", value="x", remedy="give another")


def refuses_namelessly(value: Any) -> None:
    raise ValueError("no")


def refuses_at_length(value: Any) -> None:
    raise ValueError("value" * 1000)


def refuses_over_two_lines(value: Any) -> None:
    raise ValueError("value\nis odd")


def breaks(value: Any) -> None:
    raise KeyError("value")


async def hangs(value: Any) -> None:
    await asyncio.Event().wait()


async def forgets(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    raise AssertionError("it is not there")


WRONG: dict[str, tuple[Row, str]] = {
    "taken": (Row(lambda _: fine, lambda _: {}, {"value": Kind(lambda _: False)}), "was taken"),
    "refused": (
        Row(lambda _: refuses_all, lambda _: {}, {"value": Kind(lambda _: True)}),
        "was refused",
    ),
    "nameless": (
        Row(lambda _: refuses_namelessly, lambda _: {}, {"value": Kind(lambda _: False)}),
        "which argument",
    ),
    "long": (
        Row(lambda _: refuses_at_length, lambda _: {}, {"value": Kind(lambda _: False)}),
        "5000 characters",
    ),
    "two lines": (
        Row(lambda _: refuses_over_two_lines, lambda _: {}, {"value": Kind(lambda _: False)}),
        "control characters",
    ),
    "broken": (Row(lambda _: breaks, lambda _: {}, {"value": Kind(lambda _: False)}), "KeyError"),
    "hanging": (
        Row(lambda _: hangs, lambda _: {}, {"value": Kind(lambda _: False)}),
        "TimeoutError",
    ),
    "not done": (
        Row(lambda _: fine, lambda _: {}, {"value": Kind(lambda _: True)}, forgets),
        "not as it says",
    ),
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_a_call_must_not_do_is_noticed(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    row, words = WRONG[what]
    monkeypatch.setitem(ROWS, "wrong", row)
    monkeypatch.setattr(attack, "CALL_SECONDS_MAX", 0.05)
    striker = Attack()

    with pytest.raises(Violation, match=words):
        await striker.strike("wrong", "value", 1)

    await striker.close()


async def test_a_refusal_that_writes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def writes(ground: Ground) -> Any:
        async def call(value: Any) -> None:
            await ground.queue.kv_put("k", b"x")
            refuses_all(value)

        return call

    row = Row(writes, lambda _: {}, {"value": Kind(lambda _: False)})
    monkeypatch.setitem(ROWS, "writes", row)
    striker = Attack()

    with pytest.raises(Violation, match="has written"):
        for _ in range(2):
            await striker.strike("writes", "value", 1)

    await striker.close()
