"""Kill after kill on one store: who is started, when it is killed, and how it was judged.

The parent has imported everything and forks, so that a cycle does not pay for an interpreter. It
never opens a store itself: what a process of this package needs is made after the fork.
"""

import asyncio
import os
import random
import select
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kill import judge, run_ledger
from tests.kill.recording import Appender, Trap
from tests.kill.run_plan import plan_of
from tests.kill.service import DONE, HISTORY, LEDGER, Order, profile_fields, serve

KILLS_PER_STORE = 25
OPENING_SECONDS_MAX = 0.05
WORKING_SECONDS_MAX = 0.3
CLOSING_SECONDS_MAX = 0.02
# Between an event and what follows from it: a commit takes about this long.
BEHIND_POINT_SECONDS_MAX = 0.003
ENDED_COUNT_MAX = 30
# A process that has not come to its point by then is killed all the same.
POINT_SECONDS_MAX = 1.0
READY_SECONDS_MAX = 30.0
# More than the service gives itself to see everything to its end.
END_SECONDS_MAX = 150.0

POINTS = (
    "opened",
    *(
        f"{event} {op}"
        for op in (
            "enqueue",
            "claim",
            "settle",
            "submit",
            "memo_put",
            "cancel_run",
            "cancel_job",
            "kv_swap",
        )
        for event in ("invoked", "answered")
    ),
    "delivered job",
    "delivered step",
    "delivered notification",
)


class BrokenError(Exception):
    """A process ended by itself that should not have, or did not end that should have."""


@dataclass(frozen=True)
class Aim:
    """When one process is to be killed.

    Args:
        place: `opening`, `working`, `progress`, `point` or `closing`.
        seconds: How long after that.
        count: Of what, if it is counted.
        point: Which event.
        is_own: Whether the process kills itself at the point.
    """

    place: str
    seconds: float = 0.0
    count: int = 0
    point: str = ""
    is_own: bool = False

    @classmethod
    def draw(cls, rng: random.Random) -> "Aim":
        """Draws one."""
        weights = {"opening": 12, "working": 32, "progress": 8, "point": 40, "closing": 8}
        [place] = rng.choices(list(weights), list(weights.values()))
        match place:
            case "opening":
                return cls(place, rng.uniform(0, OPENING_SECONDS_MAX))
            case "working":
                return cls(place, rng.uniform(0, WORKING_SECONDS_MAX))
            case "progress":
                return cls(place, count=rng.randint(1, ENDED_COUNT_MAX))
            case "closing":
                return cls(place, rng.uniform(0, CLOSING_SECONDS_MAX))
        point = rng.choice(POINTS)
        # At an open there is one; else early ones meet an empty store, later ones a busy one.
        count = 1 if point == "opened" else rng.choice((1, 1, 2, 3, 5, 8, 13))
        behind = rng.uniform(0, BEHIND_POINT_SECONDS_MAX)
        return cls(place, behind, count, point, rng.random() < 0.5)


class Child:
    """A process of the service, just started."""

    def __init__(self, order: Order, pid: int, progress: int) -> None:
        self.order = order
        self.pid = pid
        self._progress = progress
        self._unread = b""

    @classmethod
    def start(
        cls,
        directory: Path,
        owner: int,
        mode: str,
        seed: int,
        aim: Aim | None,
        main: Callable[[Order], Coroutine[Any, Any, None]] = serve,
    ) -> "Child":
        """Forks one, which runs `main`."""
        reading, writing = os.pipe()
        trap = None
        if aim is not None and aim.place == "point":
            trap = Trap(aim.point, aim.count, aim.is_own, writing)
        closes_after = random.Random(seed).uniform(0, WORKING_SECONDS_MAX / 3)
        order = Order(directory, owner, mode, seed, closes_after, trap, writing)
        pid = os.fork()
        if pid == 0:
            _be_the_child(order, reading, main)
        os.close(writing)
        return cls(order, pid, reading)

    def wait_for(self, word: str, seconds: float, count: int = 1) -> bool:
        """Waits until it has said this so often; `False` if it ended first, or is too slow."""
        deadline = time.monotonic() + seconds
        while count:
            line, ends, rest = self._unread.partition(b"\n")
            if ends:
                self._unread = rest
                count -= line.decode() == word
                continue
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._progress], [], [], left)[0]:
                return False
            more = os.read(self._progress, 65536)
            if not more:
                return False
            self._unread += more
        return True

    def kill(self) -> int:
        """Kills it, if it is still there, and returns its exit code."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self, seconds: float = END_SECONDS_MAX) -> int:
        """Waits for its end, and kills it if it does not come; returns as `kill` does."""
        # Nobody else holds the other end of the pipe, so it closes with the process.
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            ready = select.select([self._progress], [], [], left)[0]
            if ready and not os.read(self._progress, 65536):
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._progress)
        return os.waitstatus_to_exitcode(status)

    def errors(self) -> str:
        """What it said on standard error."""
        return _stderr_of(self.order).read_text(errors="replace")


def _stderr_of(order: Order) -> Path:
    return order.directory / f"stderr-{order.owner}"


def _be_the_child(
    order: Order, reading: int, main: Callable[[Order], Coroutine[Any, Any, None]]
) -> None:
    """Runs the service in the forked process, which never returns from here."""
    code = 1
    try:
        os.close(reading)
        errors = os.open(_stderr_of(order), os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(errors, 2)
        asyncio.run(main(order))
        code = 0
    except BaseException:  # noqa: BLE001 - the parent sees the code and reads the text
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


@dataclass
class Tally:
    """What was done and found.

    Args:
        counts: `kills`, `stores`, `closes`, and what `judge` counts.
        points: How often a process was killed where.
        violations: Every broken promise, in words.
    """

    counts: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Takes in another one."""
        self.counts += other.counts
        self.points += other.points
        self.violations += other.violations


class Cycles:
    """The processes of one store.

    Args:
        directory: Made for this store; is empty.
        seed: Kill points, and what the processes do, are drawn from it.
    """

    def __init__(self, directory: Path, seed: str) -> None:
        self.directory = directory
        self.rng = random.Random(seed)
        self.tally = Tally()
        self.owner = 0
        self.appender = Appender(directory / HISTORY)
        self.appender.append("profile", profile_fields(self.rng.getrandbits(32)))

    def start(
        self,
        mode: str,
        aim: Aim | None = None,
        main: Callable[[Order], Coroutine[Any, Any, None]] = serve,
    ) -> Child:
        """Starts the next process."""
        self.owner += 1
        self.appender.append("opening", {"owner": self.owner, "takeover": True})
        seed = self.rng.getrandbits(32)
        return Child.start(self.directory, self.owner, mode, seed, aim, main)

    def end(self, child: Child, code: int) -> None:
        """Notes how a process ended."""
        if code not in (0, -signal.SIGKILL):
            message = f"process {child.order.owner} ended with {code}:\n{child.errors()}"
            raise BrokenError(message)
        how = "closed" if code == 0 else "crashed"
        self.appender.append("ended", {"owner": child.order.owner, "how": how})
        self.tally.counts["kills" if code else "closes"] += 1

    def kill_one(self, aim: Aim) -> None:
        """Starts a process, and kills it there."""
        child = self.start("close" if aim.place == "closing" else "work", aim)
        point = aim.place
        match aim.place:
            case "opening":
                time.sleep(aim.seconds)
            case "working":
                child.wait_for("ready", READY_SECONDS_MAX)
                time.sleep(aim.seconds)
            case "progress":
                child.wait_for("ended", POINT_SECONDS_MAX, aim.count)
            case "closing":
                child.wait_for("closing", READY_SECONDS_MAX)
                time.sleep(aim.seconds)
            case "point":
                point = aim.point if child.wait_for("point", POINT_SECONDS_MAX) else "no point"
                time.sleep(aim.seconds)
        code = child.kill()
        self.end(child, code)
        if code:
            self.tally.points[point] += 1

    def finish(self) -> None:
        """Has everything seen to its end, and listed by another process."""
        for mode in ("drain", "list"):
            child = self.start(mode)
            code = child.wait()
            self.end(child, code)
            if code:
                message = f"process {self.owner} was to {mode} the store and did not end"
                raise BrokenError(message)
        self.appender.close()

    def judge(self) -> None:
        """Holds what was seen against what was promised."""
        judged = judge.judge(self.directory / HISTORY, self.directory / DONE)
        runs = run_ledger.read(self.directory / LEDGER)
        self.tally.counts += judged.counts + run_ledger.counted(runs)
        self.tally.violations += judged.violations + run_ledger.violations(runs, plan_of)


def run_store(directory: Path, seed: str, kill_count: int) -> Tally:
    """Kills so many processes of one store, and judges what they saw.

    Args:
        directory: Made for this; the store, its history and its ledger are in it.
        seed: Kill points, and what the processes do, are drawn from it.
        kill_count: How many.
    """
    directory.mkdir(parents=True)
    cycles = Cycles(directory, seed)
    tally = cycles.tally
    tally.counts["stores"] += 1
    try:
        while tally.counts["kills"] < kill_count:
            cycles.kill_one(Aim.draw(cycles.rng))
        cycles.finish()
    except BrokenError as error:
        tally.violations.append(f"broken: {error}")
    cycles.judge()
    return tally
