"""A store that fails as stores fail, from a seed.

Not here:
    The faults themselves are done by the Rust crate `taquba-chaos`, which the project's own
    simulation uses too.
"""

import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, Self, TypeAlias, final

from taquba import _taquba
from taquba._checks import Seconds, check_count, check_instance, refuse
from taquba.exceptions import InvalidStoreError
from taquba.store import MemoryStore, StoreLike, from_url, resolve

__all__ = ["ChaosStore", "Fault", "FaultRule", "Operation"]

Fault: TypeAlias = Literal[
    "latency",
    "bandwidth",
    "throttle",
    "deny_403",
    "fail_before",
    "hang",
    "no_space",
    "fail_after",
    "conflict_absent",
    "conflict_own",
    "conflict_foreign",
    "precondition_412",
    "detach_put",
    "duplicate_put",
    "truncate_get",
    "flip_get",
    "rot",
    "drop_stream",
    "stale_list",
    "list_duplicate",
    "list_reorder",
]
"""What can go wrong with a request; see `ChaosStore`."""

Operation: TypeAlias = Literal[
    "put", "upload-part", "upload-complete", "get", "head", "list", "delete", "copy"
]
"""What a request does."""

_SEED_MAX: Final = 2**64 - 1
_COUNT_MAX: Final = 2**32 - 1


@final
@dataclass(frozen=True, slots=True)
class FaultRule:
    """How often a fault happens, and to which requests.

    Args:
        odds: The probability for each request, 0 to 1.
        at_most: How often in all; `None` for no bound.
        operations: Only to such requests; to all that can meet the fault if empty.
        paths: Only where an object's path contains one of these; anywhere if empty.

    Raises:
        InvalidArgumentError: A value is outside its bounds; the message names both.
    """

    odds: float = 1.0
    at_most: int | None = None
    operations: Collection[Operation] = ()
    paths: Collection[str] = ()

    def __post_init__(self) -> None:
        """Check every field."""
        check_instance("odds", self.odds, (float, int))
        if not 0 <= self.odds <= 1 or math.isnan(self.odds):
            refuse("odds", self.odds, "give a probability, 0 to 1")
        if self.at_most is not None:
            check_count("at_most", self.at_most, _COUNT_MAX, 0)
        for name in ("operations", "paths"):
            if isinstance(getattr(self, name), str):
                refuse(name, getattr(self, name), "give a collection of strings")
            object.__setattr__(self, name, tuple(getattr(self, name)))


@final
class ChaosStore(_taquba.ChaosStore):
    """A store that fails as stores fail, wherever a store is accepted.

    The same seed gives the same faults to the same requests in the same order. An engine sends
    some of its requests side by side, so two lives of one queue are alike, not equal.

    | fault | what happens to a request |
    |---|---|
    | `latency`, `bandwidth` | it is slow |
    | `throttle` | it is refused above a rate: 503 |
    | `deny_403` | it is refused, and all others for `deny_window` |
    | `fail_before` | it never arrives |
    | `fail_after` | it takes effect, and the answer is lost |
    | `hang` | there is no answer until `hang_limit` |
    | `no_space` | there is no room for what it writes |
    | `conflict_absent`, `conflict_own`, `conflict_foreign`, `precondition_412` | a condition is \
said to fail: though nothing is there; though it was fulfilled; because somebody else was faster; \
though nothing has changed |
    | `detach_put`, `duplicate_put` | it times out and takes effect after `landing_delay`; a copy \
of it does |
    | `truncate_get`, `flip_get`, `drop_stream` | what is read is cut short, has a bit flipped, \
breaks off |
    | `rot` | the object itself has a bit flipped, for good |
    | `stale_list`, `list_duplicate`, `list_reorder` | a listing is up to `stale_window` old, has \
an entry twice, is out of order |

    Args:
        store: What lies below: a URL or a store object, but no directory; a memory store of its own
            if absent.
        faults: What goes wrong: by the fault's name its odds for each request, or a rule.
        seed: What decides when.
        latency: Shortest and longest extra time under `latency`.
        landing_delay: How late a put arrives at the earliest and at the latest.
        deny_window: For how long a `deny_403` lasts.
        stale_window: How old a stale listing is at most.
        hang_limit: After how long a hanging request times out.
        requests_per_second: The rate above which `throttle` refuses.
        bytes_per_second: How fast bodies pass under `bandwidth`.

    Raises:
        InvalidArgumentError: A value is outside its bounds, or no fault has that name.
        InvalidStoreError: What lies below is no store, or a directory.

    Example:
        >>> store = ChaosStore(faults={"fail_before": 0.05, "fail_after": 0.05}, seed=7)
        >>> async with Queue.open(store) as queue:
        ...     await queue.enqueue("emails", b"hello")
        >>> store.counts()
    """

    def __new__(  # noqa: PLR0913 - keyword arguments, each with a default
        cls,
        store: StoreLike | None = None,
        *,
        faults: Mapping[Fault, float | FaultRule] | None = None,
        seed: int = 0,
        latency: tuple[Seconds, Seconds] = (0.001, 0.02),
        landing_delay: tuple[Seconds, Seconds] = (1.0, 120.0),
        deny_window: Seconds = 5.0,
        stale_window: Seconds = 5.0,
        hang_limit: Seconds = 30.0,
        requests_per_second: int = 100,
        bytes_per_second: int = 10 * 1024 * 1024,
    ) -> Self:
        """Put faults before a store."""
        check_count("seed", seed, _SEED_MAX, 0)
        check_count("requests_per_second", requests_per_second, _COUNT_MAX)
        check_count("bytes_per_second", bytes_per_second, _COUNT_MAX)
        plan = _Plan(
            faults={name: _rule(rule) for name, rule in (faults or {}).items()},
            latency=_range("latency", latency),
            landing_delay=_range("landing_delay", landing_delay),
            deny_window=_taquba.duration("deny_window", deny_window),
            stale_window=_taquba.duration("stale_window", stale_window),
            hang_limit=_taquba.duration("hang_limit", hang_limit),
            requests_per_second=requests_per_second,
            bytes_per_second=bytes_per_second,
        )
        return super().__new__(cls, _store_object(store), plan, seed)


@final
@dataclass(frozen=True, slots=True)
class _Plan:
    """What the binding reads."""

    faults: Mapping[str, FaultRule]
    latency: tuple[timedelta, timedelta]
    landing_delay: tuple[timedelta, timedelta]
    deny_window: timedelta
    stale_window: timedelta
    hang_limit: timedelta
    requests_per_second: int
    bytes_per_second: int


def _rule(rule: float | FaultRule) -> FaultRule:
    return rule if isinstance(rule, FaultRule) else FaultRule(rule)


def _range(name: str, bounds: tuple[Seconds, Seconds]) -> tuple[timedelta, timedelta]:
    shortest, longest = (_taquba.duration(name, bound) for bound in bounds)
    if shortest > longest:
        refuse(name, bounds, "give the shorter one first")
    return shortest, longest


def _store_object(store: StoreLike | None) -> object:
    """Return a store object of ours for what a user names a store by."""
    found = MemoryStore() if store is None else resolve(store)
    if isinstance(found, str) and "://" in found and not found.startswith("file:"):
        found = from_url(found)
    if isinstance(found, str | os.PathLike):
        location = str(found)
        # It keeps no attributes, by which a writer whose answer was lost knows its own object.
        remedy = "a directory does not fail as stores do; give memory, or a store behind a network"
        message = f"the store `{location}` cannot be used: {remedy}"
        raise InvalidStoreError(message, location=location, remedy=remedy)
    return found
