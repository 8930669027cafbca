"""Conditions of writes: what keeps two owners apart."""

import asyncio
import time
from typing import Final

from taquba.doctor._check import Check, failure, ok, warning
from taquba.doctor._place import Kind
from taquba.doctor._probe import ABSENT, Probe, Version
from taquba.doctor._refusals import done, refused

__all__ = ["conditional_read", "create_once", "race", "swap"]

_RACERS: Final = 8
_ROUNDS: Final = 10
_ROUNDS_MIN: Final = 3
_RACE_SECONDS: Final = 15.0

_USE_ANOTHER: Final = (
    "do not keep a queue here: two owners could both take it. docs/stores.md lists servers that "
    "were tried"
)


async def create_once(probe: Probe, kind: Kind) -> list[Check]:
    """Create an object twice: the second creation must be refused, and change nothing."""
    name, at = "create-once", "create/once"
    first = await probe.put(at, b"first", over=ABSENT)
    if not first.is_ok:
        there = await probe.get(at)
        if first.is_refused_condition and there.is_ok and there.object.body == b"first":
            seen = "a creation was told as refused, and the object is there all the same"
            return [warning(name, seen, "taquba finds out whose it is; check proxies and retries")]
        return [refused(name, "create", kind, first)]
    return [await _create_again(probe, kind, name, at)]


async def _create_again(probe: Probe, kind: Kind, name: str, at: str) -> Check:
    second = await probe.put(at, b"second", over=ABSENT)
    if second.is_ok:
        seen = "an object was created although it was there: the condition is ignored"
        return failure(name, seen, _USE_ANOTHER)
    if not second.is_refused_condition:
        return refused(name, "create", kind, second)
    there = done(name, "read", kind, await probe.get(at))
    if there.object.body != b"first":
        seen = "a creation that was refused has changed the object"
        return failure(name, seen, _USE_ANOTHER)
    return ok(name, "of two creations the second was refused")


async def race(probe: Probe, _: Kind) -> list[Check]:
    """Let eight create one object at the same moment, several times: one must succeed each time."""
    winners: list[int] = []
    ends = time.monotonic() + _RACE_SECONDS
    nobody_and_nothing = 0
    while len(winners) < _ROUNDS:
        at = f"race/{len(winners)}"
        bodies = [f"{at} {racer}".encode() for racer in range(_RACERS)]
        answers = await asyncio.gather(*(probe.put(at, body, over=ABSENT) for body in bodies))
        winners.append(sum(answer.is_ok for answer in answers))
        if winners[-1] == 0 and not (await probe.get(at)).is_ok:
            nobody_and_nothing += 1
        if time.monotonic() > ends and len(winners) >= _ROUNDS_MIN:
            break
    return [_judge_race(winners, nobody_and_nothing)]


def _judge_race(winners: list[int], nobody_and_nothing: int) -> Check:
    rounds, several = len(winners), sum(count > 1 for count in winners)
    nobody = sum(count == 0 for count in winners)
    if several:
        seen = f"in {several} of {rounds} rounds several of {_RACERS} racers created one object"
        return failure("race", seen, _USE_ANOTHER)
    if nobody_and_nothing:
        seen = f"in {nobody_and_nothing} of {rounds} rounds none of {_RACERS} racers got through"
        return failure("race", seen, "check network and limits of the store, and ask again")
    if nobody:
        seen = f"in {nobody} of {rounds} rounds the one who created the object was told it had not"
        return warning("race", seen, "taquba finds out whose it is; check proxies and retries")
    return ok("race", f"in {rounds} rounds one of {_RACERS} racers created the object")


async def swap(probe: Probe, kind: Kind) -> list[Check]:
    """Overwrite an object by its version: once with the right one, once with an old one."""
    name, at = "swap", "swap/object"
    first = done(name, "write", kind, await probe.put(at, b"first"))
    old = first.object.version
    if old == Version(None, None):
        seen = "what was written has no entity tag and no version"
        return [failure(name, seen, "use a store or a proxy that gives entity tags")]
    second = await probe.put(at, b"second", over=old)
    if second.code == "unsupported" and kind is Kind.DISK:
        return [ok(name, "not offered by a directory, and not needed there")]
    done(name, "overwrite", kind, second)
    third = await probe.put(at, b"third", over=old)
    if third.is_ok:
        seen = "an object was overwritten by a version that it no longer had"
        remedy = "owners may take each other for dead; use a store that honours If-Match"
        return [failure(name, seen, remedy)]
    if not third.is_refused_condition:
        return [refused(name, "overwrite", kind, third)]
    return [ok(name, "an overwrite by an old version was refused")]


async def conditional_read(probe: Probe, kind: Kind) -> list[Check]:
    """Read an object only if it has changed, and only if it has not."""
    name, at = "conditional-read", "conditional/object"
    done(name, "write", kind, await probe.put(at, b"content"))
    read = done(name, "read", kind, await probe.get(at))
    e_tag = read.object.version.e_tag
    if e_tag is None:
        return [warning(name, "what is read has no entity tag", "use a store that gives them")]
    unchanged = await probe.get(at, differs=e_tag)
    other = await probe.get(at, matches='"0123456789abcdef0123456789abcdef"')
    if unchanged.code == "not-modified" and other.code == "precondition":
        return [ok(name, "an unchanged object and one of another version were told as such")]
    seen = f"an unchanged object was told as `{unchanged.code}`, another one as `{other.code}`"
    return [warning(name, seen, "queues do not need it; other tools on this bucket may")]
