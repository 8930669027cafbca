"""What an examination finds: checks, and what to do about each."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from taquba._redact import redact_text

__all__ = ["Check", "CheckStatus", "Diagnosis", "failure", "ok", "warning"]

# A line of a terminal or two; some stores answer with a page of XML.
_TEXT_LENGTH_MAX = 400


@final
class CheckStatus(enum.Enum):
    """How a check came out. `str()` gives the stable, lower-case name."""

    OK = "ok"
    """As it has to be."""
    WARNING = "warning"
    """A queue works, but not as well or as safely as it could."""
    FAILURE = "failure"
    """A queue does not work, or not safely."""

    def __str__(self) -> str:
        """Return the stable name."""
        return self.value


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: What it is about: a stable, lower-case name.
        status: How it came out.
        seen: What was seen, in one line.
        remedy: What to do; `None` if nothing has to be done.
        figures: What was measured, by name; times in seconds.
    """

    name: str
    status: CheckStatus
    seen: str
    remedy: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What an examination has found.

    Args:
        location: The store.
        path: Where in it.
        checks: What was looked at, in order.
    """

    location: str
    path: str
    checks: Sequence[Check]

    @property
    def status(self) -> CheckStatus:
        """The worst that was found."""
        found = {check.status for check in self.checks}
        for status in (CheckStatus.FAILURE, CheckStatus.WARNING):
            if status in found:
                return status
        return CheckStatus.OK

    def count(self, status: CheckStatus) -> int:
        """Return how many checks came out like this.

        Args:
            status: Like what.
        """
        return sum(check.status is status for check in self.checks)


def ok(name: str, seen: str, **figures: float) -> Check:
    """Return a check that came out well."""
    return Check(name=name, status=CheckStatus.OK, seen=_line(seen), figures=figures)


def warning(name: str, seen: str, remedy: str, **figures: float) -> Check:
    """Return a check that asks for attention."""
    status = CheckStatus.WARNING
    return Check(name=name, status=status, seen=_line(seen), remedy=remedy, figures=figures)


def failure(name: str, seen: str, remedy: str, **figures: float) -> Check:
    """Return a check that failed."""
    status = CheckStatus.FAILURE
    return Check(name=name, status=status, seen=_line(seen), remedy=remedy, figures=figures)


def _line(text: str) -> str:
    # Errors of stores hold whatever the store wrote.
    line = " ".join(redact_text(text).split())
    return line if len(line) <= _TEXT_LENGTH_MAX else line[: _TEXT_LENGTH_MAX - 3] + "..."
