"""Values that break things: wrong types, odd numbers, odd texts, and objects that fight back.

Invariants:
    1. The pool is the same in each process, and so is what `random_value` makes of a seed.
    2. An object that fights back raises `Sabotage`, and nothing else.
"""

import asyncio
import enum
import fractions
import random
from collections import UserDict, UserString
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final, NoReturn

from taquba import (
    Effects,
    EnqueueOptions,
    JobState,
    MockClock,
    NewJob,
    OpenOptions,
    QueueConfig,
    RetryJitter,
    RunSpec,
    RunState,
    TerminalMarker,
    TerminalStatus,
)

__all__ = ["POOL", "TEXTS", "Sabotage", "random_text", "random_value"]

HUGE: Final = 10**5000
LONG: Final = "x" * 10_240


class Sabotage(Exception):  # noqa: N818 - it is no error of ours
    """What the objects of this file raise."""


def _fight(*_: object, **__: object) -> NoReturn:
    raise Sabotage


class Text(str):
    """A text that is only nearly a `str`."""

    __slots__ = ()


class Number(int):
    """The same for `int`."""


class Bytes(bytes):
    """The same for `bytes`."""


class Real(float):
    """The same for `float`."""


class Span(timedelta):
    """The same for `timedelta`."""


class Color(enum.IntEnum):
    """A number with a name."""

    RED = 3


class Word(enum.StrEnum):
    """A text with a name."""

    WAITING = "waiting"


class FightingText(str):
    """A text whose every method raises."""

    __slots__ = ()
    __str__ = __repr__ = __len__ = __iter__ = encode = __format__ = _fight
    __eq__ = __ne__ = __lt__ = __contains__ = _fight
    __hash__ = _fight


class FightingNumber(int):
    """A number whose every method raises."""

    __index__ = __int__ = __float__ = __repr__ = __str__ = __bool__ = _fight
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _fight
    __hash__ = _fight


class FightingMapping(Mapping[str, str]):
    """A mapping that cannot be read."""

    __getitem__ = __iter__ = __len__ = _fight


class Fighting:
    """An object that nothing can be asked of, not even its class."""

    __str__ = __repr__ = __index__ = __float__ = __int__ = __bool__ = __len__ = __iter__ = _fight
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __call__ = __await__ = _fight
    __fspath__ = __bytes__ = __getnewargs_ex__ = __enter__ = __aenter__ = _fight
    __hash__ = _fight


class Secretive:
    """An object whose every attribute raises."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Sabotage


class Index:
    """An object that says which number it is."""

    def __index__(self) -> int:
        return 3


class Breaking:
    """What can be walked through, but not to its end."""

    def __iter__(self) -> Iterator[Any]:
        yield b"x"
        raise Sabotage


def _nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


def _looped() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


TEXTS: Final[list[str]] = [
    "",
    " ",
    "a",
    "emails",
    "a b",
    "a\0b",
    "a\r\nX-Injected: 1",
    "\n",
    "../",
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "a/b",
    "a//b",
    "a\\b",
    "-a",
    "_a",
    ".a",
    "%2e%2e%2f",
    "\ud800",
    "a\udfffb",
    "\ufeff",
    "e\u0301",
    "\u00e9",
    "\u202ea",
    "\U0001f600",
    "\uff57\uff4f\uff52\uff4b\uff46\uff4c\uff4f\uff57.run_id",
    "workflow.run_id",
    "WORKFLOW.RUN_ID",
    "Workflow.Step",
    " workflow.step",
    "workflow\u2024step",
    "workflow.",
    "workflow",
    "webhook.url",
    "run:run:0",
    "00000000fffffff0",
    "00000000fffffff0-1",
    "FFFFFFFFFFFFFFFF",
    "ffffffffffffffff",
    "-1",
    "1e309",
    "None",
    "${HOME}",
    "{0.__class__}",
    "%s%n",
    "'; drop table jobs; --",
    "<script>",
    LONG,
    "\u00e9" * 5000,
    "a" * 128,
    "a" * 129,
    "a" * 255,
    "a" * 256,
    "k" * 1024,
    "k" * 1025,
    "http://localhost",
    "https://example.com/hook",
    "https://user:password@example.com",
    "https://169.254.169.254/latest",
    "waiting",
    "settled",
]

_NUMBERS: Final[list[Any]] = [
    *(0, 1, 2, -1, 3, 63, 64, 65, 100, 999, 1000, 1001, 9_999, 10_000, 10_001, 100_000, 100_001),
    *(1_000_000, 1_000_001, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1),
    *(2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**31), -(2**63), -(2**63) - 1, HUGE, -HUGE),
    *(0.0, -0.0, 0.5, -0.5, 1.0, 1e-9, 5e-324, 1e18, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), 3_162_240_000.0, 3_162_240_001.0),
    *(True, False, Number(3), Color.RED, Real(0.5), FightingNumber(3), Index()),
    *(Decimal(1), Decimal("NaN"), fractions.Fraction(1, 3), 1j, "1", b"1"),
]

_INSTANTS: Final[list[Any]] = [
    *(timedelta(), timedelta(seconds=1), timedelta(microseconds=1), timedelta(seconds=-1)),
    *(timedelta.max, timedelta.min, Span(seconds=1), timedelta(days=36600)),
    *(timedelta(days=36600, microseconds=1),),
    datetime(2031, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2031, 1, 1),  # noqa: DTZ001 - naive on purpose
    datetime.max.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=23, minutes=59))),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=23, minutes=59))),
    datetime(2031, 1, 1, tzinfo=timezone(timedelta(hours=14))),
]

_BYTES: Final[list[Any]] = [
    *(b"", b"x", bytes(2000), bytes(256 * 1024), bytes(256 * 1024 + 1), Bytes(b"x")),
    *(bytearray(b"x"), memoryview(b"xyz"), memoryview(b"xyz")[::2], memoryview(b"wxyz").cast("I")),
]

_MAPPINGS: Final[list[Any]] = [
    {},
    {"k": "v"},
    {"k": 1},
    {1: "v"},
    {"k": None},
    {None: "v"},
    {b"k": b"v"},
    {"": ""},
    {"k\0": "v\r\n"},
    {"k": "\ud800"},
    {"workflow.run_id": "x"},
    {"WORKFLOW.run_id": "x"},
    {" Workflow.run_id": "x"},
    {"\uff37\uff2f\uff32\uff2b\uff26\uff2c\uff2f\uff37.run_id": "x"},
    {"workflow\uff0estep": "x"},
    {"webhook.url": "x"},
    {f"h{number}": "" for number in range(64)},
    {f"h{number}": "" for number in range(65)},
    {"k": "v" * 65_535},
    {"k": "v" * 65_536},
    {str(number): "" for number in range(100_000)},
    {Text("k"): Text("v")},
    {"k": ["v"]},
    {"Host": "x"},
    {"X-Ok": "a\r\nb"},
    UserDict({"k": "v"}),
    FightingMapping(),
]

_COLLECTIONS: Final[list[Any]] = [
    *([], (), set(), frozenset(), [None], [b""], ["x"], [1], [b"a", None], [[]], range(3)),
    *({1, 2}, [NewJob(b"x")], [RunSpec(b"x")], [b"x"] * 10_001, _nested(900), _looped()),
    *([TerminalStatus.Failed], [RunState.RUNNING], Breaking(), [Fighting()], [443], [0]),
    *(["10.0.0.0/8"], ["example.com"], ["*.example.com"], ["*"], ["10.0.0.0/33"]),
]

_OBJECTS: Final[list[Any]] = [
    *(None, ..., NotImplemented, object(), object, type, len, lambda *_: None, asyncio),
    *(Fighting(), Secretive(), FightingText("emails"), Text("emails"), UserString("emails")),
    *(ValueError("x"), PurePosixPath("a"), Word.WAITING, Effects(), EnqueueOptions(), NewJob(b"x")),
    *(OpenOptions(), QueueConfig(), MockClock(), JobState.PENDING, RunState.PENDING),
    *(RetryJitter.NONE, TerminalStatus.Failed, TerminalMarker("run", 1), RunSpec(b"x")),
]

POOL: Final[list[Any]] = [
    *TEXTS,
    *_NUMBERS,
    *_INSTANTS,
    *_BYTES,
    *_MAPPINGS,
    *_COLLECTIONS,
    *_OBJECTS,
]

_LETTERS: Final = "aZ0._-/ \0\r\n\t:%{}\u00e9\u0301\ud800\U0001f600\uff57wf"


def random_text(rng: random.Random) -> str:
    """A text of odd characters, at most a bit longer than the longest that is allowed somewhere."""
    seed = rng.choice(TEXTS)
    length = rng.choice((0, 1, 2, 8, 100, 130, 260, 1030))
    letters = "".join(rng.choices(_LETTERS, k=min(length, 40))) * (1 + length // 40)
    made = (letters[:length], seed + letters[:3], seed[: rng.randrange(1 + len(seed))])
    return rng.choice((*made, seed.upper(), letters[:2] + seed))


def random_value(rng: random.Random) -> Any:
    """Something of the pool, or something like it."""
    make = rng.choice(_MAKERS)
    return rng.choice(POOL) if make is None else make(rng)


def _whole(rng: random.Random) -> int:
    bits = rng.choice((3, 7, 16, 31, 32, 33, 63, 64, 65, 200))
    return rng.choice((-1, 1)) * rng.getrandbits(bits)


def _real(rng: random.Random) -> float:
    return rng.choice((rng.uniform(-2, 2), rng.expovariate(1e-9), rng.gauss(0, 1e300)))


def _span(rng: random.Random) -> timedelta:
    days = rng.choice((0, 0, 1, -1, 36_600, 999_999))
    return timedelta(days=days, microseconds=rng.randrange(10**12))


def _bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 50, 2000)))


def _mapping(rng: random.Random) -> dict[str, str]:
    return {random_text(rng): random_text(rng) for _ in range(rng.choice((0, 1, 2, 70)))}


_MAKERS: Final[tuple[Callable[[random.Random], Any] | None, ...]] = (
    *(random_text, random_text, _whole, _real, _span, _bytes, _mapping),
    *(None, None, None),
)
