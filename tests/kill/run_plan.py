"""What a run of the kill test is to do, derived from its id: the sequential model.

The process that is killed and the checker that judges it make the same plan of a run id, so a
ledger needs no copy of it. A plan says how a run ends if nobody cancels it and no process dies:
`RunPlan.end`. What kills and cancels may change about that is in `run_ledger.py`.
"""

import enum
import random
from dataclasses import dataclass

STEP_COUNT_MAX = 5
# A run whose process is killed many times shall still end, unless it is there to be given up.
MANY_ATTEMPTS = 10_000


class Way(enum.Enum):
    """How the last step ends its run."""

    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    PERMANENT = "permanent"


class Cancelling(enum.Enum):
    """When somebody cancels the run."""

    NEVER = "never"
    AT_ONCE = "at once"
    """As soon as it is submitted: its step waits, or runs."""
    SCHEDULED = "scheduled"
    """It starts in an hour."""
    PARKED = "parked"
    """One of its steps goes on in an hour."""
    RUNNING = "running"
    """While one of its steps is being delivered."""
    LATE = "late"
    """After its end is known."""


@dataclass(frozen=True)
class StepPlan:
    """One step.

    Args:
        failure_count: Deliveries that fail before one does not.
        retry_after: What these ask for instead of the backoff, in seconds.
        memo_count: Memos that it computes.
        has_large_memos: Whether these become objects of their own.
        pause: What it takes, in seconds.
        delay: After how long the next step starts, in seconds; `None` for at once.
    """

    failure_count: int = 0
    retry_after: float | None = None
    memo_count: int = 0
    has_large_memos: bool = False
    pause: float = 0.0
    delay: float | None = None


@dataclass(frozen=True)
class End:
    """How a run ends."""

    status: str
    error: str | None
    final_step: int


@dataclass(frozen=True)
class RunPlan:
    """One run.

    Args:
        steps: Its steps, in order.
        way: How the last one ends it.
        max_attempts: Deliveries of one step.
        cancelling: When it is cancelled.
        cancel_step: During or behind which step, if that says so.
        hook_raises: Whether the hook fails when a process tells it for the first time.
    """

    steps: tuple[StepPlan, ...]
    way: Way = Way.SUCCEED
    max_attempts: int = MANY_ATTEMPTS
    cancelling: Cancelling = Cancelling.NEVER
    cancel_step: int = 0
    hook_raises: bool = False

    @property
    def last(self) -> int:
        """The number of the last step."""
        return len(self.steps) - 1

    @property
    def end(self) -> End | None:
        """How it ends by itself; `None` if it waits for a cancel."""
        if self.cancelling is Cancelling.SCHEDULED:
            return None
        for number, step in enumerate(self.steps):
            if step.failure_count >= self.max_attempts:
                return End("failed", transient_text(number, self.max_attempts), number)
            if self.cancelling is Cancelling.PARKED and number == self.cancel_step:
                return None
        if self.way is Way.SUCCEED:
            return End("succeeded", None, self.last)
        status = "cancelled" if self.way is Way.CANCEL else "failed"
        return End(status, end_text(self.way, self.last), self.last)


def transient_text(step_number: int, attempts: int) -> str:
    """What a delivery that fails for now says."""
    return f"not yet: step {step_number}, delivery {attempts}"


def end_text(way: Way, step_number: int) -> str:
    """What a last step says that does not succeed."""
    return f"{way.value} at step {step_number}"


def plan_of(run_id: str) -> RunPlan:
    """The plan of a run."""
    rng = random.Random(run_id)
    kinds = list(Cancelling)
    [cancelling] = rng.choices(kinds, weights=(46, 12, 8, 10, 16, 8))
    # A parked run has a step behind the one that parks it.
    step_count = rng.randint(2 if cancelling is Cancelling.PARKED else 1, STEP_COUNT_MAX)
    behind = 2 if cancelling is Cancelling.PARKED else 1
    max_attempts = rng.randint(2, 4) if rng.random() < 0.3 else MANY_ATTEMPTS
    steps = tuple(plan_step(rng, max_attempts) for _ in range(step_count))
    [way] = rng.choices(list(Way), weights=(64, 12, 12, 12))
    return RunPlan(
        steps,
        way,
        max_attempts,
        cancelling,
        cancel_step=rng.randint(0, step_count - behind),
        hook_raises=rng.random() < 0.15,
    )


def plan_step(rng: random.Random, max_attempts: int) -> StepPlan:
    """One step: most are short, few are not."""
    failure_count = rng.choice((0, 0, 0, 0, 0, 0, 1, 1, 2, 4))
    return StepPlan(
        failure_count=min(failure_count, max_attempts),
        retry_after=rng.choice((None, 0.001, 0.01)),
        memo_count=rng.choice((0, 0, 1, 2)),
        has_large_memos=rng.random() < 0.04,
        pause=rng.choice((0.0, 0.0, 0.0, rng.uniform(0, 0.01), rng.uniform(0, 0.05))),
        delay=rng.choice((None, None, None, 0.0, rng.uniform(0, 0.05))),
    )
