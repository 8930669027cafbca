"""What a killed process was promised, and whether the store kept it.

The workload appends a line before and after everything it does, to a file outside the store: a
line that was written survives SIGKILL, because it is the kernel's. `violations` compares the
promises with what the store delivered in the end.

Lines are ``kind key value``; keys and values have no blanks.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

STEP_COUNT = 5


class Ledger:
    """Appends lines; each one is a single write, so that none is torn."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, kind: str, key: str, value: str = "-") -> None:
        """Adds one line."""
        os.write(self._file, f"{kind} {key} {value}\n".encode())


@dataclass
class History:
    """The ledger, by subject."""

    submitting: set[str] = field(default_factory=set)
    submitted: set[str] = field(default_factory=set)
    ran: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    told: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    outcomes: dict[str, str] = field(default_factory=dict)
    enqueuing: set[str] = field(default_factory=set)
    enqueued: set[str] = field(default_factory=set)
    job_events: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, key: str, value: str) -> None:
        """Takes in one line."""
        if kind == "ran":
            number, nonce = value.split(":")
            self.ran[key].append((int(number), nonce))
        elif kind == "told":
            self.told[key].add(value)
        elif kind == "outcome":
            self.outcomes[key] = value
        elif kind in ("claimed", "acked"):
            self.job_events[key].append(kind)
        else:
            getattr(self, kind).add(key)


def parse(lines: Iterable[str]) -> History:
    """Reads the lines of a ledger."""
    history = History()
    for line in lines:
        kind, key, value = line.split()
        history.add(kind, key, value)
    return history


def read(path: Path) -> History:
    """Reads a ledger's file."""
    return parse(path.read_text(encoding="utf-8").splitlines() if path.exists() else [])


def violations(history: History) -> list[str]:
    """Every broken promise, in words. Empty if all was kept."""
    runs = sorted(history.submitting | history.submitted | set(history.outcomes))
    jobs = sorted(history.enqueuing | history.enqueued | set(history.job_events))
    found = [text for run in runs for text in run_violations(history, run)]
    return found + [text for job in jobs for text in job_violations(history, job)]


def run_violations(history: History, run: str) -> list[str]:
    """What went wrong with one run."""
    outcome = history.outcomes.get(run)
    if outcome is None:
        return (
            [f"run {run}: lost, its submission was acknowledged"]
            if run in history.submitted
            else []
        )
    found = []
    if run not in history.submitting:
        found.append(f"run {run}: phantom, nobody submitted it")
    status, _, chain = outcome.partition("|")
    if status != "succeeded":
        return [*found, f"run {run}: ended as {status}"]
    applied = [(int(number), nonce) for number, nonce in json.loads(chain)]
    numbers = [number for number, _ in applied]
    if numbers != list(range(STEP_COUNT)):
        found.append(f"run {run}: outcomes applied for steps {numbers}")
    if not set(applied) <= set(history.ran[run]):
        found.append(f"run {run}: an outcome was applied that no step returned")
    ran_numbers = [number for number, _ in history.ran[run]]
    if ran_numbers != sorted(ran_numbers):
        found.append(f"run {run}: a settled step ran again, order {ran_numbers}")
    if history.told[run] != {outcome}:
        found.append(f"run {run}: the hook was told {sorted(history.told[run])}, not {outcome}")
    return found


def job_violations(history: History, job: str) -> list[str]:
    """What went wrong with one plain job."""
    events = history.job_events.get(job, [])
    found = []
    if job in history.enqueued and "claimed" not in events:
        found.append(f"job {job}: lost, its enqueue was acknowledged")
    if events and job not in history.enqueuing:
        found.append(f"job {job}: phantom, nobody enqueued it")
    if "acked" in events and "claimed" in events[events.index("acked") :]:
        found.append(f"job {job}: delivered again after its acknowledged ack")
    return found
