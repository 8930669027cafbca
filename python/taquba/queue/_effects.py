"""What a settlement does besides: jobs to enqueue, keys to write.

Invariants:
    1. Effects and the settlement that carries them are one commit: all of it happens, or none.
    2. Types, names, keys and options are checked when they are added; the sizes of payloads and
       values, and how many effects there are, when they are applied: then nothing is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, final

from taquba import _taquba, _tracing
from taquba._checks import check_instance, check_payload
from taquba.options import ENQUEUE_DEFAULTS, EnqueueOptions, NewJob, as_new_jobs

__all__ = ["Effects", "KeyWrite", "NewJobs", "staged"]


@final
class Effects:
    """What else happens in the commit that settles a job. Each method returns the object itself.

    At most 1,000 effects fit one settlement, jobs counted one by one. That, and the sizes of
    payloads and values, are checked when the job is settled; if anything is refused, nothing
    changes, and the claim may be settled again. All else is checked when it is added.

    Example:
        >>> effects = Effects().enqueue("emails", b"a@example.com").kv_put("sent/42", b"1")
        >>> await queue.ack_with(claim, effects)
    """

    __slots__ = ("_count", "_staged")

    def __init__(self) -> None:
        self._staged: list[NewJobs | KeyWrite] = []
        self._count = 0

    def enqueue(
        self, queue: str, payload: bytes, options: EnqueueOptions = ENQUEUE_DEFAULTS
    ) -> Self:
        """Add a job to a queue.

        Args:
            queue: Queue name, as for `Queue.enqueue`.
            payload: What the worker receives, byte for byte; at most 64 MiB.
            options: Priority, due time, dedup key, headers, attempts.

        Raises:
            InvalidQueueNameError: The name breaks its rule.
        """
        return self.enqueue_batch(queue, (NewJob(payload, options),))

    def enqueue_batch(self, queue: str, jobs: Iterable[bytes | NewJob]) -> Self:
        """Add jobs to a queue, in this order.

        Args:
            queue: Queue name, as for `Queue.enqueue`.
            jobs: Payloads, or `NewJob` for those that have options.

        Raises:
            InvalidQueueNameError: The name breaks its rule.
        """
        _taquba.check_queue_name(queue)
        new_jobs = as_new_jobs(jobs)
        # Enqueued by a settlement, much later maybe: what they belong to is known now.
        tracer = _tracing.active
        if tracer is not None:
            new_jobs = tracer.told(new_jobs)
        if new_jobs:
            self._staged.append(NewJobs(queue, new_jobs))
            self._count += len(new_jobs)
        return self

    def kv_put(self, key: str, value: bytes) -> Self:
        """Set a key.

        Args:
            key: 1 to 1,024 bytes of any text.
            value: At most 256 KiB.

        Raises:
            InvalidKeyError: The key is empty or too long.
        """
        _taquba.check_key(key)
        check_payload("value", value)
        self._staged.append(KeyWrite(key, value))
        self._count += 1
        return self

    def kv_delete(self, key: str) -> Self:
        """Remove a key, if it is there.

        Args:
            key: 1 to 1,024 bytes of any text.

        Raises:
            InvalidKeyError: The key is empty or too long.
        """
        _taquba.check_key(key)
        self._staged.append(KeyWrite(key, None))
        self._count += 1
        return self

    def __len__(self) -> int:
        """Return how many there are, jobs counted one by one."""
        return self._count

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"Effects(<{self._count} effects>)"


@final
@dataclass(frozen=True, slots=True)
class NewJobs:
    """Jobs to enqueue, as the binding takes them."""

    queue: str
    jobs: list[NewJob]


@final
@dataclass(frozen=True, slots=True)
class KeyWrite:
    """A key to set, or to remove if there is no value, as the binding takes it."""

    key: str
    value: bytes | None


def staged(effects: Effects) -> list[NewJobs | KeyWrite]:
    """Return what the binding takes."""
    check_instance("effects", effects, Effects)
    return effects._staged  # noqa: SLF001 - the same module
