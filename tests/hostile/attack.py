"""One wrong argument at a time, and the judgement of what came of it.

A call is either taken, and then does what it says, or refused: with an error of ours, or a
`ValueError` or `TypeError`, that names the argument, can be printed, and comes before anything was
written. It never panics, never hangs, and never fails in any other way.
"""

import asyncio
import contextlib
import inspect
import random
import re
import reprlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from taquba.exceptions import InternalError, TaqubaError
from tests.hostile.ground import Ground
from tests.hostile.kinds import Kind
from tests.hostile.row import Row
from tests.hostile.table import ROWS
from tests.hostile.values import POOL, Sabotage, random_value

__all__ = ["Attack", "Violation", "values_for"]

# A refusal shows what was given shortly, whatever that was.
MESSAGE_LENGTH_MAX: Final = 1_000
CALL_SECONDS_MAX: Final = 10.0
# A store that has seen this many calls has many queues, and is left for a new one.
CALLS_PER_GROUND: Final = 4_000


# A message that is logged must not look like two.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")

_shortly: Final = reprlib.Repr()
_shortly.maxstring = _shortly.maxother = 80


class Violation(AssertionError):  # noqa: N818 - a finding, not a failure of this program
    """A call did with an argument what it must not do."""


@dataclass(frozen=True)
class _End:
    """How a call ended."""

    result: Any = None
    error: BaseException | None = None


def values_for(call: str, argument: str, rng: random.Random | None, count: int) -> list[Any]:
    """What an argument is to be given: the pool without a generator, else so many random ones."""
    kind = ROWS[call].kinds[argument]
    if rng is None:
        return [value for value in [*kind.own, *POOL] if not _is_skipped(call, argument, value)]
    found: list[Any] = []
    while len(found) < count:
        value = random_value(rng)
        if not _is_skipped(call, argument, value):
            found.append(value)
    return found


def _is_skipped(call: str, argument: str, value: Any) -> bool:
    # Without an event that ends it, work goes on until it is cancelled.
    if argument == "shutdown":
        return value is None
    # A text is a place: those that lead somewhere have tests of their own.
    return argument == "store" and (isinstance(value, str) or hasattr(type(value), "__fspath__"))


class Attack:
    """Calls with wrong arguments, on one ground after the other."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.by_boundary: Counter[str] = Counter()
        self._stack = contextlib.AsyncExitStack()
        self._ground: Ground | None = None
        self._calls = 0
        self._digest: Any = None

    async def close(self) -> None:
        """Leaves the ground."""
        await self._stack.aclose()
        self._ground = None

    async def strike(self, call: str, argument: str, value: Any) -> None:
        """Makes one call with one wrong argument.

        Raises:
            Violation: It did what it must not do.
        """
        ground = await self._on_ground()
        row = ROWS[call]
        given = {**row.valid(ground), argument: value}
        end = await self._made(row, ground, given)
        self.counts["inputs"] += 1
        self.by_boundary[f"{call}({argument})"] += 1
        wanted = self._wanted(row.kinds[argument], value)
        if end.error is None:
            self.counts["taken"] += 1
            if wanted is False:
                raise Violation(f"{_told(call, argument, value)} was taken")
            await self._look(row, ground, given, end, _told(call, argument, value))
            self._digest = None
            return
        if wanted is not False and isinstance(end.error, row.answers):
            self.counts["answered"] += 1
            return
        self.counts["refused"] += 1
        check_refusal(call, argument, value, row.kinds[argument], end.error)
        if wanted is True:
            raise Violation(f"{_told(call, argument, value)} was refused: {end.error!r}")
        if row.writes:
            before, self._digest = self._digest, await ground.digest()
            if before is not None and before != self._digest:
                raise Violation(f"{_told(call, argument, value)} was refused, and has written")

    def _wanted(self, kind: Kind, value: Any) -> bool | None:
        try:
            return kind.judge(value)
        except Sabotage:
            # Not even a judge can look at it.
            return None

    async def _on_ground(self) -> Ground:
        self._calls += 1
        if self._ground is None or self._calls % CALLS_PER_GROUND == 0:
            await self.close()
            self._stack = contextlib.AsyncExitStack()
            self._ground = await self._stack.enter_async_context(Ground())
            self._digest = None
        return self._ground

    async def _made(self, row: Row, ground: Ground, given: dict[str, Any]) -> _End:
        by_place = [value for name, value in given.items() if name in row.positional]
        by_name = {name: value for name, value in given.items() if name not in row.positional}
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                result = row.call(ground)(*by_place, **by_name)
                if inspect.isawaitable(result):
                    result = await result
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            return _End(error=error)
        return _End(result=result)

    async def _look(
        self, row: Row, ground: Ground, given: dict[str, Any], end: _End, told: str
    ) -> None:
        try:
            await row.after(ground, given, end.result)
        except Sabotage:
            # What was given cannot be compared with anything.
            pass
        except Exception as error:
            raise Violation(f"{told} was taken, and not as it says: {error!r}") from error


def check_refusal(call: str, argument: str, value: Any, kind: Kind, error: BaseException) -> None:
    """A refusal is one of ours, names the argument, and can be printed.

    Raises:
        Violation: It is not so.
    """
    told = _told(call, argument, value)
    # What the object raised itself is its own; whoever gave it, gets it.
    if isinstance(error, Sabotage):
        return
    if type(error).__name__ == "PanicException" or isinstance(error, InternalError):
        raise Violation(f"{told}: a panic: {error!r}") from error
    if not isinstance(error, TaqubaError | ValueError | TypeError):
        raise Violation(f"{told}: {error!r}") from error
    text = str(error)
    text.encode()
    if len(text) > MESSAGE_LENGTH_MAX:
        raise Violation(f"{told}: a message of {len(text)} characters: {text[:200]}") from error
    if _CONTROLS.search(text):
        raise Violation(f"{told}: a message with control characters: {text[:200]!r}") from error
    names = (f"{argument}", *kind.words)
    if getattr(error, "name", None) != argument and not any(name in text for name in names):
        raise Violation(f"{told}: which argument? {error!r}") from error


def _told(call: str, argument: str, value: Any) -> str:
    try:
        shown = _shortly.repr(value)
    except Exception:  # noqa: BLE001 - it was made for that
        shown = f"<{type(value).__name__}>"
    return f"{call}({argument}={shown})"
