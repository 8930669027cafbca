"""The examination: every check in turn, in bounded time, and nothing left behind.

Invariants:
    1. The queue's own objects are never written: probes have a prefix of their own.
    2. However it ends, by its time, by an error or by Ctrl-C, what it has written is deleted; what
       cannot be deleted is named.
    3. A store that fails is a finding, and no error; what is no store is an error.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from taquba import _taquba
from taquba._checks import Seconds, check_between
from taquba.doctor._check import Check, Diagnosis, failure, ok, warning
from taquba.doctor._conditions import conditional_read, create_once, race, swap
from taquba.doctor._machine import disk, extras, open_files
from taquba.doctor._place import Kind, Place, find
from taquba.doctor._probe import Probe
from taquba.doctor._queue import look
from taquba.doctor._reading import delete_and_look, list_names, read_back, read_metadata, read_part
from taquba.doctor._refusals import Refused
from taquba.doctor._rights import try_rights
from taquba.doctor._timing import clock, latency
from taquba.exceptions import InvalidStoreError
from taquba.store import StoreLike

__all__ = ["examine"]

_CHECKS: Final[Sequence[Callable[[Probe, Kind], Awaitable[list[Check]]]]] = (
    create_once,
    race,
    swap,
    conditional_read,
    read_back,
    read_metadata,
    read_part,
    list_names,
    delete_and_look,
    latency,
    clock,
)

_REQUEST_MIN: Final = _taquba.duration("request_timeout", 0.05)
_REQUEST_MAX: Final = _taquba.duration("request_timeout", 300)
_LIMIT_MIN: Final = _taquba.duration("time_limit", 1)
_LIMIT_MAX: Final = _taquba.duration("time_limit", 3600)
_NAMES_SHOWN: Final = 3


async def examine(
    store: StoreLike,
    path: str = "taquba",
    *,
    request_timeout: Seconds = 10.0,
    time_limit: Seconds = 120.0,
) -> Diagnosis:
    """Find out whether a store does what a queue needs, and how the queue in it is doing.

    Writes some hundred small objects below `PATH/doctor-...` and deletes them again. Takes nothing
    away from the store's owner, who may be at work.

    Cancellation: what was written is deleted first, for which a few requests are made.

    Args:
        store: A URL, a directory, or a store object, as for `Queue.open`.
        path: Where in the store.
        request_timeout: How long a request may take, 0.05 to 300 seconds.
        time_limit: How long all probes of the store may take together, 1 to 3,600 seconds. What was
            not looked at by then is left out, and told. Cleaning up comes on top.

    Raises:
        InvalidStoreError: The store cannot be used as given.
        InvalidArgumentError: A time is out of bounds.

    Example:
        >>> diagnosis = await examine("s3://bucket/jobs")
        >>> for check in diagnosis.checks:
        ...     print(check.status, check.name, check.seen)
    """
    _taquba.check_text("path", path)
    request_timeout = _taquba.duration("request_timeout", request_timeout)
    check_between("request_timeout", request_timeout, _REQUEST_MIN, _REQUEST_MAX)
    time_limit = _taquba.duration("time_limit", time_limit)
    check_between("time_limit", time_limit, _LIMIT_MIN, _LIMIT_MAX)
    place = find(store)
    request_seconds = request_timeout.total_seconds()
    checks: list[Check] = []
    with _keeping(place.directory):
        await _probe(place, path, request_seconds, time_limit.total_seconds(), checks)
    checks += await look(place, path, request_seconds)
    if place.directory is not None:
        checks += await asyncio.to_thread(disk, place.directory)
    if place.kind is Kind.MEMORY:
        seen = "memory: the queue is gone when the process ends"
        checks.append(warning("durability", seen, "use a bucket or a directory, except in tests"))
    checks += [open_files(), extras()]
    return Diagnosis(location=place.location, path=path, checks=checks)


async def _probe(
    place: Place, path: str, request_seconds: float, limit_seconds: float, checks: list[Check]
) -> None:
    prefix = f"{path}/doctor-{secrets.token_hex(8)}"
    try:
        probe = Probe(place.store, prefix, request_seconds)
    except InvalidStoreError as error:
        # A directory that cannot be made is a finding; what names no store is a mistake.
        if place.kind is not Kind.DISK:
            raise
        checks.append(failure("directory", str(error), "give a directory that can be written"))
        return
    try:
        async with asyncio.timeout(limit_seconds):
            await _ask_everything(probe, place.kind, checks)
    except TimeoutError:
        seen = f"not everything was looked at within {limit_seconds:g} s"
        checks.append(failure("time", seen, "check network and store, or give it more time"))
    finally:
        left = await probe.sweep()
        probe.close()
        checks.append(_swept(left, prefix))


async def _ask_everything(probe: Probe, kind: Kind, checks: list[Check]) -> None:
    rights = await try_rights(probe, kind)
    checks += rights.checks
    if rights.can_write:
        for check in _CHECKS:
            try:
                checks += await check(probe, kind)
            except Refused as refused:
                checks.append(refused.check)


def _swept(left: Sequence[str], prefix: str) -> Check:
    if not left:
        return ok("clean-up", "all that was written is deleted")
    shown = ", ".join(left[:_NAMES_SHOWN])
    seen = f"{len(left)} objects may be left below {prefix}: {shown}"
    return warning("clean-up", seen, f"delete everything below {prefix}")


@contextlib.contextmanager
def _keeping(directory: Path | None) -> Iterator[None]:
    """Remove the directories again that were not there before."""
    absolute = None if directory is None else Path(os.path.abspath(directory))  # noqa: PTH100
    ours = []
    if absolute is not None:
        ours = [each for each in (absolute, *absolute.parents) if not each.exists()]
    try:
        yield
    finally:
        for each in ours:
            # Somebody else may use it by now.
            with contextlib.suppress(OSError):
                each.rmdir()
