"""What was written, read again: bodies, metadata, parts, listings, and what was deleted."""

import os
from typing import Final

from taquba.doctor._check import Check, failure, ok, warning
from taquba.doctor._place import Kind
from taquba.doctor._probe import Probe
from taquba.doctor._refusals import done

__all__ = ["delete_and_look", "list_names", "read_back", "read_metadata", "read_part"]

_BODY_BYTES: Final = 32 * 1024
_ROUNDS: Final = 5

# Out of order, with a name that begins as another directory does.
_NAMES: Final = ("b/2", "a/1", "ab/1", "b/1", "a/2", "c", "a/sub/1")

_STALE: Final = "use a store that shows at once what was written; check caches in front of it"


async def read_back(probe: Probe, kind: Kind) -> list[Check]:
    """Read what was written, at once; then write over it, and read again."""
    for number in range(_ROUNDS):
        name = "read-after-write" if number == 0 else "read-after-overwrite"
        body = os.urandom(_BODY_BYTES)
        done(name, "write", kind, await probe.put("read/object", body))
        read = await probe.get("read/object")
        if read.code == "not-found":
            return [failure(name, "what was just written is not there", _STALE)]
        if done(name, "read", kind, read).object.body != body:
            seen = f"{len(read.object.body)} bytes were read that are not the {len(body)} written"
            return [failure(name, seen, _STALE)]
    return [
        ok("read-after-write", "what was written was read at once"),
        ok("read-after-overwrite", f"{_ROUNDS - 1} times over, the latest form was read"),
    ]


async def read_metadata(probe: Probe, kind: Kind) -> list[Check]:
    """Keep metadata with an object: it tells a writer whose answer was lost what became of it."""
    # Letters only: stores differ in what else a name may have.
    name, metadata = "metadata", {"taqubadoctor": os.urandom(8).hex()}
    written = await probe.put("metadata/object", b"content", metadata=metadata)
    if written.code == "unsupported" and kind is Kind.DISK:
        return [ok(name, "not offered by a directory, and not needed there")]
    done(name, "write", kind, written)
    read = done(name, "read", kind, await probe.get("metadata/object"))
    kept = {key.lower(): value for key, value in read.object.metadata.items()}
    if kept != metadata:
        remedy = "use a store, or a proxy, that keeps user metadata as it is"
        return [failure(name, "metadata of an object was not kept", remedy)]
    return [ok(name, "metadata of an object was kept")]


async def read_part(probe: Probe, kind: Kind) -> list[Check]:
    """Read some bytes out of the middle of an object."""
    body = os.urandom(_BODY_BYTES)
    done("range", "write", kind, await probe.put("part/object", body))
    read = await probe.get("part/object", first_and_end=(1000, 5000))
    if done("range", "read", kind, read).object.body != body[1000:5000]:
        seen = f"{len(read.object.body)} bytes were read that are not the 4000 asked for"
        return [failure("range", seen, "use a store that honours ranges")]
    return [ok("range", "4000 bytes out of the middle of an object were read")]


async def list_names(probe: Probe, kind: Kind) -> list[Check]:
    """List a directory: all that is in it, nothing else."""
    name = "list"
    for each in _NAMES:
        done(name, "write", kind, await probe.put(f"list/{each}", each.encode()))
    found = []
    for directory in ("list", "list/a"):
        listed = done(name, "list", kind, await probe.list(directory))
        found.append([each.name for each in listed.objects])
    return [_judge_list(found[0], found[1], kind)]


def _judge_list(everything: list[str], inner: list[str], kind: Kind) -> Check:
    wanted = sorted(f"list/{each}" for each in _NAMES)
    if sorted(set(everything)) != wanted:
        missed = len(set(wanted) - set(everything))
        seen = f"of {len(wanted)} objects that were just written a listing misses {missed}"
        return failure("list", seen, _STALE)
    if sorted(set(inner)) != [each for each in wanted if each.startswith("list/a/")]:
        seen = "a listing of one directory shows another, or not all of it"
        return failure("list", seen, "use a store that honours prefixes")
    if len(everything) != len(wanted):
        return warning("list", "a listing shows an object twice", "taquba copes; others may not")
    # Only a directory of a disk promises no order.
    if everything != wanted and kind is not Kind.DISK:
        return warning("list", "a listing is out of order", "taquba copes; others may not")
    return ok("list", "a listing shows what is there, by prefix")


async def delete_and_look(probe: Probe, kind: Kind) -> list[Check]:
    """Delete an object: it is gone for reads and for listings."""
    name = "delete"
    for each in ("kept", "deleted"):
        done(name, "write", kind, await probe.put(f"delete/{each}", b"content"))
    done(name, "delete", kind, await probe.delete("delete/deleted"))
    if (await probe.get("delete/deleted")).is_ok:
        return [failure(name, "what was deleted can still be read", _STALE)]
    listed = done(name, "list", kind, await probe.list("delete"))
    if [each.name for each in listed.objects] != ["delete/kept"]:
        return [failure(name, "what was deleted is still listed", _STALE)]
    return [ok(name, "what was deleted is gone")]
