"""The world outside of a run under test, and where in a runner something was done."""

import asyncio
import inspect
from collections.abc import Callable

from taquba.testing import CrashReport, Finding


class Bank:
    """The world outside: what was asked of it, and what it took by key."""

    def __init__(self) -> None:
        self.charges: list[str] = []
        self.by_key: dict[str, str] = {}

    async def charge(self, what: str) -> bytes:
        await asyncio.sleep(0)
        self.charges.append(what)
        return b"receipt"

    async def charge_once(self, key: str, what: str) -> None:
        await asyncio.sleep(0)
        self.by_key.setdefault(key, what)

    def reset(self) -> None:
        self.charges.clear()
        self.by_key.clear()

    def seen(self) -> tuple[list[str], dict[str, str]]:
        return self.charges, self.by_key


def line_of(function: Callable[..., object], text: str) -> int:
    """The number of the line of a function that has this text."""
    lines, first = inspect.getsourcelines(function)
    [offset] = [number for number, line in enumerate(lines) if text in line]
    return first + offset


def lines_of(finding: Finding) -> tuple[int | None, int | None]:
    """The lines of the runner between which a finding places what was done twice."""
    assert finding.after is not None
    begin = finding.after.where[0].line if finding.after.where else None
    return begin, finding.point.where[0].line if finding.point.where else None


def deliveries_of(report: CrashReport) -> list[str]:
    """Names of the deliveries that are not idempotent, in order, each once."""
    names = (finding.point.delivery.name for finding in report.findings if finding.point.delivery)
    return list(dict.fromkeys(names))
