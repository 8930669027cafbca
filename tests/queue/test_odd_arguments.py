"""Arguments that Python allows and UTF-8, or a small number, does not: refused by name, shortly."""

import copy
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from taquba import (
    Claim,
    Effects,
    EnqueueOptions,
    OpenOptions,
    Queue,
    QueueConfig,
    QueueReader,
    SystemClock,
)
from taquba.exceptions import ArgumentTypeError, InvalidArgumentError, InvalidJobIdError
from taquba.workflow import RunSpec, StepOutcome
from tests.waiting import claim_one

LONE = "a\ud800b"
HUGE = 10**5000
LONG = "x" * 1_000_000
# What names the argument, the shortened value, the limits and the remedy; not what was given.
MESSAGE_MAX = 400

Call = Callable[[Queue], object]

NAMES: dict[str, tuple[str, Call]] = {
    "enqueue": ("queue", lambda q: q.enqueue(LONE, b"")),
    "enqueue_batch": ("queue", lambda q: q.enqueue_batch(LONE, [b""])),
    "claim": ("queue", lambda q: q.claim(LONE)),
    "claim_with_wait": ("queue", lambda q: q.claim_with_wait(LONE, timeout=0)),
    "purge_dead": ("queue", lambda q: q.purge_dead(LONE)),
    "list_jobs": ("queue", lambda q: q.list_jobs(LONE)),
    "get_job": ("job_id", lambda q: q.get_job(LONE)),
    "attempt_history": ("job_id", lambda q: q.attempt_history(LONE)),
    "cancel": ("job_id", lambda q: q.cancel(LONE)),
    "wake_scheduled": ("job_id", lambda q: q.wake_scheduled(LONE)),
    "requeue_dead_job": ("job_id", lambda q: q.requeue_dead_job(LONE)),
    "kv_get": ("key", lambda q: q.kv_get(LONE)),
    "kv_put": ("key", lambda q: q.kv_put(LONE, b"")),
    "kv_delete": ("key", lambda q: q.kv_delete(LONE)),
    "kv_compare_put": ("key", lambda q: q.kv_compare_put(LONE, None, b"")),
    "kv_compare_delete": ("key", lambda q: q.kv_compare_delete(LONE, b"")),
    "prefix": ("prefix", lambda q: q.kv_scan(LONE)),
    "start": ("start", lambda q: q.kv_scan(start=LONE)),
    "end": ("end", lambda q: q.kv_scan(end=LONE)),
    "cursor of keys": ("cursor", lambda q: q.kv_scan(cursor=f"after:{LONE}")),
    "cursor of jobs": ("cursor", lambda q: q.list_jobs("emails", cursor=LONE)),
    "dedup_key": ("dedup_key", lambda _: EnqueueOptions(dedup_key=LONE)),
    "key of headers": ("headers", lambda _: EnqueueOptions(headers={LONE: ""})),
    "value of headers": ("headers", lambda _: EnqueueOptions(headers={"k": LONE})),
    "headers of a run": ("headers", lambda _: RunSpec(b"", headers={"k": LONE})),
    "run_id": ("run_id", lambda _: RunSpec(b"", run_id=LONE)),
    "Effects.enqueue": ("queue", lambda _: Effects().enqueue(LONE, b"")),
    "Effects.kv_put": ("key", lambda _: Effects().kv_put(LONE, b"")),
    "Effects.kv_delete": ("key", lambda _: Effects().kv_delete(LONE)),
    "path": ("path", lambda _: Queue.open("memory://", LONE)),
    "path of a reader": ("path", lambda _: QueueReader.open("memory://", LONE)),
    "URL": ("store", lambda _: Queue.open(f"s3://{LONE}")),
    "URL of a reader": ("store", lambda _: QueueReader.open(f"s3://{LONE}")),
    "queue_configs": (
        "queue_configs",
        lambda _: OpenOptions(queue_configs={LONE: QueueConfig()}),
    ),
}

REFUSED: dict[str, tuple[str, type[Exception], Call]] = {
    "a batch of None": (
        "jobs",
        ArgumentTypeError,
        lambda q: q.enqueue_batch("emails", None),  # type: ignore[arg-type]
    ),
    "a batch of a number": (
        "jobs",
        ArgumentTypeError,
        lambda q: q.enqueue_batch("emails", 1),  # type: ignore[arg-type]
    ),
    "effects of None": (
        "jobs",
        ArgumentTypeError,
        lambda _: Effects().enqueue_batch("emails", None),  # type: ignore[arg-type]
    ),
    "a scope in a list": (
        "dedup_scope",
        ArgumentTypeError,
        lambda _: EnqueueOptions(dedup_key="k", dedup_scope=["waiting"]),  # type: ignore[arg-type]
    ),
    "priority": ("priority", InvalidArgumentError, lambda _: EnqueueOptions(priority=HUGE)),
    "negative priority": (
        "priority",
        InvalidArgumentError,
        lambda _: EnqueueOptions(priority=-HUGE),
    ),
    "max_attempts": (
        "max_attempts",
        InvalidArgumentError,
        lambda _: EnqueueOptions(max_attempts=HUGE),
    ),
    "limit": ("limit", InvalidArgumentError, lambda q: q.list_jobs("emails", limit=HUGE)),
    "count_max": ("count_max", InvalidArgumentError, lambda q: q.claim_batch("emails", HUGE)),
    "delay": ("delay", InvalidArgumentError, lambda _: EnqueueOptions(delay=10**400)),
    "huge delay": ("delay", InvalidArgumentError, lambda _: EnqueueOptions(delay=HUGE)),
    "lease": ("lease", InvalidArgumentError, lambda q: q.claim("emails", lease=-HUGE)),
    "store_timeout": (
        "store_timeout",
        InvalidArgumentError,
        lambda _: OpenOptions(store_timeout=10**400),
    ),
    "long cursor of jobs": (
        "cursor",
        InvalidArgumentError,
        lambda q: q.list_jobs("emails", cursor=LONG),
    ),
    "long cursor of keys": ("cursor", InvalidArgumentError, lambda q: q.kv_scan(cursor=LONG)),
    "long scope": (
        "dedup_scope",
        InvalidArgumentError,
        lambda _: EnqueueOptions(dedup_scope=LONG),  # type: ignore[arg-type]
    ),
}

NOT_ABSENT: dict[str, tuple[str, Callable[[Any], object]]] = {
    "store_timeout": ("store_timeout", lambda none: OpenOptions(store_timeout=none)),
    "heartbeat_interval": (
        "heartbeat_interval",
        lambda none: OpenOptions(heartbeat_interval=none),
    ),
    "lease_duration": ("lease_duration", lambda none: QueueConfig(lease_duration=none)),
    "retry_backoff_base": (
        "retry_backoff_base",
        lambda none: QueueConfig(retry_backoff_base=none),
    ),
    "retry_backoff_max": ("retry_backoff_max", lambda none: QueueConfig(retry_backoff_max=none)),
}


async def carry_out(call: Call, queue: Queue) -> None:
    """Makes a call, and awaits it if it is not refused before."""
    made = call(queue)
    assert isinstance(made, Awaitable)
    await made


@pytest.mark.parametrize("case", NAMES)
async def test_a_name_with_a_lone_surrogate_is_refused(queue: Queue, case: str) -> None:
    name, call = NAMES[case]

    with pytest.raises(InvalidArgumentError) as caught:
        await carry_out(call, queue)

    error = caught.value
    assert (type(error), error.name) == (InvalidArgumentError, name)
    for word in (f"`{name}`", r"a\ud800b", "contains a lone surrogate", "remove"):
        assert word in str(error)
    assert str(error).encode()


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_is_shown_shortly(queue: Queue, case: str) -> None:
    name, kind, call = REFUSED[case]

    with pytest.raises(InvalidArgumentError) as caught:
        await carry_out(call, queue)

    error = caught.value
    assert (type(error), error.name) == (kind, name)
    assert len(str(error)) < MESSAGE_MAX
    assert len(error.value) < MESSAGE_MAX


@pytest.mark.parametrize("case", NOT_ABSENT)
def test_an_option_that_has_to_be_there_is_refused_without_it(case: str) -> None:
    name, make = NOT_ABSENT[case]

    with pytest.raises(ArgumentTypeError) as caught:
        make(None)

    assert caught.value.name == name


def test_an_option_that_may_be_absent_may_be_absent() -> None:
    config = QueueConfig(keep_done_jobs=None, dead_retention=None)

    assert (config.keep_done_jobs, config.dead_retention) == (None, None)
    assert EnqueueOptions(delay=None).delay is None


@pytest.mark.parametrize("how", ["nack", "dead_letter", "nack_with", "dead_letter_with"])
async def test_a_reason_with_a_lone_surrogate_is_kept_escaped(queue: Queue, how: str) -> None:
    job_id = await queue.enqueue("emails", b"", EnqueueOptions(max_attempts=1))
    claim = await claim_one(queue, "emails")

    await settle(queue, how, claim)

    assert (await queue.get_job(job_id)).last_error == r"a\ud800b"


async def settle(queue: Queue, how: str, claim: Claim) -> None:
    """One of the settlements that take a reason."""
    effects = (Effects(),) if how.endswith("_with") else ()
    await getattr(queue, how)(claim, LONE, *effects)


def test_an_outcome_keeps_such_a_reason_escaped() -> None:
    assert StepOutcome.Fail(LONE).reason == r"a\ud800b"
    assert StepOutcome.Cancel(LONE).reason == r"a\ud800b"


@pytest.mark.parametrize(
    "text",
    ["+000000000000001", "-000000000000001", "FFFFFFFFFFFFFFFF", "0x00000000000001", " 1"],
)
async def test_an_id_or_a_cursor_has_exactly_one_text(queue: Queue, text: str) -> None:
    with pytest.raises(InvalidJobIdError):
        await queue.get_job(text)
    with pytest.raises(InvalidArgumentError, match="cursor"):
        await queue.list_jobs("emails", cursor=text)


@pytest.mark.parametrize("turn", ["+1", "01", "0", "-1", ""])
async def test_the_turn_of_an_id_has_exactly_one_text(queue: Queue, turn: str) -> None:
    with pytest.raises(InvalidJobIdError):
        await queue.get_job(f"0000000000000001-{turn}")


def test_options_survive_pickling_and_copying() -> None:
    options = OpenOptions(queue_configs={"emails": QueueConfig(max_attempts=9)}, takeover=False)

    loaded = pickle.loads(pickle.dumps(options))  # noqa: S301 - our own bytes

    for other in (loaded, copy.copy(options), copy.deepcopy(options)):
        assert other.queue_configs == options.queue_configs
        assert (other.takeover, other.store_timeout) == (False, options.store_timeout)
        assert isinstance(other.clock, SystemClock)


def test_two_types_of_one_name_are_told_apart() -> None:
    namesake = type("EnqueueOptions", (), {"__module__": "elsewhere"})()
    text = type("str", (), {"__module__": "elsewhere"})()

    with pytest.raises(ArgumentTypeError) as caught:
        Effects().enqueue("emails", b"", namesake)
    with pytest.raises(ArgumentTypeError) as caught_text:
        EnqueueOptions(dedup_key=text)

    assert "`elsewhere.EnqueueOptions`" in str(caught.value)
    assert "`taquba.options.EnqueueOptions`" in str(caught.value)
    assert "`elsewhere.str`" in str(caught_text.value)


async def test_calls_take_their_arguments_in_the_order_of_the_specification(queue: Queue) -> None:
    job_ids = await queue.enqueue_batch("emails", [b"1", b"2", b"3"])
    claim = await queue.claim("emails", 12.5)
    others = await queue.claim_batch("emails", 2, 12.5)
    assert claim is not None
    for one in (claim, *others):
        assert one.lease is not None
        assert one.lease.total_seconds() == 12.5
        await queue.dead_letter(one, "no")

    page = await queue.dead_jobs("emails", None, 2)
    rest = await queue.list_jobs("emails", None, page.cursor, 2)

    assert [job.job_id for job in [*page.jobs, *rest.jobs]] == job_ids
