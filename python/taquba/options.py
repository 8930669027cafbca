"""Settings of an open store, of its queues, and of one job.

Invariants:
    1. A value is checked when it is given: an options object that exists is valid.
    2. Durations are `timedelta` once they are stored here, whichever way they were given.
    3. Numbers, names and limits are the engine's; nothing here repeats them.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, final

from taquba import _taquba
from taquba._checks import (
    Seconds,
    check_between,
    check_count,
    check_dedup,
    check_instance,
    check_job_fields,
    check_payload,
    check_priority,
    keep_durations,
    keep_headers,
    keep_optional_durations,
    refuse,
)
from taquba._taquba import MockClock, SystemClock

__all__ = [
    "ENQUEUE_DEFAULTS",
    "OPEN_DEFAULTS",
    "PRIORITY_HIGH",
    "PRIORITY_LOW",
    "PRIORITY_NORMAL",
    "SHUTDOWN_TIMEOUT",
    "STORE_TIMEOUT",
    "DedupScope",
    "EnqueueOptions",
    "NewJob",
    "OpenOptions",
    "QueueConfig",
    "RetryJitter",
    "as_new_jobs",
]

PRIORITY_HIGH: Final = _taquba.PRIORITY_HIGH
"""Claimed before normal jobs."""
PRIORITY_NORMAL: Final = _taquba.PRIORITY_NORMAL
"""What a job has if nobody says otherwise."""
PRIORITY_LOW: Final = _taquba.PRIORITY_LOW
"""Claimed after normal jobs."""

STORE_TIMEOUT: Final = timedelta(seconds=8)
"""How long a store may take to answer an open that does not say."""
SHUTDOWN_TIMEOUT: Final = timedelta(seconds=30)
"""How long deliveries in flight may take to end at a shutdown that does not say."""

_SYSTEM_CLOCK: Final = SystemClock()

DedupScope = Literal["waiting", "settled"]
"""How long a dedup key stays taken: until its job is claimed, or until it is settled."""


@final
class RetryJitter(enum.Enum):
    """How the delay before a retry is spread."""

    NONE = "none"
    """Exactly the backoff."""
    FULL = "full"
    """Uniform between zero and the backoff, so that the retries of one outage spread out."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class QueueConfig:
    """How one queue treats its jobs.

    Args:
        max_attempts: Deliveries before a job is dead-lettered, 1 to 1,000,000.
        lease_duration: How long a claim lasts if the claimer does not say.
        default_priority: Priority of a job that gives none; lower is claimed first.
        retry_backoff_base: Delay before the first retry; doubles with each further one.
        retry_backoff_max: The delay never grows beyond this.
        retry_jitter: How the delay is spread.
        keep_done_jobs: How long an acked job stays readable; `None` deletes it with the ack.
        dead_retention: How long a dead job stays readable; `None` keeps it for good.

    Raises:
        InvalidArgumentError: A value is outside its bounds; the message names both.
    """

    max_attempts: int = 3
    lease_duration: Seconds = timedelta(seconds=30)
    default_priority: int = PRIORITY_NORMAL
    retry_backoff_base: Seconds = timedelta(seconds=1)
    retry_backoff_max: Seconds = timedelta(seconds=300)
    retry_jitter: RetryJitter = RetryJitter.FULL
    keep_done_jobs: Seconds | None = None
    dead_retention: Seconds | None = timedelta(days=7)

    def __post_init__(self) -> None:
        """Check every field."""
        check_count("max_attempts", self.max_attempts, _taquba.MAX_ATTEMPTS_MAX)
        check_priority("default_priority", self.default_priority)
        check_instance("retry_jitter", self.retry_jitter, RetryJitter)
        keep_durations(self, "lease_duration", "retry_backoff_base", "retry_backoff_max")
        keep_optional_durations(self, "keep_done_jobs", "dead_retention")
        if self.lease_duration < timedelta(milliseconds=1):  # type: ignore[operator]
            refuse("lease_duration", self.lease_duration, "give at least 1 ms")

    @property
    def _retry_jitter(self) -> str:
        """The name by which the binding knows the jitter."""
        return self.retry_jitter.value


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class OpenOptions:
    """How a store is opened.

    Args:
        fsync: On a local disk: whether files and directories are synced before a call returns.
            `False` is faster and loses acknowledged work when the power fails.
        queue_configs: Settings of the queues that need their own, by name.
        default_queue_config: Settings of all other queues.
        store_timeout: How long the store may take to answer the first request before the open fails
            with `StoreUnavailableError`. A commit may take a minute before its calls fail with it.
        payload_offload_threshold: Payloads above this many bytes become objects of their own; 0 to
            4 MiB.
        heartbeat_interval: How often the owner shows that it is alive, 1 second to 1 hour; each
            time is one request.
        takeover: Whether the store is taken away from an owner that is alive. `False` fails with
            `StoreOwnedError` instead; an owner that shows no sign of life is always followed.
        clock: Where every time comes from; a `MockClock` in tests.

    Raises:
        InvalidQueueNameError: A key of `queue_configs` is not a queue name.
        InvalidArgumentError: A value is outside its bounds; the message names both.
    """

    fsync: bool = True
    queue_configs: Mapping[str, QueueConfig] = field(default_factory=dict)
    default_queue_config: QueueConfig = field(default_factory=QueueConfig)
    store_timeout: Seconds = STORE_TIMEOUT
    payload_offload_threshold: int = 256 * 1024
    heartbeat_interval: Seconds = timedelta(seconds=60)
    takeover: bool = True
    clock: SystemClock | MockClock = _SYSTEM_CLOCK

    def __post_init__(self) -> None:
        """Check every field."""
        check_instance("fsync", self.fsync, bool)
        check_instance("default_queue_config", self.default_queue_config, QueueConfig)
        check_instance("queue_configs", self.queue_configs, Mapping)
        for name, config in self.queue_configs.items():
            _taquba.check_text("queue_configs", name)
            _taquba.check_queue_name(name)
            check_instance("queue_configs", config, QueueConfig)
        object.__setattr__(self, "queue_configs", dict(self.queue_configs))
        check_instance("takeover", self.takeover, bool)
        check_instance("clock", self.clock, (SystemClock, MockClock))
        threshold_max = _taquba.PAYLOAD_INLINE_BYTES_MAX
        check_count("payload_offload_threshold", self.payload_offload_threshold, threshold_max, 0)
        keep_durations(self, "store_timeout", "heartbeat_interval")
        check_between(
            "heartbeat_interval",
            self.heartbeat_interval,
            _taquba.HEARTBEAT_MIN,
            _taquba.HEARTBEAT_MAX,
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class EnqueueOptions:
    """How one job is queued.

    Args:
        priority: 0 to 4,294,967,295, lower is claimed first; the queue's default if absent.
        run_at: When the job may be claimed: an aware `datetime`.
        delay: How long from now until it may be claimed; instead of `run_at`.
        dedup_key: At most one live job per queue and key, 1 to 1,024 bytes.
        dedup_scope: How long the key stays taken: until its job is claimed (`"waiting"`) or until
            it is settled (`"settled"`).
        headers: String metadata, at most 64 pairs and 64 KiB.
        max_attempts: Deliveries before the job is dead-lettered; the queue's default if absent.

    Raises:
        InvalidArgumentError: A value is outside its bounds; the message names both.
        InvalidDedupKeyError: The key is empty or too long.
        HeadersTooLargeError: Too many headers, or too long ones.
        ReservedHeaderError: A key starts with `workflow.`.
    """

    priority: int | None = None
    run_at: datetime | None = None
    delay: Seconds | None = None
    dedup_key: str | None = None
    dedup_scope: DedupScope = "waiting"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        check_job_fields(self.priority, self.run_at, self.max_attempts)
        if self.run_at is not None and self.delay is not None:
            refuse("delay", self.delay, "give `run_at` or `delay`, not both")
        check_dedup(self.dedup_key, self.dedup_scope)
        keep_headers(self, self.headers)
        keep_optional_durations(self, "delay")


OPEN_DEFAULTS: Final = OpenOptions()
"""How a store is opened that gives no options."""
ENQUEUE_DEFAULTS: Final = EnqueueOptions()
"""How a job is queued that gives no options."""


@final
@dataclass(frozen=True, slots=True)
class NewJob:
    """One job of a batch.

    Args:
        payload: What the worker receives, byte for byte.
        options: Priority, due time, dedup key, headers, attempts.
    """

    payload: bytes = field(repr=False)
    options: EnqueueOptions = ENQUEUE_DEFAULTS

    def __post_init__(self) -> None:
        """Check every field."""
        check_payload("payload", self.payload)
        check_instance("options", self.options, EnqueueOptions)


def as_new_jobs(jobs: Iterable[bytes | NewJob]) -> list[NewJob]:
    """Read the jobs of a batch. Not for users.

    Args:
        jobs: Payloads, or `NewJob` for those that have options.
    """
    check_instance("jobs", jobs, Iterable)
    return [job if isinstance(job, NewJob) else NewJob(job) for job in jobs]
