"""What a report of `crash_test` shows: enough to find the line."""

import re
import runpy
from pathlib import Path

import pytest

from taquba import RunSpec, Step, StepOutcome
from taquba.testing import CrashPoint, Moment, Place, crash_test

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"

SHOP = '''\
"""The example of the guide."""

import asyncio
from taquba import StepOutcome

charges: list[str] = []


async def shop(step):
    if step.step_number == 0:
        charges.append(step.payload.decode())
        await asyncio.sleep(0)  # stands for a request
        return StepOutcome.Continue(step.payload)
    return StepOutcome.Succeed(b"shipped")
'''


async def test_the_guide_shows_what_a_report_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text(SHOP)
    names = runpy.run_path("shop.py")
    text = GUIDE.read_text(encoding="utf-8")
    [shown] = re.findall(r"^```text\n(crash_test:.*?)^```$", text, re.MULTILINE | re.DOTALL)

    spec = RunSpec(b"order 7")
    charges = names["charges"]
    report = await crash_test(names["shop"], spec, setup=charges.clear, observe=lambda: charges)

    assert str(report) + "\n" == shown
    with pytest.raises(AssertionError) as raised:
        report.raise_if_failed()
    assert str(raised.value) == str(report)


async def test_a_report_keeps_what_was_seen() -> None:
    charges: list[str] = []

    async def runner(step: Step) -> StepOutcome:
        charges.append("order")
        return StepOutcome.Succeed(b"")

    report = await crash_test(runner, b"", setup=charges.clear, observe=lambda: charges)
    charges.append("later")

    assert report.effects == ["order"]


def test_a_point_and_a_place_say_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.py").write_text("first\n  second\n")
    inside = Place(str(tmp_path / "code.py"), 2, "run")
    outside = Place("/elsewhere/code.py", 3, "run")

    assert (str(inside), inside.source) == ("code.py:2", "second")
    assert (str(outside), outside.source) == ("/elsewhere/code.py:3", "")
    assert str(CrashPoint(0, None, Moment.SUBMIT)) == "before the submission"
