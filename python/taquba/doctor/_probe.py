"""Requests to a store, below a throw-away prefix.

Invariants:
    1. Every object lies below the prefix, whose name is drawn at random: no queue has any there.
    2. Every request ends within its time. One that was sent is waited for before the prefix is
       swept, also if the task that sent it was cancelled.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, final

from taquba._port import Port
from taquba._taquba import StoreProbe

__all__ = ["ABSENT", "Answer", "Probe", "Seen", "Version"]

Code = Literal[
    "ok",
    "not-found",
    "already-exists",
    "precondition",
    "not-modified",
    "denied",
    "unauthenticated",
    "unsupported",
    "timeout",
    "failed",
]

_STATUS: Final = re.compile(r"status code: (\d{3})\b")
_CODES: Final[dict[str, Code]] = {"401": "unauthenticated", "403": "denied", "404": "not-found"}

_DELETES_AT_ONCE: Final = 16
# What is listed may lag behind what was deleted, on stores that are not what they should be.
_SWEEPS_MAX: Final = 3
# Of a store that has stopped to answer nothing can be deleted.
_SWEEP_SECONDS: Final = 30.0


@final
@dataclass(frozen=True, slots=True)
class Version:
    """Which form of an object; none of both stands for no object."""

    e_tag: str | None
    number: str | None


ABSENT: Final = Version(None, None)
"""The condition that there is no object."""


@final
@dataclass(frozen=True, slots=True)
class Seen:
    """An object as the store shows it.

    Args:
        name: Below the prefix.
        size_bytes: Its size; 0 in the answer of a write.
        modified_at: When it was written, by the store's clock; `None` in the answer of a write.
        version: Which form of it.
        metadata: That of its writer, if it was read.
        body: Its bytes, if it was read.
    """

    name: str
    size_bytes: int
    modified_at: datetime | None
    version: Version
    metadata: dict[str, str]
    body: bytes


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What the store said.

    Args:
        code: `ok`, or why not.
        detail: Its own words, if not.
        objects: What it shows.
        seconds: How long that took.
    """

    code: Code
    detail: str
    objects: Sequence[Seen]
    seconds: float

    @property
    def is_ok(self) -> bool:
        """Whether it was done."""
        return self.code == "ok"

    @property
    def is_refused_condition(self) -> bool:
        """Whether it was not done because its condition does not hold."""
        return self.code in {"already-exists", "precondition"}

    @property
    def object(self) -> Seen:
        """The one object of the answer to a write or a read."""
        return self.objects[0]


@final
class Probe:
    """Asks one store. Must be made while an event loop runs.

    Args:
        store: What `taquba.store.resolve` returned.
        prefix: The throw-away prefix.
        request_seconds: How long a request may take.
    """

    def __init__(self, store: object, prefix: str, request_seconds: float) -> None:
        limit = timedelta(seconds=request_seconds)
        self._native = StoreProbe(store, prefix, timeout=limit)
        self._request_seconds = request_seconds
        self._prefix = prefix
        self._port = Port()
        self._open: set[asyncio.Future[Any]] = set()
        self._written: set[str] = set()

    async def put(
        self,
        name: str,
        body: bytes,
        *,
        over: Version | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Answer:
        """Write an object.

        Args:
            name: Its name.
            body: Its bytes.
            over: Only over this form of it; in any case if absent.
            metadata: What is kept with it.
        """
        self._written.add(name)
        version = None if over is None else (over.e_tag, over.number)
        return await self._ask(self._native.put, name, body, version, metadata or {})

    async def upload(self, name: str, body: bytes, *, is_completed: bool) -> Answer:
        """Write an object as a multipart upload, or give that up before its end."""
        self._written.add(name)
        return await self._ask(self._native.upload, name, body, is_completed)

    async def get(
        self,
        name: str,
        *,
        first_and_end: tuple[int, int] | None = None,
        matches: str | None = None,
        differs: str | None = None,
    ) -> Answer:
        """Read an object, or some of its bytes, if its entity tag is this one, or another one."""
        return await self._ask(self._native.get, name, first_and_end, matches, differs)

    async def list(self, directory: str = "") -> Answer:
        """List what is below a directory of the prefix."""
        return await self._ask(self._native.list, directory)

    async def delete(self, name: str) -> Answer:
        """Delete an object."""
        return await self._ask(self._native.delete, name)

    async def sweep(self) -> Sequence[str]:
        """Delete everything below the prefix. Returns the names of what is left."""
        if self._open:
            await asyncio.wait(self._open, timeout=2 * self._request_seconds)
        left: Sequence[str] = sorted(self._written)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SWEEP_SECONDS):
                for _ in range(_SWEEPS_MAX):
                    listed = await self.list()
                    if listed.is_ok:
                        left = [each.name for each in listed.objects]
                    if not left:
                        break
                    left = await self._delete_all(left)
                    if not listed.is_ok:
                        break
        return left

    def close(self) -> None:
        """Ask no more."""
        self._port.close(self._prefix)

    async def _delete_all(self, names: Sequence[str]) -> Sequence[str]:
        left = []
        for start in range(0, len(names), _DELETES_AT_ONCE):
            some = names[start : start + _DELETES_AT_ONCE]
            answers = await asyncio.gather(*map(self.delete, some))
            left += [
                name
                for name, answer in zip(some, answers, strict=True)
                if answer.code not in {"ok", "not-found"}
            ]
        return left

    async def _ask(self, method: Any, *args: object) -> Answer:  # noqa: ANN401 - each its own
        began = time.perf_counter()
        future = self._port.call(method, self._port.native, *args)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        code, detail, shown = await asyncio.shield(future)
        seconds = time.perf_counter() - began
        if code == "failed":
            code = _code_of(detail)
        return Answer(code, detail, [_seen(each) for each in shown], seconds)


def _code_of(detail: str) -> Code:
    # The store clients tell some refusals, such as those of listings, in words only.
    status = _STATUS.search(detail)
    return _CODES.get(status.group(1), "failed") if status else "failed"


def _seen(shown: tuple[Any, ...]) -> Seen:
    name, size_bytes, modified_at_ms, e_tag, number, metadata, body = shown
    at = None if modified_at_ms is None else datetime.fromtimestamp(modified_at_ms / 1000, UTC)
    return Seen(name, size_bytes, at, Version(e_tag, number), metadata, body)
