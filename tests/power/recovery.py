"""Opening what a power failure has left, and looking for everything that was promised.

After the look the store is worked on: every job that waits is delivered and compared, every live
run is ended by a step that finds its memos, and the store is closed and opened once more. A store
that opens and then cannot go on has lost something too.
"""

import asyncio
from pathlib import Path

from taquba import OpenOptions, Queue
from taquba.exceptions import TaqubaError
from taquba.memo import Memo, MemoStore
from taquba.workflow import Step, StepOutcome, WorkflowRuntime
from tests.power.history import History
from tests.power.looking import KEPT, QUEUES, look, memos_of, payload_of, result_of, size_of

_OPTIONS = OpenOptions(fsync=False, queue_configs={"kept": KEPT})
_CLAIM_COUNT = 100
_LIMIT_SECONDS = 30.0


class _Runner:
    """Ends runs, and looks at what they are given."""

    def __init__(self, promised: History) -> None:
        self._promised = promised
        self.found: list[str] = []

    async def run_step(self, step: Step) -> StepOutcome:
        """Compares the payload and the memo with what the workload had written."""
        name = f"{step.run_id}:{step.step_number}"
        if step.payload != name.encode():
            self.found.append(f"run:{step.run_id}: its payload is {step.payload!r}")
        self.found += await _compared(f"row:{name}", step.memo, self._promised)
        return StepOutcome.Succeed(result_of(step.run_id))


async def violations(store: Path, promised: History) -> list[str]:
    """Every promise that this store has broken, in words."""
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            return await _examined(store, promised)
    except TaqubaError as error:
        return [f"the store fails: {error!r}"]
    except TimeoutError:
        return [f"the store is not done after {_LIMIT_SECONDS} s"]


async def _examined(store: Path, promised: History) -> list[str]:
    async with Queue.open(store, options=_OPTIONS) as queue:
        observed = await look(queue)
        found = promised.violations(observed)
        found += await _counted(queue, observed)
        live = {name for name, state in observed.items() if state == "live"}
        found += await _delivered(queue, live)
        found += await _ended(queue, promised, observed)
    found += await _remembered(store, promised)
    async with Queue.open(store, options=_OPTIONS) as queue:
        left = await look(queue)
        found += [f"{name}: came back" for name in live if left.get(name) not in {None, "done"}]
    return found


async def _compared(name: str, memo: Memo, promised: History) -> list[str]:
    """Whether a memo is there if it was promised, and is what was written in any case."""
    value = await memo.get("note")
    allowed = {name.encode()} if name in promised.memos else {name.encode(), None}
    return [] if value in allowed else [f"memo:{name}: {value!r}"]


async def _remembered(store: Path, promised: History) -> list[str]:
    """Looks at every promised memo that is an object."""
    found = []
    async with MemoStore(memos_of(store), fsync=False) as objects:
        for name in promised.memos:
            kind, run_id, number = name.split(":")
            if kind == "object":
                found += await _compared(name, objects.new_memo(run_id, int(number)), promised)
    return found


async def _counted(queue: Queue, observed: dict[str, str]) -> list[str]:
    """Whether the counts are those of what is there, and nothing was moved aside."""
    stats = await queue.stats()
    found = []
    if stats.quarantined_count:
        found.append(f"{stats.quarantined_count} records are damaged")
    states = [state for name, state in observed.items() if name.startswith("job:")]
    queues = [stats.queues[name] for name in QUEUES if name in stats.queues]
    counts = {
        "live": sum(one.pending_count for one in queues),
        "later": sum(one.scheduled_count for one in queues),
        "done": sum(one.done_count for one in queues),
        "dead": sum(one.dead_count for one in queues),
    }
    for state, count in counts.items():
        if states.count(state) != count:
            found.append(f"{states.count(state)} jobs are {state}, {count} are counted")
    return found


async def _delivered(queue: Queue, live: set[str]) -> list[str]:
    """Works on every job that waits."""
    found = []
    left = set(live)
    for name in QUEUES:
        while claims := await queue.claim_batch(name, _CLAIM_COUNT, lease=600.0):
            for claim in claims:
                tag = claim.headers["tag"]
                if claim.payload != payload_of(tag, size_of(tag)):
                    found.append(f"job:{tag}: another payload")
                if f"job:{tag}" not in left:
                    found.append(f"job:{tag}: delivered, and does not wait")
                left.discard(f"job:{tag}")
            await asyncio.gather(*(queue.ack(claim) for claim in claims))
    return found + [f"{name}: waits, and is not delivered" for name in sorted(left)]


async def _ended(queue: Queue, promised: History, observed: dict[str, str]) -> list[str]:
    """Sees every run to its end."""
    runner = _Runner(promised)
    runtime = WorkflowRuntime(queue, runner, run_retention=None)
    found = []
    async with runtime:
        for name, state in observed.items():
            kind, _, run_id = name.partition(":")
            if kind != "run" or state == "cancelled" or run_id.endswith("-waits"):
                continue
            outcome = await runtime.handle(run_id).outcome()
            if outcome.result != result_of(run_id):
                found.append(f"{name}: ended as {outcome.status} with {outcome.result!r}")
    return found + runner.found
