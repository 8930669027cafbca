"""The history of one process: what it asked of the store, and what it was told.

Lines are events in the format of `rust/taquba-sim/src/history`, appended to a file outside the
store. Each one is a single write: a line that was written survives SIGKILL, because it is the
kernel's. A call is noted before it is made and its answer when it is there, so a call without an
answer may have been carried out or not.

`Trap` kills the process, or says that it may be killed, when a certain event has been noted.
"""

import itertools
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from taquba import Recovery
from taquba.exceptions import TaqubaError

T = TypeVar("T")
Fields = dict[str, Any]

# Numbers of calls and deliveries are unique in a history: each owner has its own range.
NUMBERS_PER_OWNER = 10_000_000


class Appender:
    """A file of events, of which each is one write."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, event: str, fields: Fields) -> None:
        """Adds one event, which happened now."""
        now = {"at_ms": time.monotonic_ns() // 1_000_000, "wall_ms": time.time_ns() // 1_000_000}
        line = json.dumps({**now, "event": event, **fields}, separators=(",", ":"))
        os.write(self._file, line.encode() + b"\n")

    def close(self) -> None:
        """Gives the file back."""
        os.close(self._file)


@dataclass
class Trap:
    """When to die.

    Args:
        name: At which events: `opened`, `invoked OP`, `answered OP` or `delivered WORK`.
        count: At which of them, from 1.
        is_own: Whether the process kills itself there; otherwise it tells its parent.
        progress: The pipe on which it does that.
    """

    name: str
    count: int
    is_own: bool
    progress: int

    def pass_by(self, name: str) -> None:
        """Notices an event."""
        if name != self.name:
            return
        self.count -= 1
        if self.count == 0:
            os.write(self.progress, b"point\n")
            if self.is_own:
                os.kill(os.getpid(), signal.SIGKILL)


class Recorder:
    """Notes what one owner does.

    Args:
        path: The history.
        owner: The owner's number.
        trap: What may kill it on the way.
    """

    def __init__(self, path: Path, owner: int, trap: Trap | None = None) -> None:
        self.owner = owner
        self._appender = Appender(path)
        self._trap = trap
        self._numbers = itertools.count(owner * NUMBERS_PER_OWNER)
        self._ops: dict[int, str] = {}
        self.payloads: dict[str, str] = {}
        """What was delivered of each job."""

    def note(self, event: str, name: str, **fields: Any) -> None:
        """Adds one event of this owner; `name` is what traps know it by."""
        self._appender.append(event, {"owner": self.owner, **fields})
        if self._trap is not None:
            self._trap.pass_by(name)

    def tell(self, event: str, fields: Fields) -> None:
        """Adds one event that is about no owner."""
        self._appender.append(event, fields)

    def opened(self) -> None:
        """The store is this owner's."""
        self.note("opened", "opened")

    def invoked(self, op: str, **fields: Any) -> int:
        """A call is made; returns its number."""
        call = next(self._numbers)
        self._ops[call] = op
        self.note("invoked", f"invoked {op}", call=call, op={"op": op, **fields})
        return call

    def answered(self, call: int, got: Any) -> None:
        """It was carried out."""
        self._answer(call, {"ok": got})

    def refused(self, call: int, error: TaqubaError) -> None:
        """It was not carried out, or nobody knows."""
        kind = "unknown" if error.recovery is Recovery.REOPEN else "failed"
        self._answer(call, {kind: {"code": error.code}})

    def _answer(self, call: int, answer: Fields) -> None:
        self.note("answered", f"answered {self._ops.pop(call)}", call=call, answer=answer)

    async def call(
        self, op: str, fields: Fields, made: Awaitable[T], got: Callable[[T], Any] | None = None
    ) -> T:
        """Makes a call, and notes it before and after.

        Args:
            op: What is asked.
            fields: The rest of the op.
            made: The call; nothing has been asked before this is awaited.
            got: What to note of the answer; `done` if absent.

        Raises:
            TaqubaError: What it raised, which is noted.
        """
        call = self.invoked(op, **fields)
        try:
            answer = await made
        except TaqubaError as error:
            self.refused(call, error)
            raise
        self.answered(call, "done" if got is None else got(answer))
        return answer

    def delivered(self, claim: Fields, call: int | None = None) -> str:
        """A job was handed out; returns the token of the delivery."""
        token = f"t{next(self._numbers)}"
        self.payloads[claim["job"]] = claim["payload"]
        work = claim["work"]
        name = work if isinstance(work, str) else next(iter(work))
        noted = {"token": token, **claim}
        self.note("delivered", f"delivered {name}", call=call, claim=noted)
        return token
