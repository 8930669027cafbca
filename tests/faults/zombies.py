"""A process that is stopped while it owns a store, and goes on when somebody else owns it.

The first owner is stopped in the middle of its work; a second one opens the store, which fences the
first, and works; then the first goes on, and does not know. Nothing it does from then on may be
acknowledged, nothing of it may be in the store, and each of its calls fails with `FencedError`.

Both run the service of the kill lane, and write one history; its judgement holds here too.
"""

import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from taquba import Queue
from taquba.exceptions import FencedError
from taquba.workflow import RunSpec
from tests.kill import judge
from tests.kill.cycles import BrokenError, Child, Cycles, Tally
from tests.kill.recording import Recorder
from tests.kill.runs_workload import Ledger
from tests.kill.service import DONE, HISTORY, Order, Service, open_options

CYCLES_PER_STORE = 10
WORKING_SECONDS_MAX = 0.2
# How long the second owner works before the first goes on, and after it.
TAKEN_SECONDS_MAX = 0.1
# A fenced owner hears of it at its next commit.
LEARNS_SECONDS_MAX = 15.0
READY_SECONDS_MAX = 30.0

# Calls that change something: an answer is a promise.
WRITES = ("enqueue", "settle", "cancel_job", "wake_job", "submit", "cancel_run", "memo_put")


async def haunt(order: Order) -> None:
    """Works until it is fenced, and then asks for everything once more."""
    recorder = Recorder(order.history, order.owner)
    ledger = Ledger(order.ledger)
    queue = await Queue.open(order.directory / "store", options=open_options())
    recorder.opened()
    order.say("ready")
    service = Service(order, queue, recorder, ledger)
    try:
        await service.work()
    except* FencedError:
        pass
    answers = [name for name, call in calls_of(service).items() if not await is_fenced(call)]
    with suppress(FencedError):
        await queue.close()
    order.say(f"fenced {json.dumps(answers)}")


def calls_of(service: Service) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Every kind of call, by name."""
    queue, runtime = service.queue, service.runs.runtime
    return {
        "enqueue": lambda: queue.enqueue("pulled", b"too late"),
        "enqueue_batch": lambda: queue.enqueue_batch("pulled", [b"too late"]),
        "claim": lambda: queue.claim("pulled"),
        "claim_with_wait": lambda: queue.claim_with_wait("pulled", timeout=1.0),
        "cancel": lambda: queue.cancel("0000000000000001"),
        "kv_put": lambda: queue.kv_put("late", b"too late"),
        "kv_get": lambda: queue.kv_get("late"),
        "kv_compare_put": lambda: queue.kv_compare_put("late", None, b"too late"),
        "stats": queue.stats,
        "list_jobs": lambda: queue.list_jobs("pulled"),
        "submit": lambda: runtime.submit(RunSpec(b"too late")),
        "cancel_run": lambda: runtime.cancel("anything"),
        "status": lambda: runtime.status("anything"),
        "outcome": lambda: runtime.handle("anything").outcome(timeout=1.0),
    }


async def is_fenced(call: Callable[[], Awaitable[Any]]) -> bool:
    """Whether a call says that another process owns the store."""
    try:
        await call()
    except FencedError:
        return True
    return False


def one_cycle(cycles: Cycles, rng: random.Random) -> None:
    """Stops the first owner, has a second one take over, and lets the first go on."""
    first = cycles.start("work", main=haunt)
    expect(first, "ready")
    time.sleep(rng.uniform(0, WORKING_SECONDS_MAX))
    os.kill(first.pid, signal.SIGSTOP)
    second = cycles.start("work")
    expect(second, "ready")
    cycles.appender.append("ended", {"owner": first.order.owner, "how": "fenced"})
    time.sleep(rng.uniform(0, TAKEN_SECONDS_MAX))
    os.kill(first.pid, signal.SIGCONT)
    if not first.wait_for("fenced []", LEARNS_SECONDS_MAX):
        first.kill()
        message = f"process {first.order.owner} was fenced and did not say so: {first.errors()}"
        raise BrokenError(message)
    code = first.wait()
    if code:
        message = f"process {first.order.owner} ended with {code}: {first.errors()}"
        raise BrokenError(message)
    time.sleep(rng.uniform(0, TAKEN_SECONDS_MAX))
    cycles.end(second, second.kill())
    cycles.tally.counts["zombies"] += 1


def expect(child: Child, word: str) -> None:
    """Waits until a process says this."""
    if not child.wait_for(word, READY_SECONDS_MAX):
        child.kill()
        message = f"process {child.order.owner} did not say {word}: {child.errors()}"
        raise BrokenError(message)


def run_store(directory: Path, seed: str, cycle_count: int) -> Tally:
    """Does so many cycles on one store, and judges what was seen."""
    directory.mkdir(parents=True)
    cycles = Cycles(directory, seed)
    try:
        for _ in range(cycle_count):
            one_cycle(cycles, cycles.rng)
        cycles.finish()
    except BrokenError as error:
        cycles.tally.violations.append(f"broken: {error}")
    judged = judge.judge(directory / HISTORY, directory / DONE)
    cycles.tally.counts += judged.counts
    cycles.tally.violations += judged.violations + violations(directory / HISTORY)
    return cycles.tally


def violations(history: Path) -> list[str]:
    """What a fenced owner was promised that it should not have been, in words."""
    events = [json.loads(line) for line in history.read_text().splitlines()]
    ended = {
        event["owner"]: at
        for at, event in enumerate(events)
        if event["event"] == "ended" and event["how"] == "fenced"
    }
    calls: dict[int, tuple[int, dict[str, Any]]] = {}
    jobs: dict[str, str] = {}
    late_acks: dict[str, int] = {}
    found = []
    for at, event in enumerate(events):
        if event["event"] == "delivered":
            jobs[event["claim"]["token"]] = event["claim"]["job"]
        elif event["event"] == "invoked":
            calls[event["call"]] = (at, event["op"])
        elif event["event"] == "answered" and at > ended.get(event["owner"], at):
            asked_at, op = calls[event["call"]]
            # That a run cannot be cancelled is no promise: it changes nothing.
            is_refusal = event["answer"] == {"ok": {"run_cancelled": False}}
            is_write = op["op"] in (*WRITES, "kv_swap") and not is_refusal
            is_promise = "ok" in event["answer"] and is_write
            if is_promise and asked_at > ended[event["owner"]]:
                found.append(f"fenced owner {event['owner']} was answered {event['answer']}: {op}")
            elif is_promise and op["op"] == "settle" and op["verdict"] == "ack":
                # It was durable before the stop, and only the answer is late.
                late_acks[jobs[op["token"]]] = event["owner"]
    for event in events:
        if event["event"] == "delivered":
            owner = late_acks.get(event["claim"]["job"], event["owner"])
            if event["owner"] > owner:
                found.append(f"fenced owner {owner} acked {event['claim']['job']}, which came back")
    return found
