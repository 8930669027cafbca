"""What a history says of plain jobs and keys, and whether every promise was kept.

A quick look at three questions, in the language of the tests: is anything lost, is anything there
that nobody asked for, was anything settled twice. The checkers of `rust/taquba-sim/src/check` read
the same file and ask many more.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kill.jobs_workload import COUNTER, DERIVED, FOLLOWUPS, PULLED, PUSHED

Fields = dict[str, Any]

# A process that is killed in the first moments of a delivery may not have counted it, once.
UNCOUNTED_MAX = 1
PLAIN = (PULLED, PUSHED, DERIVED, FOLLOWUPS)


@dataclass
class Judgement:
    """What was found.

    Args:
        counts: `jobs`, `runs`, `deliveries`, and by kind what is wrong: `lost`, `phantom`,
            `doubly_settled`.
        violations: The same in words.
    """

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def find(self, kind: str, text: str) -> None:
        """Something is wrong."""
        self.counts[kind] += 1
        self.violations.append(f"{kind}: {text}")


@dataclass
class Job:
    """What was seen of one job.

    Args:
        queue: Where it is.
        payloads: What it was said to hold.
        acknowledged_at: In which line its enqueue was answered.
        deliveries: In which lines it was delivered.
        attempts: What these were counted as.
        max_attempts: How many there may be.
        ends: In which lines a settlement was answered that ends it.
        may_be_cancelled: Whether somebody asked for that.
        state: In which state it was found.
    """

    queue: str = ""
    payloads: set[str] = field(default_factory=set)
    acknowledged_at: int | None = None
    deliveries: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    max_attempts: int | None = None
    ends: list[int] = field(default_factory=list)
    may_be_cancelled: bool = False
    state: str | None = None


@dataclass
class Seen:
    """A history, by subject."""

    jobs: dict[str, Job] = field(default_factory=lambda: defaultdict(Job))
    asked: dict[str, str] = field(default_factory=dict)
    """Payloads that somebody enqueued, and where to."""
    staged: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """By payload of an effect: the token of its settlement, the key beside it, the key's value."""
    job_of_token: dict[str, str] = field(default_factory=dict)
    acked: set[str] = field(default_factory=set)
    """Tokens whose ack was answered."""
    calls: dict[int, Fields] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    swaps: Counter[str] = field(default_factory=Counter)
    keyed: list[tuple[str, str, str]] = field(default_factory=list)
    """New jobs with a dedup key that is held until they are settled: queue and key, job, scope."""
    over: set[int] = field(default_factory=set)
    """Owners whose time is over: a delivery that they still note had begun before."""
    has_all: bool = False


def read(lines: Iterable[str]) -> Seen:
    """Takes in a history."""
    seen = Seen()
    for at, line in enumerate(lines):
        event = json.loads(line)
        take = TAKES.get(event["event"])
        if take is not None:
            take(seen, at, event)
    return seen


def _take_invoked(seen: Seen, _: int, event: Fields) -> None:
    op = event["op"]
    seen.calls[event["call"]] = op
    match op["op"]:
        case "enqueue":
            seen.asked |= {job["payload"]: op["queue"] for job in op["jobs"]}
        case "settle":
            _take_effects(seen, op)
        case "cancel_job":
            seen.jobs[op["job"]].may_be_cancelled = True
        case "kv_swap":
            seen.swaps["asked"] += 1
        case "submit":
            seen.runs |= {run["run"] for run in op["runs"]}


def _take_effects(seen: Seen, op: Fields) -> None:
    # A job, and a key if a worker settles; a hook's has none.
    jobs = [effect["enqueue"] for effect in op["effects"] if "enqueue" in effect]
    puts = [effect["put"] for effect in op["effects"] if "put" in effect]
    for enqueue in jobs:
        [payload] = [job["payload"] for job in enqueue["jobs"]]
        seen.asked[payload] = enqueue["queue"]
        for put in puts:
            seen.staged[payload] = (op["token"], put["key"], put["value"])


def _take_answered(seen: Seen, at: int, event: Fields) -> None:
    op = seen.calls.pop(event["call"])
    answer = event["answer"]
    if "ok" not in answer:
        seen.swaps["refused"] += op["op"] == "kv_swap" and "failed" in answer
        return
    match op["op"]:
        case "enqueue":
            for asked, told in zip(op["jobs"], answer["ok"]["enqueued"], strict=True):
                if told["is_new"]:
                    _take_new(seen, at, told["job"], op["queue"], asked)
        case "settle":
            job = seen.jobs[seen.job_of_token[op["token"]]]
            if op["verdict"] == "ack" or "dead_letter" in op["verdict"]:
                job.ends.append(at)
            if op["verdict"] == "ack":
                seen.acked.add(op["token"])
        case "kv_swap":
            seen.swaps["done" if answer["ok"]["swapped"] else "refused"] += 1


def _take_new(seen: Seen, at: int, name: str, queue: str, asked: Fields) -> None:
    job = seen.jobs[name]
    job.queue, job.acknowledged_at = queue, at
    job.payloads.add(asked["payload"])
    job.max_attempts = asked["max_attempts"]
    if asked.get("dedup_key") is not None:
        scope = "settled" if asked["is_dedup_until_settled"] else "waiting"
        seen.keyed.append((f"{queue}/{asked['dedup_key']}", name, scope))


def _take_delivered(seen: Seen, at: int, event: Fields) -> None:
    claim = event["claim"]
    if claim["work"] != "job" or claim["queue"] not in PLAIN:
        return
    seen.job_of_token[claim["token"]] = claim["job"]
    if event["owner"] in seen.over:
        return
    job = seen.jobs[claim["job"]]
    job.queue, job.max_attempts = claim["queue"], claim["max_attempts"]
    job.payloads.add(claim["payload"])
    job.deliveries.append(at)
    job.attempts.append(claim["attempts"])


def _take_found_job(seen: Seen, _: int, event: Fields) -> None:
    if event["queue"] not in PLAIN:
        return
    job = seen.jobs[event["job"]]
    job.queue, job.state = event["queue"], event["state"]
    job.payloads.add(event["payload"])


def _take_found_value(seen: Seen, _: int, event: Fields) -> None:
    seen.values[event["key"]] = event["value"]


def _take_ended(seen: Seen, _: int, event: Fields) -> None:
    seen.over.add(event["owner"])


def _take_found_all(seen: Seen, _: int, event: Fields) -> None:
    assert event
    seen.has_all = True


TAKES = {
    "invoked": _take_invoked,
    "answered": _take_answered,
    "delivered": _take_delivered,
    "ended": _take_ended,
    "found_job": _take_found_job,
    "found_value": _take_found_value,
    "found_all": _take_found_all,
}


def judge(history: Path, done: Path) -> Judgement:
    """Judges a history's file, and the jobs that were kept after their ack."""
    lines = history.read_text(encoding="utf-8").splitlines()
    if done.exists():
        lines += done.read_text(encoding="utf-8").splitlines()
    return judged(read(lines))


def judged(seen: Seen) -> Judgement:
    """Judges a history."""
    found = Judgement()
    found.counts["runs"] = len(seen.runs)
    if not seen.has_all:
        found.find("lost", "nobody could list what is there")
        return found
    for name, job in sorted(seen.jobs.items()):
        if job.queue in PLAIN:
            found.counts["jobs"] += 1
            found.counts["deliveries"] += len(job.deliveries)
            for kind, text in job_violations(seen, job):
                found.find(kind, f"job {name} of `{job.queue}`: {text}")
    for kind, text in effect_violations(seen):
        found.find(kind, text)
    for text in dedup_violations(seen):
        found.find("doubly_settled", text)
    for text in counter_violations(seen):
        found.find("lost", text)
    return found


def job_violations(seen: Seen, job: Job) -> Iterator[tuple[str, str]]:
    """What is wrong with one job: a kind, and words."""
    wrong = {payload for payload in job.payloads if seen.asked.get(payload) != job.queue}
    if wrong:
        yield "phantom", f"nobody enqueued {sorted(wrong)} there"
    if len(job.payloads) > 1:
        yield "phantom", f"it held {sorted(job.payloads)}"
    is_acknowledged = job.acknowledged_at is not None
    is_kept = job.queue != PUSHED and not job.may_be_cancelled
    if is_acknowledged and is_kept and job.state not in ("done", "dead"):
        yield "lost", f"its enqueue was acknowledged, and in the end it is {job.state}"
    if is_acknowledged and not (job.deliveries or job.state or job.may_be_cancelled):
        yield "lost", "its enqueue was acknowledged, and it was never delivered"
    if len(job.ends) > 1:
        yield "doubly_settled", f"{len(job.ends)} settlements were acknowledged"
    if job.ends and max(job.deliveries) > min(job.ends):
        yield "doubly_settled", "it was delivered after its acknowledged end"
    if job.max_attempts is not None and job.attempts:
        if max(job.attempts) > job.max_attempts:
            yield "doubly_settled", f"attempt {max(job.attempts)} of {job.max_attempts}"
        if len(job.attempts) > job.max_attempts + UNCOUNTED_MAX:
            yield "doubly_settled", f"{len(job.attempts)} deliveries of {job.max_attempts}"


def effect_violations(seen: Seen) -> Iterator[tuple[str, str]]:
    """What is wrong with jobs and keys that belong to a settlement."""
    copies = Counter(payload for job in seen.jobs.values() for payload in job.payloads)
    settled: Counter[str] = Counter()
    for payload, (token, key, value) in seen.staged.items():
        count = copies[payload]
        held = seen.values.get(key)
        if count > 1:
            yield "doubly_settled", f"{count} jobs hold the effect {payload}"
        if bool(count) != (held is not None) or held not in (None, value):
            yield "lost", f"{count} jobs hold the effect {payload}, and the key beside it {held}"
        if token in seen.acked and not count:
            yield "lost", f"the effect {payload} of an acknowledged ack is not there"
        settled[seen.job_of_token[token]] += bool(count)
    for name, count in settled.items():
        if count > 1:
            yield "doubly_settled", f"job {name}: the effects of {count} acks are there"


def dedup_violations(seen: Seen) -> Iterator[str]:
    """What is wrong with jobs that may not be there beside each other."""
    last: dict[str, str] = {}
    for key, name, scope in seen.keyed:
        before = seen.jobs[last[key]] if key in last else None
        last[key] = name
        if before is None or scope != "settled":
            continue
        late = [at for at in before.deliveries if at > (seen.jobs[name].acknowledged_at or 0)]
        if late:
            yield f"key {key}: job {name} was new, and then the one before was delivered"


def counter_violations(seen: Seen) -> Iterator[str]:
    """What is wrong with the number that everybody counts up."""
    value = int(seen.values.get(COUNTER, "0"))
    most = seen.swaps["asked"] - seen.swaps["refused"]
    if not seen.swaps["done"] <= value <= most:
        yield f"the counter is {value}, of {seen.swaps['done']} to {most} additions"
