"""What a killed process saw of its runs, and whether a sequential execution could have shown it.

A line of the ledger is ``kind run json``. Each one is written before or after something that is
promised, so their order is an order in time: one process writes at a time.

| kind | when | json |
|---|---|---|
| `start` | a process began; the name is that of the process | |
| `submitting`, `submitted` | before and after | `new` |
| `ran` | a delivery of a step began | `step`, `attempts`, `nonce`, `payload` (digest), `stop` |
| `raised` | it fails for now | `step` |
| `returned` | it goes on | `step`, `payload` (digest) |
| `computing`, `memo` | a memo is computed; it was returned | `step`, `key`, `nonce` |
| `putting`, `put`, `got` | a memo is set; it is durable; it was read | `step`, `nonce` |
| `cancelling`, `cancelled` | before and after | `call`, `answer` |
| `unheard` | a cancelled step never heard of it | `step` |
| `told` | a hook hears of an end | `nonce`, `raises`, `end` |
| `ended` | somebody who waited got the outcome | the outcome |
| `outcome`, `status` | all work is done; the same after another open | the outcome; the status |
| `followup` | the job that a hook's effect has made | `nonce` |
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kill.run_plan import Cancelling, End, RunPlan, Way

# How a run ends whose last delivery went down with its process.
LOST_TEXT = "the process ended while it ran this job's last attempt"

# A process that is killed in the first moments of a delivery may not have counted it, once.
UNCOUNTED_MAX = 1


@dataclass(frozen=True)
class Event:
    """One line: where it stands in the ledger, and what it says."""

    at: int
    kind: str
    fields: dict[str, Any]


@dataclass
class Runs:
    """The ledger, by run."""

    starts: list[int] = field(default_factory=list)
    events: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))

    def starts_between(self, at: int, end: float = math.inf) -> int:
        """How many processes began between these lines."""
        return sum(at < start < end for start in self.starts)


def digest(payload: bytes) -> str:
    """What the ledger says of a payload."""
    return hashlib.sha256(payload).hexdigest()[:16]


def chain_payload(chain: list[Any]) -> bytes:
    """The payload of a step whose predecessors have left this chain."""
    return json.dumps(chain, separators=(",", ":")).encode()


def parse(lines: Iterable[str]) -> Runs:
    """Reads the lines of a ledger."""
    runs = Runs()
    for at, line in enumerate(lines):
        kind, run, text = line.split(" ", 2)
        if kind == "start":
            runs.starts.append(at)
        else:
            runs.events[run].append(Event(at, kind, json.loads(text)))
    return runs


def read(path: Path) -> Runs:
    """Reads a ledger's file."""
    return parse(path.read_text(encoding="utf-8").splitlines() if path.exists() else [])


@dataclass
class Case:
    """One run: what it was to do, and what was seen of it."""

    plan: RunPlan
    runs: Runs
    events: list[Event]

    def all(self, kind: str) -> list[Event]:
        """The lines of one kind."""
        return [event for event in self.events if event.kind == kind]

    def of_step(self, kind: str, step: int) -> list[Event]:
        """The lines of one kind about one step."""
        return [event for event in self.all(kind) if event.fields["step"] == step]

    def answers(self, *, answer: bool) -> list[Event]:
        """The cancels that returned this."""
        return [event for event in self.all("cancelled") if event.fields["answer"] is answer]

    @property
    def is_cancel_open(self) -> bool:
        """Whether a process died while it cancelled the run: it may have, or not."""
        answered = {event.fields["call"] for event in self.all("cancelled")}
        return any(event.fields["call"] not in answered for event in self.all("cancelling"))

    @property
    def last_ran(self) -> int:
        """The last step that was delivered; -1 if none was."""
        return max((event.fields["step"] for event in self.all("ran")), default=-1)

    def may_be_at(self, step: int) -> bool:
        """Whether this can be the run's present step, delivered or not yet."""
        if step == self.last_ran:
            return True
        return step == self.last_ran + 1 and (step == 0 or bool(self.of_step("returned", step - 1)))

    def may_be_lost(self, step: int) -> bool:
        """Whether kills, with the failures before them, can have used up a step's attempts."""
        birth = self.of_step("returned", step - 1) if step else self.all("submitting")
        if not birth:
            return False
        kills = self.runs.starts_between(birth[0].at)
        return len(self.of_step("raised", step)) + kills >= self.plan.max_attempts


def telling_counts(runs: Runs) -> Counter[str]:
    """How often the hook was told of each run."""
    every = ((run, event) for run, events in runs.events.items() for event in events)
    return Counter(run for run, event in every if event.kind == "told")


# What is worth counting, and what it is called.
COUNTED = {"memo": "memos", "raised": "failed_deliveries", "followup": "hook_effects"}


def counted(runs: Runs) -> Counter[str]:
    """What there was to judge: events by kind, answers of cancels, ends."""
    counts: Counter[str] = Counter()
    for event in (event for events in runs.events.values() for event in events):
        if event.kind in COUNTED:
            counts[COUNTED[event.kind]] += 1
        elif event.kind == "cancelled":
            counts["cancels_true" if event.fields["answer"] else "cancels_false"] += 1
        elif event.kind == "outcome":
            counts[f"{event.fields['status']}_runs"] += 1
            counts["lost_attempts_runs"] += event.fields["error"] == LOST_TEXT
    return counts


def violations(runs: Runs, plan_of: Callable[[str], RunPlan]) -> list[str]:
    """Everything that no sequential execution would have shown, in words. Empty if all is well."""
    found = []
    for run, events in sorted(runs.events.items()):
        case = Case(plan_of(run), runs, events)
        if not case.all("submitting"):
            found += [f"run {run}: {text}" for text in ghost_violations(case)]
            continue
        for check in CHECKS:
            found += [f"run {run}: {text}" for text in check(case)]
    return found


def ghost_violations(case: Case) -> Iterator[str]:
    """What is wrong with a run that nobody submitted."""
    if case.answers(answer=True):
        yield "unknown, and yet it was cancelled"
    if any(event.kind not in ("cancelling", "cancelled") for event in case.events):
        yield "phantom, nobody submitted it"


def submission_violations(case: Case) -> Iterator[str]:
    """What is wrong with how it was taken in."""
    answers = case.all("submitted")
    if not answers:
        yield "its submission was never answered"
        return
    for answer in answers:
        begun = max(event.at for event in case.all("submitting") if event.at < answer.at)
        known = [event for event in case.events if event.kind in ("submitted", "ran")]
        if answer.fields["new"] and any(event.at < begun for event in known):
            yield "it was submitted twice"
    if len(case.all("submitting")) == 1 and not answers[0].fields["new"]:
        yield "it was there before it was submitted"


def step_violations(case: Case) -> Iterator[str]:
    """What is wrong with the order of its steps, and with what they were given."""
    ran = case.all("ran")
    numbers = [event.fields["step"] for event in ran]
    if numbers != sorted(numbers) or sorted(set(numbers)) != list(range(len(set(numbers)))):
        yield f"steps ran in the order {numbers}"
    if numbers and max(numbers) > case.plan.last:
        yield f"step {max(numbers)} was delivered behind the last one"
    for number in sorted(set(numbers)):
        given = {event.fields["payload"] for event in ran if event.fields["step"] == number}
        if number == 0:
            offered = {digest(chain_payload([]))}
        else:
            offered = {event.fields["payload"] for event in case.of_step("returned", number - 1)}
        if len(given) > 1:
            yield f"step {number} was given {len(given)} payloads"
        if not given <= offered:
            yield f"step {number} was given what no step before it returned"


def attempt_violations(case: Case) -> Iterator[str]:
    """What is wrong with how often its steps were delivered."""
    for number in range(case.last_ran + 1):
        attempts = [event.fields["attempts"] for event in case.of_step("ran", number)]
        if attempts != sorted(attempts) or min(attempts, default=1) < 1:
            yield f"step {number} counted its attempts {attempts}"
        if max(attempts, default=1) > case.plan.max_attempts:
            yield f"step {number} got to attempt {max(attempts)} of {case.plan.max_attempts}"
        if len(attempts) > case.plan.max_attempts + UNCOUNTED_MAX:
            yield f"step {number} was delivered {len(attempts)} times"


def computed_violations(case: Case) -> Iterator[str]:
    """What is wrong with memos that are computed once."""
    known: dict[tuple[int, str], str] = {}
    computed: dict[tuple[int, str], set[str]] = defaultdict(set)
    for event in case.events:
        if event.kind not in ("computing", "memo"):
            continue
        step, key, nonce = (event.fields[name] for name in ("step", "key", "nonce"))
        name = f"memo {key!r} of step {step}"
        if event.kind == "computing":
            if (step, key) in known:
                yield f"{name} was computed again after it had been returned"
            computed[step, key].add(nonce)
        elif nonce not in computed[step, key]:
            yield f"{name} holds what was never computed for it"
        elif known.setdefault((step, key), nonce) != nonce:
            yield f"{name} has changed"


def put_violations(case: Case) -> Iterator[str]:
    """What is wrong with memos that are set."""
    allowed: dict[int, set[str | None]] = defaultdict(lambda: {None})
    for event in case.events:
        if event.kind == "putting":
            allowed[event.fields["step"]].add(event.fields["nonce"])
        elif event.kind == "put":
            allowed[event.fields["step"]] = {event.fields["nonce"]}
        elif event.kind == "got" and event.fields["nonce"] not in allowed[event.fields["step"]]:
            yield f"step {event.fields['step']} read a memo that was not the last one put"


def cancel_violations(case: Case) -> Iterator[str]:
    """What is wrong with the answers of its cancels, and with what came after them."""
    ran = case.all("ran")
    for no in case.answers(answer=False):
        if any(event.at > no.at for event in ran):
            yield "a cancel found it ended, and then a step ran"
    waits = case.plan.cancelling in (Cancelling.SCHEDULED, Cancelling.PARKED)
    for yes in case.answers(answer=True):
        late = [event for event in ran if event.at > yes.at]
        # A delivery may have been on its way. Its process is the one that cancelled, so it knows.
        if len(late) > 1 or any(case.runs.starts_between(yes.at, event.at) for event in late):
            yield "a step ran after a cancel that returned True"
        if not all(event.fields["stop"] for event in late):
            yield "a step that began after a cancel did not see it"
        if waits and not any(event.at < yes.at for event in case.all("told")):
            yield "a cancel of a waiting run returned before the hook was told"
        call = yes.fields["call"]
        [begun] = [event for event in case.all("cancelling") if event.fields["call"] == call]
        if any(event.at < begun.at for event in case.all("ended")):
            yield "a cancel after its end returned True"
    if case.all("unheard"):
        yield "a cancelled step was not told"


def end_violations(case: Case) -> Iterator[str]:
    """What is wrong with how it ended."""
    if not case.all("outcome"):
        yield "lost, it has no outcome"
        return
    outcome = case.all("outcome")[0].fields
    end = End(outcome["status"], outcome["error"], outcome["final_step"])
    shown = f"ended as {end.status} at step {end.final_step} with {end.error!r}"
    is_own = end == case.plan.end and end.final_step == case.last_ran
    is_external = (end.status, end.error) == ("cancelled", None)
    is_lost = (end.status, end.error) == ("failed", LOST_TEXT)
    if case.answers(answer=True) and not (is_external or (is_own and case.plan.way is Way.CANCEL)):
        yield f"a cancel returned True, and yet it {shown}"
    elif is_external and not (case.answers(answer=True) or case.is_cancel_open):
        yield f"it {shown}, and nobody had cancelled it"
    elif not (is_own or is_external or is_lost):
        yield f"it {shown}, which is not in its plan"
    elif not case.may_be_at(end.final_step):
        yield f"it {shown}, where it was not"
    elif is_lost and not case.may_be_lost(end.final_step):
        yield f"it {shown}, with attempts left"
    if end.status == "succeeded":
        yield from chain_violations(case, outcome["result"])
    elif outcome["result"] is not None:
        yield f"it {shown} and has a result"


def chain_violations(case: Case, chain: list[Any]) -> Iterator[str]:
    """What is wrong with the result, which has an entry of each step."""
    if [entry[0] for entry in chain] != list(range(len(case.plan.steps))):
        yield f"its result has steps {[entry[0] for entry in chain]}"
    for index, (step, nonce, memos) in enumerate(chain):
        given = digest(chain_payload(chain[:index]))
        ran = [event for event in case.of_step("ran", step) if event.fields["nonce"] == nonce]
        if not any(event.fields["payload"] == given for event in ran):
            yield f"its result has an entry of step {step} that no delivery of it made"
        returned = {event.fields["nonce"] for event in case.of_step("memo", step)}
        if not set(memos) <= returned or len(memos) != case.plan.steps[index].memo_count:
            yield f"its result has memos of step {step} that were not returned to it"


def told_violations(case: Case) -> Iterator[str]:
    """What is wrong with what others heard of its end: hooks, waiters, readers."""
    outcome = next((event.fields for event in case.all("outcome")), None)
    if outcome is None:
        return
    if any(event.fields != outcome for event in case.all("ended")):
        yield "somebody who waited got another outcome"
    told = case.all("told")
    if not told:
        yield "the hook was never told"
    if any(event.fields["end"] != outcome for event in told):
        yield "the hook was told another end"
    settled = {event.fields["nonce"] for event in told if not event.fields["raises"]}
    followups = [event.fields["nonce"] for event in case.all("followup")]
    if len(followups) != 1:
        yield f"the hook's effect was applied {len(followups)} times"
    if not set(followups) <= settled:
        yield "an effect was applied that no hook returned"
    seen = [event.fields for event in case.all("status")]
    expected = {
        "state": outcome["status"],
        "error": outcome["error"],
        "step": outcome["final_step"],
        "has_ended": True,
    }
    if seen != [expected]:
        yield f"after another open it is listed as {seen}"


CHECKS: tuple[Callable[[Case], Iterator[str]], ...] = (
    submission_violations,
    step_violations,
    attempt_violations,
    computed_violations,
    put_violations,
    cancel_violations,
    end_violations,
    told_violations,
)
