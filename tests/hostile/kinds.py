"""What an argument may be: which values the documentation takes, and which it refuses.

A judge says `True` for a value that must be taken, `False` for one that must be refused, and `None`
where the documentation leaves it open, such as for subclasses of `str`. Then either is right, as
long as nothing is written by a refusal.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from taquba import Effects, EnqueueOptions, NewJob, RunSpec, _taquba

Judge = Callable[[Any], bool | None]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION_MAX: Final = timedelta(days=36_600)
_KV_VALUE_BYTES_MAX: Final = 256 * 1024
_KEY_BYTES_MAX: Final = 1024


@dataclass(frozen=True)
class Kind:
    """What an argument may be."""

    judge: Judge
    words: tuple[str, ...] = ()
    """What a refusal may call it instead of by its name."""
    own: tuple[Any, ...] = field(default=(), repr=False)
    """Values of its own to try, beside the pool."""

    def or_none(self) -> "Kind":
        """The same, and it may be absent."""
        return Kind(lambda v: True if v is None else self.judge(v), self.words, self.own)


def _text(value: Any) -> str | None:
    """A text that UTF-8 can encode."""
    if type(value) is not str:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _is_open(value: Any, kind: type) -> bool:
    """Whether it is of a subclass, for which nothing is said."""
    return isinstance(value, kind) and type(value) is not kind


def texts(is_fine: Callable[[str], bool]) -> Judge:
    """Texts that keep a rule."""

    def judge(value: Any) -> bool | None:
        if _is_open(value, str):
            return None
        text = _text(value)
        return text is not None and is_fine(text)

    return judge


def matches(pattern: str) -> Judge:
    """Texts of a form."""
    form = re.compile(pattern, re.ASCII)
    return texts(lambda text: form.fullmatch(text) is not None)


def whole(minimum: int, maximum: int) -> Judge:
    """Numbers within bounds; a truth value is none."""

    def judge(value: Any) -> bool | None:
        if isinstance(value, bool):
            return False
        if _is_open(value, int):
            return None
        return type(value) is int and minimum <= value <= maximum

    return judge


def duration(minimum: timedelta = timedelta(), maximum: timedelta = _DURATION_MAX) -> Judge:
    """Seconds, or a `timedelta`, within bounds."""

    def judge(value: Any) -> bool | None:
        if isinstance(value, bool):
            return False
        if isinstance(value, timedelta):
            return None if _is_open(value, timedelta) else minimum <= value <= maximum
        if _is_open(value, int) or _is_open(value, float):
            return None
        if type(value) not in {int, float}:
            # What says which number it is, such as a `Decimal`, may be taken for one.
            return (
                None
                if hasattr(type(value), "__float__") or hasattr(type(value), "__index__")
                else False
            )
        if abs(value) > 10**12 or not math.isfinite(value):
            return False
        low, high = minimum.total_seconds(), maximum.total_seconds()
        # A fraction of the smallest unit more or less is nobody's business.
        is_near = any(abs(value - bound) < 1e-6 and value != bound for bound in (low, high))
        return None if is_near or 0 < value < 1e-9 else low <= value <= high

    return judge


def instance(*kinds: type) -> Judge:
    """Objects of these classes."""
    return lambda value: isinstance(value, kinds)


def undecided(_: Any) -> None:
    """Anything; only that it is taken or refused in order is asked for."""


def refused(_: Any) -> bool:
    """Nothing of the pool is one."""
    return False


def taken(_: Any) -> bool:
    """Everything is taken."""
    return True


def bytes_up_to(size_max: int) -> Judge:
    """Bytes, up to a size."""

    def judge(value: Any) -> bool | None:
        if _is_open(value, bytes):
            return None
        return type(value) is bytes and len(value) <= size_max

    return judge


def _instant(value: Any) -> bool | None:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        return False
    try:
        return value >= _EPOCH and value.astimezone(UTC).year <= 9999
    except OverflowError:
        # Aware, but not to be told in UTC.
        return None


def _headers(value: Any) -> bool | None:
    if not isinstance(value, Mapping):
        return False
    if type(value) is not dict:
        return None
    if any(type(part) is not str for pair in value.items() for part in pair):
        return (
            None if all(isinstance(part, str) for pair in value.items() for part in pair) else False
        )
    if any(_text(part) is None for pair in value.items() for part in pair):
        return False
    size = sum(len(key.encode()) + len(text.encode()) for key, text in value.items())
    if len(value) > 64 or size > 64 * 1024:
        return False
    return None if any(_looks_reserved(key) for key in value) else True


def _looks_reserved(key: str) -> bool:
    # Which spellings are taken for the prefix is for the tests of reserved headers.
    return "w" in key.casefold() or not key.isascii()


FLAG: Final = Kind(instance(bool))
QUEUE_NAME: Final = Kind(matches(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}"), ("queue name", "queue"))
RUN_ID: Final = Kind(matches(r"[A-Za-z0-9_-]{1,128}"), ("run id",))
UNKNOWN_RUN_ID: Final = Kind(refused, ("run id", "run `", "run"))
UNKNOWN_JOB_ID: Final = Kind(refused, ("job id", "job"))
KEY: Final = Kind(texts(lambda text: 1 <= len(text.encode()) <= _KEY_BYTES_MAX), ("key",))
DEDUP_KEY: Final = Kind(
    texts(lambda text: 1 <= len(text.encode()) <= _KEY_BYTES_MAX), ("dedup key",)
)
DEDUP_SCOPE: Final = Kind(texts(lambda text: text in {"waiting", "settled"}))
ANY_TEXT: Final = Kind(texts(lambda _: True))
ANY_KEY: Final = Kind(
    lambda v: type(v) is str if not isinstance(v, str) or type(v) is str else None
)
"""A text, also one that UTF-8 cannot encode."""
REASON: Final = Kind(lambda value: None if _is_open(value, str) else type(value) is str)
"""A text that is kept, with what UTF-8 cannot encode escaped."""
PAYLOAD: Final = Kind(
    bytes_up_to(_taquba.PAYLOAD_BYTES_MAX),
    ("payload", "input"),
    # Zeros that nobody reads take no memory.
    (bytes(_taquba.PAYLOAD_BYTES_MAX + 1),),
)
VALUE: Final = Kind(bytes_up_to(_KV_VALUE_BYTES_MAX), ("value",))
DURATION: Final = Kind(duration())
LEASE: Final = Kind(duration(timedelta(milliseconds=1)))
INSTANT: Final = Kind(_instant)
HEADERS: Final = Kind(_headers, ("header",))
PRIORITY: Final = Kind(whole(0, 2**32 - 1))
MAX_ATTEMPTS: Final = Kind(whole(1, _taquba.MAX_ATTEMPTS_MAX))
LIMIT: Final = Kind(whole(1, _taquba.LIST_COUNT_MAX))
CONCURRENCY: Final = Kind(whole(1, _taquba.CONCURRENCY_MAX))
ANYTHING: Final = Kind(undecided)
REFUSED: Final = Kind(refused)


def _cursor(value: Any) -> bool | None:
    if value is None:
        return True
    # Which texts a page has given is for the tests of pages.
    return None if isinstance(value, str) else False


def items(kinds: tuple[type, ...], count_max: int) -> Judge:
    """Lists of such objects, up to a number."""

    def judge(value: Any) -> bool | None:
        if type(value) in {list, tuple}:
            return len(value) <= count_max and all(type(one) in kinds for one in value)
        # Others can be walked through as well, for what they hold.
        return None if hasattr(type(value), "__iter__") else False

    return judge


def one_of(*values: Any) -> Judge:
    """Exactly these."""
    return lambda value: any(value is one for one in values)


def function(value: Any) -> bool | None:
    """Functions, and objects that have the method asked for."""
    if callable(value) or hasattr(type(value), "__getattr__"):
        return None
    return False


CURSOR: Final = Kind(_cursor)
JOBS: Final = Kind(items((bytes, NewJob), _taquba.BATCH_COUNT_MAX), ("items", "payload"))
RUNS: Final = Kind(items((RunSpec,), _taquba.BATCH_COUNT_MAX), ("items", "spec"))
OPTIONS: Final = Kind(instance(EnqueueOptions))
EFFECTS: Final = Kind(instance(Effects))
FUNCTION: Final = Kind(function, ("method", "function", "runner", "hook", "worker"))
