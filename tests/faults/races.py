"""Processes that open one store at the same moment.

    python -m tests.faults.races          # one of them; takes orders on standard input

Exactly one of them can write, with `takeover` and without: those that open at the same moment may
find nobody, and then the fence decides (decision 8). Who comes while an owner is there is told so,
without `takeover`, and the owner stays.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taquba import OpenOptions, Queue
from taquba.exceptions import TaqubaError

ROOT = Path(__file__).resolve().parents[2]
RACER_COUNT = 4
# All wait for the same instant of the machine's clock, so that they meet.
HEAD_START_SECONDS = 0.03


class Racer:
    """One of the processes."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.races"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)

    def tell(self, **order: Any) -> None:
        """Orders something; `answer` has what came of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """`ok`, or the code of the error."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def racers() -> Iterator[list[Racer]]:
    """Four of them, which are killed in the end."""
    started = [Racer() for _ in range(RACER_COUNT)]
    try:
        for racer in started:
            assert racer.answer() == "ready"
        yield started
    finally:
        for racer in started:
            racer.process.kill()
            racer.process.communicate()


def together(asked: list[Racer], **order: Any) -> list[str]:
    """Orders the same of all, for one instant."""
    at = time.monotonic() + HEAD_START_SECONDS
    for racer in asked:
        racer.tell(at=at, **order)
    return [racer.answer() for racer in asked]


@dataclass
class Races:
    """What came of them.

    Args:
        counts: `rounds`, `owners` (opens that succeeded), `told` (refused: there is an owner) and
            `fenced` (opens and owners that lost against another one).
        violations: What was wrong, in words.
    """

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def one_race(asked: list[Racer], store: Path, *, takeover: bool) -> list[str]:
    """All open the store at once; returns what each of them got: `ok`, `store-owned`, `fenced`."""
    return together(asked, do="open", store=str(store), takeover=takeover)


def judge(opened: list[str], wrote: list[str], read: list[str], *, takeover: bool) -> Iterator[str]:
    """What is wrong with a race."""
    refusals = {"ok", "fenced"} if takeover else {"ok", "fenced", "store-owned"}
    if not set(opened) <= refusals:
        yield f"opens ended as {opened}"
    if Counter(wrote)["ok"] != 1 or not set(wrote) <= {"ok", "fenced"}:
        yield f"opens ended as {opened}, and then writes as {wrote}"
    if read != wrote:
        yield f"writes ended as {wrote}, and then reads as {read}"


def one_round(asked: list[Racer], store: Path, races: Races, *, takeover: bool) -> None:
    """All race; then all but the owner come again while it is there."""
    opened = one_race(asked, store, takeover=takeover)
    opener = [racer for racer, answer in zip(asked, opened, strict=True) if answer == "ok"]
    wrote = together(opener, do="write")
    read = together(opener, do="read")
    found = list(judge(opened, wrote, read, takeover=takeover))
    races.counts.update(rounds=1, owners=len(opener), told=opened.count("store-owned"))
    races.counts["fenced"] += opened.count("fenced") + wrote.count("fenced")
    if not found:
        [owner] = [racer for racer, answer in zip(opener, wrote, strict=True) if answer == "ok"]
        others = [racer for racer in asked if racer is not owner]
        together(others, do="close")
        late = one_race(others, store, takeover=False)
        races.counts["told"] += late.count("store-owned")
        if set(late) != {"store-owned"} or together([owner], do="write") != ["ok"]:
            found.append(f"openers that came while there was an owner got {late}")
    together(asked, do="close")
    races.violations += [f"{store.name}, takeover={takeover}: {text}" for text in found]


def run_rounds(directory: Path, count: int) -> Races:
    """Does so many rounds, four of them on each store.

    Args:
        directory: Where the stores are.
        count: How many.
    """
    races = Races()
    with racers() as asked:
        for number in range(count):
            store = directory / f"store-{number // 4}"
            one_round(asked, store, races, takeover=number % 2 == 1)
    return races


async def race() -> None:
    """Does what is ordered, line by line."""
    queue: Queue | None = None
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        await asyncio.sleep(max(0.0, order["at"] - time.monotonic()))
        try:
            match order["do"], queue:
                case "open", _:
                    options = OpenOptions(fsync=True, takeover=order["takeover"])
                    queue = await Queue.open(order["store"], options=options)
                case "write", Queue():
                    await queue.enqueue("emails", b"x")
                case "read", Queue():
                    await queue.stats()
                case "close", Queue():
                    opened, queue = queue, None
                    await opened.close()
        except TaqubaError as error:
            print(error.code, flush=True)
        else:
            print("ok", flush=True)


if __name__ == "__main__":
    asyncio.run(race())
