"""How long requests take, what that means for a queue, and how far the clocks agree."""

import math
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from taquba.doctor._check import Check, failure, ok, warning
from taquba.doctor._place import Kind
from taquba.doctor._probe import Answer, Probe
from taquba.doctor._refusals import done

__all__ = ["clock", "latency", "percentile", "spell"]

_BODY_BYTES: Final = 4096
_SAMPLES: Final = 20
_SAMPLES_MIN: Final = 3
_SECONDS_EACH: Final = 8.0

# A durable answer takes up to two writes: twice this is long for whoever waits.
_SLOW_SECONDS: Final = 1.0

# Stores date to the second, and a request takes its time.
_RESOLUTION: Final = timedelta(seconds=1)
# An owner counts as dead after two and a half minutes; a sixth of one must not matter.
_SKEW_MAX: Final = timedelta(seconds=10)


async def latency(probe: Probe, kind: Kind) -> list[Check]:
    """Time writes, reads and listings, one after the other."""
    body = os.urandom(_BODY_BYTES)
    names = [f"latency/{number}" for number in range(_SAMPLES)]

    async def put(number: int) -> Answer:
        return await probe.put(names[number], body)

    async def get(number: int) -> Answer:
        return await probe.get(names[number])

    async def list_(_: int) -> Answer:
        return await probe.list("latency")

    checks: list[Check] = []
    count = _SAMPLES
    for action, request in (("write", put), ("read", get), ("list", list_)):
        name = f"latency-{action}"
        answers = await _sample(request, count)
        count = len(answers)
        done(name, action, kind, answers[-1])
        checks.append(_judge(name, [answer.seconds for answer in answers]))
    if kind is not Kind.DISK:
        checks.append(_commits(checks[0].figures["p50"]))
    return checks


async def _sample(request: Callable[[int], Awaitable[Answer]], count: int) -> Sequence[Answer]:
    answers: list[Answer] = []
    ends = time.monotonic() + _SECONDS_EACH
    for number in range(count):
        answers.append(await request(number))
        is_late = time.monotonic() > ends and len(answers) >= _SAMPLES_MIN
        if is_late or not answers[-1].is_ok:
            break
    return answers


def _judge(name: str, seconds: Sequence[float]) -> Check:
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    seen = f"p50 {spell(p50)}, p99 {spell(p99)} ({len(seconds)} requests of 4 KiB)"
    if p50 > _SLOW_SECONDS:
        remedy = "run the queue near its store: same region, no proxy between"
        return warning(name, seen, remedy, p50=p50, p99=p99)
    return ok(name, seen, p50=p50, p99=p99)


def _commits(put_seconds: float) -> Check:
    rate = 1 / put_seconds
    seen = (
        f"about {rate:.0f} commits per second, one after the other, each with many jobs; a durable "
        f"answer takes {spell(put_seconds)} to {spell(2 * put_seconds)}"
    )
    return ok("commit-rate", seen, per_second=rate)


async def clock(probe: Probe, kind: Kind) -> list[Check]:
    """Compare the instant that the store gives to a new object with the clock of this machine."""
    began = datetime.now(UTC)
    done("clock", "write", kind, await probe.put("clock/object", b""))
    ended = datetime.now(UTC)
    read = done("clock", "read", kind, await probe.get("clock/object"))
    at = read.object.modified_at
    if at is None:
        remedy = "use a store that dates objects: owners are told by it whether others are alive"
        return [failure("clock", "the store does not date its objects", remedy)]
    skew = timedelta()
    if at < began - _RESOLUTION:
        skew = at - began
    elif at > ended + _RESOLUTION:
        skew = at - ended
    seconds = skew.total_seconds()
    if abs(skew) > _SKEW_MAX:
        direction = "ahead of" if seconds > 0 else "behind"
        seen = f"the store is {abs(seconds):.0f} s {direction} this machine"
        remedy = "set the clock by NTP: a dead owner is taken for alive, or a live one for dead"
        return [warning("clock", seen, remedy, skew_seconds=seconds)]
    return [ok("clock", "store and machine agree on the time", skew_seconds=seconds)]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def spell(seconds: float) -> str:
    """Return a short time in the unit that keeps it readable."""
    if seconds < 0.001:  # noqa: PLR2004 - a millisecond
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds:.2f} s"
