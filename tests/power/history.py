"""What a store has promised, and whether what is found in it keeps that.

A workload writes marks: one line of JSON before and after each thing that it does.

| kind | when | content |
|---|---|---|
| `do` | before | `op`, and `set`: what each subject will be |
| `ok` | after the answer | `op` |
| `saw` | something was delivered or read | `set`: what each subject is |
| `seen` | a store was opened | `set`: every subject that is there |
| `memo` | a memo is durable | `memo`: its name |
| `forget` | memos are about to be deleted | `run` |

A subject is a job (`job:tag`), a key (`kv:key`) or a run (`run:id`). Its states form a chain; only
one thing at a time is done to it. Memos are named by their place, `row:run:step` or
`object:run:step`.

# Invariants

1. What was answered, delivered or read is a promise. What was only begun may be there or not, all
   of it or nothing.
2. What an open did not find does not come back later: it is cut off the chain.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

State = str | None
"""What a subject is; `None` if it is not there."""

Observed = Mapping[str, str]
"""What was found, by subject."""


class BrokenPromiseError(Exception):
    """What an open has found contradicts what was promised before."""


@dataclass
class Chain:
    """The states of one subject, and the one that is promised."""

    states: list[tuple[str, State]] = field(default_factory=lambda: [("", None)])
    floor: int = 0

    def place_of(self, state: State) -> int | None:
        """Where in the chain it is, if it may be there."""
        places = range(len(self.states) - 1, self.floor - 1, -1)
        return next((place for place in places if self.states[place][1] == state), None)

    def place_of_op(self, op: str) -> int:
        """What this operation has led to, or would lead to."""
        return next(place for place, (by, _) in enumerate(self.states) if by == op)

    def has_reached(self, op: str) -> bool:
        """Whether this operation is promised."""
        return any(by == op for by, _ in self.states[: self.floor + 1])

    def allowed(self) -> list[State]:
        """What it may be."""
        return [state for _, state in self.states[self.floor :]]


class History:
    """The marks up to some moment."""

    def __init__(self, marks: Iterable[Mapping[str, Any]] = ()) -> None:
        self.chains: dict[str, Chain] = {}
        # Operations that were begun and not answered.
        self.begun: dict[str, list[str]] = {}
        self.memos: set[str] = set()
        self.promise_count = 0
        for mark in marks:
            self.add(mark)

    def add(self, mark: Mapping[str, Any]) -> None:
        """Takes in one mark."""
        match mark["kind"]:
            case "do":
                self._begin(mark["op"], mark["set"])
            case "ok":
                self._promise(mark["op"])
            case "saw":
                self._see(mark["set"])
            case "seen":
                self._see({subject: mark["set"].get(subject) for subject in self.chains})
            case "memo":
                self.memos.add(mark["memo"])
                self.promise_count += 1
            case "forget":
                prefix = mark["run"] + ":"
                self.memos = {name for name in self.memos if not name.startswith(prefix)}
            case other:
                raise ValueError(f"a mark of the kind {other}")

    def _begin(self, op: str, states: Mapping[str, State]) -> None:
        self.begun[op] = list(states)
        for subject, state in states.items():
            self.chains.setdefault(subject, Chain()).states.append((op, state))

    def _promise(self, op: str) -> None:
        for subject in self.begun.pop(op, ()):
            chain = self.chains[subject]
            chain.floor = max(chain.floor, chain.place_of_op(op))
        self.promise_count += 1

    def _see(self, states: Mapping[str, State]) -> None:
        found = self._unkept(states, states)
        if found:
            raise BrokenPromiseError("; ".join(found))
        for subject, state in states.items():
            chain = self.chains[subject]
            place = chain.place_of(state)
            assert place is not None, "it was checked"
            del chain.states[place + 1 :]
            chain.floor = place
        # What is known of one subject of an operation is known of all.
        for op, together in list(self.begun.items()):
            known = next((subject for subject in together if subject in states), None)
            if known is None:
                continue
            if self.chains[known].has_reached(op):
                self._promise(op)
            else:
                del self.begun[op]

    def violations(self, observed: Observed) -> list[str]:
        """Every broken promise, in words; empty if all was kept."""
        phantoms = sorted(observed.keys() - self.chains.keys())
        found = [f"{subject}: {observed[subject]}, nobody has made it" for subject in phantoms]
        return found + self._unkept({name: observed.get(name) for name in self.chains}, self.chains)

    def _unkept(self, states: Mapping[str, State], subjects: Iterable[str]) -> list[str]:
        found, places = [], {}
        for subject in subjects:
            if subject not in self.chains:
                found.append(f"{subject}: {states[subject]}, nobody has made it")
                continue
            chain = self.chains[subject]
            place = chain.place_of(states[subject])
            if place is None:
                found.append(f"{subject}: {states[subject]}, not one of {chain.allowed()}")
            else:
                places[subject] = place
        for op, together in self.begun.items():
            done = {
                subject: places[subject] >= self.chains[subject].place_of_op(op)
                for subject in together
                if subject in places
            }
            if len(set(done.values())) > 1:
                found.append(f"operation {op}: torn, {done}")
        return found


def parse(text: str) -> list[dict[str, Any]]:
    """Reads marks. A last line without its end was being written when the process died."""
    whole, _, _ = text.rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]
