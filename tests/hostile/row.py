"""One public call in the table."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.hostile.ground import Ground
from tests.hostile.kinds import Kind

__all__ = ["After", "Row", "kept", "nothing"]

After = Callable[[Ground, Mapping[str, Any], Any], Awaitable[None]]


async def nothing(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """Nothing is to be looked at, and nothing was spent."""


@dataclass(frozen=True)
class Row:
    """One public call."""

    call: Callable[[Ground], Callable[..., Any]]
    """What is called; what it returns is awaited if it can be."""
    valid: Callable[[Ground], dict[str, Any]]
    """Arguments that are taken."""
    kinds: Mapping[str, Kind]
    """Every argument."""
    after: After = nothing
    """Checks that a call that was taken did what it says, and replaces what it has spent."""
    writes: bool = True
    """Whether a refusal may have to be told apart from a write."""
    answers: tuple[type[Exception], ...] = ()
    """Errors that the call may end with although nothing is wrong with what it was given."""
    positional: frozenset[str] = field(default=frozenset())
    """Arguments that have no name to be given by."""


async def kept(ground: Ground, given: Mapping[str, Any], result: Any) -> None:
    """What was made holds what was given."""
    for name, value in given.items():
        if hasattr(result, name):
            check_kept(name, getattr(result, name), value)


def check_kept(name: str, found: Any, value: Any) -> None:
    """A field holds what was given for it, as its type has it."""
    if isinstance(found, timedelta):
        if isinstance(value, timedelta):
            assert found == value, name
        else:
            # Microseconds are what a `timedelta` can tell.
            assert abs(found.total_seconds() - float(value)) <= max(1e-6, 1e-9 * float(value)), name
    elif isinstance(found, Mapping):
        assert dict(found) == dict(value), name
    elif isinstance(value, str) and isinstance(found, str):
        assert found == value.encode(errors="backslashreplace").decode() or found == value, name
    elif isinstance(found, bytes) and not isinstance(value, bytes):
        assert found, f"{name}: JSON is never empty"
    else:
        # Not every value is equal to itself.
        assert found is value or found == value, name
