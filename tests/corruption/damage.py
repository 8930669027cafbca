"""Which file is damaged, and how: told by a seed and a number, done to a copy.

Invariants:
    1. The same seed and number choose the same kind of file, damage and place, whatever the files
       are called.
    2. A damage changes something, or there is none.
"""

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.corruption.content import MEMO_PREFIX
from tests.corruption.segment import LOG_MAGIC, Segment, last_record
from tests.corruption.templates import PATH, Template

__all__ = ["Damage", "choose", "kind_of"]

# How often each layout is taken.
WEIGHTS = {"disk": 9, "objects": 8, "records": 3}
# How often the newest file of a kind is taken: older ones are mostly needed by nobody.
NEWEST_SHARE = 0.6


@dataclass(frozen=True)
class Damage:
    """What was done to a copy.

    Args:
        template: The store that was copied.
        kind: Of the file, such as `manifest`, or `record`.
        how: Such as `flip`, or `delete`.
        names: The files, or the record, for people.
        apply: Does it, below a directory. Says what it did.
    """

    template: Template
    kind: str
    how: str
    names: Sequence[str]
    apply: Callable[[Path], None]

    def __str__(self) -> str:
        """Say it to people."""
        return f"{self.template.name}: {self.how} {' and '.join(self.names)}"


def kind_of(file: Path) -> str:
    """What a file of a template is for."""
    top, *rest = file.parts
    if top == MEMO_PREFIX:
        return "memo" if rest[0] == "memos" else "memo-mark"
    kind = rest[0]
    if kind == "log":
        return "log-segment" if "-" in rest[-1] else "log-mark"
    return "signpost" if rest[-1] == "log-is-a-file" else kind


def choose(templates: Sequence[Template], seed: int, number: int) -> Damage | None:
    """Choose a damage. `None` if there is nothing to be damaged that way."""
    rng = random.Random(f"corruption {seed} {number}")
    template = rng.choices(templates, [WEIGHTS[each.name] for each in templates])[0]
    if template.name == "records":
        return _of_record(template, rng)
    files = template.files()
    kinds = sorted({kind_of(file) for file in files})
    kind = rng.choice(kinds)
    same = [file for file in files if kind_of(file) == kind]
    file = same[-1] if rng.random() < NEWEST_SHARE else rng.choice(same)
    how = rng.choice(("flip", "flip", "flip", "truncate", "zero", "swap", "delete", "junk"))
    if how == "swap":
        return _swap(template, kind, file, [other for other in same if other != file], rng)
    content = (template.directory / file).read_bytes()
    damaged = None if how == "delete" else _damaged(content, how, rng)
    if damaged == content:
        return None

    def apply(copy: Path) -> None:
        if damaged is None:
            (copy / file).unlink()
        else:
            (copy / file).write_bytes(damaged)

    return Damage(template, kind, how, [str(file)], apply)


def _swap(
    template: Template, kind: str, file: Path, others: Sequence[Path], rng: random.Random
) -> Damage | None:
    if not others:
        return None
    other = rng.choice(others)
    first, second = ((template.directory / each).read_bytes() for each in (file, other))
    if first == second:
        return None

    def apply(copy: Path) -> None:
        (copy / file).write_bytes(second)
        (copy / other).write_bytes(first)

    return Damage(template, kind, "swap", [str(file), str(other)], apply)


def _damaged(content: bytes, how: str, rng: random.Random) -> bytes:
    # A log is longer than what is in it, by zeros.
    used = len(content.rstrip(b"\0")) or len(content)
    place = rng.randrange(used) if used else 0
    if how == "junk":
        return content + rng.randbytes(rng.randrange(1, 200))
    if used == 0:
        return content
    if how == "flip":
        # Half of them a bit, half of them a byte.
        if rng.random() < 0.5:
            changed = content[place] ^ 1 << rng.randrange(8)
        else:
            changed = content[place] ^ rng.randrange(1, 256)
        return content[:place] + bytes([changed]) + content[place + 1 :]
    if how == "truncate":
        return content[:place]
    end = min(used, place + rng.choice((1, 16, 512, used)))
    if content.startswith(LOG_MAGIC):
        # The last record stays: damage that leaves no whole record behind it is taken for what a
        # crash has torn, as `docs/durability.md` says.
        end = min(end, last_record(content))
    return content[:place] + bytes(max(0, end - place)) + content[end:]


def _of_record(template: Template, rng: random.Random) -> Damage:
    """Damages a record behind its checksum, so that it does not read."""
    segments = [file for file in template.files() if kind_of(file) == "log-segment"]
    file = segments[-1]
    segment = Segment.read((template.directory / file).read_bytes())
    newest = segment.newest()
    # What a memo names is all in the key, and says nothing in its value.
    tags = sorted({key[:1] for key in newest if key[:1] != b"w"})
    tag = rng.choice(tags)
    key = rng.choice(sorted(key for key in newest if key[:1] == tag))
    how = rng.choice(("version", "empty", "truncate", "noise"))
    row = newest[key]
    row.value = {
        "version": bytes([rng.randrange(2, 256)]) + row.value[1:],
        "empty": b"",
        # A value of bytes may end anywhere.
        "truncate": b"" if tag == b"k" else row.value[: rng.randrange(len(row.value))],
        "noise": b"\xff" * len(row.value),
    }[how]
    damaged = segment.write()

    def apply(copy: Path) -> None:
        (copy / file).write_bytes(damaged)

    return Damage(template, "record", f"{how} record {tag.decode()}", [repr(key)], apply)


def copy_with(damage: Damage, at: Path) -> None:
    """Make a damaged copy of a store."""
    shutil.copytree(damage.template.directory, at)
    damage.apply(at)


def is_of_queue(damage: Damage) -> bool:
    """Whether the damage is in the queue's store, not in what is beside it."""
    return all(name.startswith(PATH) for name in damage.names) or damage.kind == "record"
