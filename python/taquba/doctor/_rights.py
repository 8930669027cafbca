"""Rights: each is tried once, and named as the store names it."""

import os
from dataclasses import dataclass
from typing import Final, final

from taquba.doctor._check import Check, failure, ok
from taquba.doctor._place import Kind
from taquba.doctor._probe import Answer, Probe
from taquba.doctor._refusals import refused, right

__all__ = ["Rights", "try_rights"]

# Smaller parts than this are allowed to the last one only, and it is the only one.
_PART_BYTES: Final = 64 * 1024


@final
@dataclass(frozen=True, slots=True)
class Rights:
    """What was tried.

    Args:
        checks: How each came out.
        answers: Whether the store answers at all.
        can_write: Whether objects can be written, read and listed: what further checks need.
    """

    checks: list[Check]
    answers: bool
    can_write: bool


async def try_rights(probe: Probe, kind: Kind) -> Rights:
    """Try what an owner does.

    Args:
        probe: Asks the store.
        kind: What the store is.
    """
    missing = await probe.get("rights/nothing")
    if missing.code in {"unauthenticated", "timeout", "failed"}:
        return Rights([refused("right-to-read", "read", kind, missing)], False, False)  # noqa: FBT003
    listed = await probe.list()
    checks = [_read_right(missing, kind), _check("list", kind, listed)]
    body = os.urandom(64)
    written = await probe.put("rights/object", body)
    checks.append(_check("write", kind, written))
    if not written.is_ok:
        return Rights(checks, True, False)  # noqa: FBT003
    checks.append(_check("overwrite", kind, await probe.put("rights/object", body)))
    checks += await _try_uploads(probe, kind)
    read = await probe.get("rights/object")
    if not read.is_ok:
        checks[0] = refused("right-to-read", "read", kind, read)
    checks.append(_check("delete", kind, await probe.delete("rights/object")))
    return Rights(checks, True, read.is_ok and listed.is_ok)  # noqa: FBT003


async def _try_uploads(probe: Probe, kind: Kind) -> list[Check]:
    # What is larger than a few megabytes is written in parts.
    part = os.urandom(_PART_BYTES)
    completed = await probe.upload("rights/upload", part, is_completed=True)
    checks = [_check("upload", kind, completed)]
    if completed.is_ok:
        read = await probe.get("rights/upload")
        if not read.is_ok or read.object.body != part:
            seen = "a multipart upload that was completed is not what was sent"
            checks = [failure("right-to-upload", seen, "use another store")]
        aborted = await probe.upload("rights/aborted", part, is_completed=False)
        checks.append(_check("abort", kind, aborted))
    return checks


def _read_right(missing: Answer, kind: Kind) -> Check:
    if missing.code == "denied":
        needed = f"{right(kind, 'read')} and {right(kind, 'list')}"
        seen = f"what is not there is forbidden, not missing: {missing.detail}"
        remedy = f"grant {needed}; without the right to list, some stores hide what is missing"
        return failure("right-to-read", seen, remedy)
    return _check("read", kind, missing)


def _check(action: str, kind: Kind, answer: Answer) -> Check:
    name = f"right-to-{action}"
    if answer.is_ok or (action == "read" and answer.code == "not-found"):
        return ok(name, f"{right(kind, action)} is granted", seconds=answer.seconds)
    return refused(name, action, kind, answer)
