"""A call that is cancelled is wholly done or not done at all, whatever the turn of the loop.

Full size: `python -m tests.interruption --size 1`.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.interruption.cases import CASES, LEFT_OUT
from tests.interruption.cutting import NEVER, Cutting, Violation
from tests.interruption.lane import cut_all, few
from tests.interruption.scene import Case, Scene
from tests.interruption.surface import public_awaitables

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


def test_every_awaitable_call_has_a_case() -> None:
    named = {name.split(" ")[0] for name in CASES} | LEFT_OUT.keys()

    assert named == public_awaitables()


@pytest.mark.parametrize("where", ["memory", "disk"])
async def test_a_cancelled_call_is_wholly_done_or_not_done(tmp_path: Path, where: str) -> None:
    found: list[str] = []

    cutting = await cut_all(tmp_path if where == "disk" else None, few, noted=found.append)

    assert found == []
    assert cutting.counts["operations"] == len(CASES)
    assert cutting.counts["not_done"] > 0
    assert cutting.counts["done"] > 0
    assert cutting.counts["wake_ups"] > 0


# What a cancelled call must not leave, left by calls of our own: each has to be noticed.


async def half_done(scene: Scene) -> None:
    await scene.queue.kv_put("first", b"x")
    await asyncio.sleep(0.2)
    await scene.queue.kv_put("second", b"x")


async def left_running(scene: Scene) -> Any:
    return asyncio.create_task(asyncio.sleep(30), name="left")


async def swallowed(scene: Scene) -> None:
    try:
        await asyncio.sleep(0.2)
    except asyncio.CancelledError:
        return
    await scene.queue.kv_put("first", b"x")


WRONG = {
    "done by half": (Case(half_done), "not one of"),
    "left running": (Case(left_running), "left behind"),
    "swallowed": (Case(swallowed), "not one of"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_a_call_must_not_leave_is_noticed(what: str) -> None:
    case, words = WRONG[what]
    cutting = Cutting(None)

    with pytest.raises(Violation, match=words):
        for turns in (200, NEVER):
            await cutting.cut(what, case, turns)

    for task in asyncio.all_tasks():
        if task.get_name() == "left":
            task.cancel()
            await asyncio.wait((task,))


async def test_a_job_that_nobody_wakes_up_for_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(*_: Any) -> bool:
        return True

    monkeypatch.setattr("tests.interruption.cutting._WAIT_SECONDS_MAX", 0.2)
    monkeypatch.setattr(Cutting, "_is_there", lost)
    case = Case(lambda scene: scene.queue.kv_put("k", b"v"), wakes="emails")

    with pytest.raises(Violation, match="sleeps on"):
        await Cutting(None).wake("a put", case, 3)
