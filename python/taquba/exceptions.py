"""Everything taquba raises on purpose.

::

    TaqubaError                      code, recovery
    ├── InvalidArgumentError         (ValueError)   name, value, remedy
    │   └── ArgumentTypeError        (TypeError)
    ├── InvalidQueueNameError        (ValueError)   name
    ├── TooManyQueuesError           (ValueError)   name
    ├── InvalidRunIdError            (ValueError)   run_id
    ├── InvalidJobIdError            (ValueError)   job_id
    ├── PayloadTooLargeError         (ValueError)   size_bytes
    ├── ResultTooLargeError          (ValueError)   size_bytes
    ├── InvalidKeyError              (ValueError)   size_bytes
    ├── ValueTooLargeError           (ValueError)   size_bytes
    ├── TooManyEffectsError          (ValueError)   count
    ├── HeadersTooLargeError         (ValueError)   count, size_bytes
    ├── ReservedHeaderError          (ValueError)   key
    ├── InvalidDedupKeyError         (ValueError)   size_bytes
    ├── BatchTooLargeError           (ValueError)   count
    ├── InvalidStoreError            (ValueError)   location, remedy
    ├── InputMismatchError           (ValueError)   run_id
    ├── JobNotFoundError             (LookupError)  job_id
    ├── WrongJobStateError                          job_id, state, remedy
    ├── RunNotFoundError             (LookupError)  run_id
    ├── ClaimLostError                              job_id, lease
    ├── FencedError                                 path
    ├── StoreOwnedError                             path, host, pid, since
    ├── ReadOnlyError                               path, call
    ├── StorePermissionError         (PermissionError)    path, detail
    ├── StoreNotFoundError           (FileNotFoundError)  path, detail
    ├── StoreUnavailableError        (ConnectionError)    path, detail
    ├── CorruptedError                              path, detail
    ├── MemoCorruptedError                          place, detail
    ├── MemoTooLargeError            (ValueError)   size_bytes
    ├── UnsupportedFormatError                      path, found, supported
    ├── ClosedError                                 path
    ├── InternalError                               detail
    ├── WebhookVerificationError     (ValueError)   reason
    └── ForkError

A handler needs two things: the class, or ``code``, says what happened; ``recovery`` says what to
do. Codes are stable. ``PermanentFailure``, ``TransientFailure`` and ``workflow.StepError`` are not
here: workers and runners raise them, taquba never does.
"""

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar, Final, final

from taquba._redact import redact_text

__all__ = [
    "BY_CODE",
    "ArgumentTypeError",
    "BatchTooLargeError",
    "ClaimLostError",
    "ClosedError",
    "CorruptedError",
    "FencedError",
    "ForkError",
    "HeadersTooLargeError",
    "InputMismatchError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidDedupKeyError",
    "InvalidJobIdError",
    "InvalidKeyError",
    "InvalidQueueNameError",
    "InvalidRunIdError",
    "InvalidStoreError",
    "JobNotFoundError",
    "MemoCorruptedError",
    "MemoTooLargeError",
    "PayloadTooLargeError",
    "ReadOnlyError",
    "Recovery",
    "ReservedHeaderError",
    "ResultTooLargeError",
    "RunNotFoundError",
    "StoreNotFoundError",
    "StoreOwnedError",
    "StorePermissionError",
    "StoreUnavailableError",
    "TaqubaError",
    "TooManyEffectsError",
    "TooManyQueuesError",
    "UnsupportedFormatError",
    "ValueTooLargeError",
    "WebhookVerificationError",
    "WrongJobStateError",
]


@final
class Recovery(enum.Enum):
    """What to do about an error."""

    RETRY = "retry"
    """The same call may succeed later."""
    FIX_INPUT = "fix-input"
    """The call is wrong: change its arguments, or what it refers to."""
    REOPEN = "reopen"
    """This queue object is done for: open the queue again."""
    DROP = "drop"
    """The work at hand is no longer ours: drop it."""


class TaqubaError(Exception):
    """The base of all errors.

    Args:
        message: What happened, which thing it concerns, and what to do.
        **fields: The attributes of the class, by name.
    """

    code: ClassVar[str]
    """A stable, machine-readable name."""
    recovery: ClassVar[Recovery]
    """What a handler should do."""

    def __init__(self, message: str, **fields: object) -> None:
        # A store repeats what it was sent: its answer to a wrong signature has the session's token.
        detail = fields.get("detail")
        if isinstance(detail, str):
            message, fields["detail"] = redact_text(message), redact_text(detail)
        super().__init__(message)
        self.__dict__.update(fields)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the fields, which are keyword-only."""
        return _rebuild, (type(self), str(self), dict(self.__dict__))


def _rebuild(
    error_class: type[TaqubaError], message: str, fields: Mapping[str, object]
) -> TaqubaError:
    return error_class(message, **fields)


class InvalidArgumentError(TaqubaError, ValueError):
    """An argument is outside its bounds."""

    code = "invalid-argument"
    recovery = Recovery.FIX_INPUT
    name: str
    value: str
    remedy: str


class ArgumentTypeError(InvalidArgumentError, TypeError):
    """An argument has another type than asked for. Both a `ValueError` and a `TypeError`."""

    code = "invalid-type"


class InvalidQueueNameError(TaqubaError, ValueError):
    """A queue's name breaks its rule."""

    code = "invalid-queue-name"
    recovery = Recovery.FIX_INPUT
    name: str


class TooManyQueuesError(TaqubaError, ValueError):
    """A queue would be one more than a store can have."""

    code = "too-many-queues"
    recovery = Recovery.FIX_INPUT
    name: str


class InvalidRunIdError(TaqubaError, ValueError):
    """A run id breaks its rule."""

    code = "invalid-run-id"
    recovery = Recovery.FIX_INPUT
    run_id: str


class InvalidJobIdError(TaqubaError, ValueError):
    """A text is not a job id."""

    code = "invalid-job-id"
    recovery = Recovery.FIX_INPUT
    job_id: str


class PayloadTooLargeError(TaqubaError, ValueError):
    """A payload is too large for a job."""

    code = "payload-too-large"
    recovery = Recovery.FIX_INPUT
    size_bytes: int


class ResultTooLargeError(TaqubaError, ValueError):
    """The result of a run is too large for its row."""

    code = "result-too-large"
    recovery = Recovery.FIX_INPUT
    size_bytes: int


class InvalidKeyError(TaqubaError, ValueError):
    """A key of the key-value space is empty or too long."""

    code = "invalid-key"
    recovery = Recovery.FIX_INPUT
    size_bytes: int


class ValueTooLargeError(TaqubaError, ValueError):
    """A value of the key-value space is too large."""

    code = "value-too-large"
    recovery = Recovery.FIX_INPUT
    size_bytes: int


class TooManyEffectsError(TaqubaError, ValueError):
    """One settlement was to do more than one commit can carry."""

    code = "too-many-effects"
    recovery = Recovery.FIX_INPUT
    count: int


class HeadersTooLargeError(TaqubaError, ValueError):
    """Too many headers, or too long ones."""

    code = "headers-too-large"
    recovery = Recovery.FIX_INPUT
    count: int
    size_bytes: int


class ReservedHeaderError(TaqubaError, ValueError):
    """A header key starts with `workflow.`, which only the runtime may set."""

    code = "reserved-header"
    recovery = Recovery.FIX_INPUT
    key: str


class InvalidDedupKeyError(TaqubaError, ValueError):
    """A dedup key is empty or too long."""

    code = "invalid-dedup-key"
    recovery = Recovery.FIX_INPUT
    size_bytes: int


class BatchTooLargeError(TaqubaError, ValueError):
    """More was given at once than one commit can carry."""

    code = "batch-too-large"
    recovery = Recovery.FIX_INPUT
    count: int


class InvalidStoreError(TaqubaError, ValueError):
    """A store cannot be used as given."""

    code = "invalid-store"
    recovery = Recovery.FIX_INPUT
    location: str
    remedy: str


class InputMismatchError(TaqubaError, ValueError):
    """A run with this id was submitted with another input."""

    code = "input-mismatch"
    recovery = Recovery.FIX_INPUT
    run_id: str


class JobNotFoundError(TaqubaError, LookupError):
    """No such job: it never was, was settled and not kept, or was removed."""

    code = "job-not-found"
    recovery = Recovery.FIX_INPUT
    job_id: str


class WrongJobStateError(TaqubaError):
    """A job is not in a state in which this can be done to it."""

    code = "wrong-job-state"
    recovery = Recovery.FIX_INPUT
    job_id: str
    state: str
    remedy: str


class RunNotFoundError(TaqubaError, LookupError):
    """No such run, or its retention has passed."""

    code = "run-not-found"
    recovery = Recovery.FIX_INPUT
    run_id: str


class ClaimLostError(TaqubaError):
    """A claim is over: what was to be recorded with it was not."""

    code = "claim-lost"
    recovery = Recovery.DROP
    job_id: str
    lease: timedelta


class FencedError(TaqubaError):
    """Another process opened the store and owns it now."""

    code = "fenced"
    recovery = Recovery.REOPEN
    path: str


class StoreOwnedError(TaqubaError):
    """Another process owns the store and is alive, and `OpenOptions.takeover` is `False`."""

    code = "store-owned"
    recovery = Recovery.RETRY
    path: str
    host: str
    pid: int
    since: datetime
    """In UTC, by that process's clock."""

    def __init__(self, message: str, **fields: object) -> None:
        since = fields.get("since")
        if isinstance(since, str):
            fields["since"] = datetime.fromisoformat(since)
        super().__init__(message, **fields)


class ReadOnlyError(TaqubaError):
    """A `QueueReader` was asked to change the store."""

    code = "read-only"
    recovery = Recovery.FIX_INPUT
    path: str
    call: str


class StorePermissionError(TaqubaError, PermissionError):
    """The store refuses the credentials, or a right is missing."""

    code = "permission-denied"
    recovery = Recovery.FIX_INPUT
    path: str
    detail: str


class StoreNotFoundError(TaqubaError, FileNotFoundError):
    """The bucket, container or directory is not there."""

    code = "store-not-found"
    recovery = Recovery.FIX_INPUT
    path: str
    detail: str


class StoreUnavailableError(TaqubaError, ConnectionError):
    """The store did not answer in time."""

    code = "store-unavailable"
    recovery = Recovery.RETRY
    path: str
    detail: str


class CorruptedError(TaqubaError):
    """Bytes in the store are not what was written."""

    code = "corrupted"
    recovery = Recovery.FIX_INPUT
    path: str
    detail: str


class MemoCorruptedError(TaqubaError):
    """The bytes of a memo are not what was written."""

    code = "memo-corrupted"
    recovery = Recovery.FIX_INPUT
    place: str
    detail: str


class MemoTooLargeError(TaqubaError, ValueError):
    """The value of a memo is too large."""

    code = "memo-too-large"
    recovery = Recovery.FIX_INPUT
    size_bytes: int


class UnsupportedFormatError(TaqubaError):
    """The store was written by a newer version."""

    code = "unsupported-format"
    recovery = Recovery.FIX_INPUT
    path: str
    found: int
    supported: int


class ClosedError(TaqubaError):
    """The queue was closed by this process."""

    code = "closed"
    recovery = Recovery.REOPEN
    path: str


class InternalError(TaqubaError):
    """A bug: an invariant of taquba is broken."""

    code = "internal"
    recovery = Recovery.REOPEN
    detail: str


class ForkError(TaqubaError):
    """The queue was opened before this process was forked."""

    code = "forked"
    recovery = Recovery.REOPEN


class WebhookVerificationError(TaqubaError, ValueError):
    """A webhook that was received is not what its sender signed, or not now."""

    code = "webhook-verification"
    recovery = Recovery.FIX_INPUT
    reason: str


BY_CODE: Final[Mapping[str, type[TaqubaError]]] = {
    error.code: error
    for error in (
        InvalidArgumentError,
        ArgumentTypeError,
        InvalidQueueNameError,
        TooManyQueuesError,
        InvalidRunIdError,
        InvalidJobIdError,
        PayloadTooLargeError,
        ResultTooLargeError,
        InvalidKeyError,
        ValueTooLargeError,
        TooManyEffectsError,
        HeadersTooLargeError,
        ReservedHeaderError,
        InvalidDedupKeyError,
        BatchTooLargeError,
        InvalidStoreError,
        InputMismatchError,
        JobNotFoundError,
        WrongJobStateError,
        RunNotFoundError,
        ClaimLostError,
        FencedError,
        StoreOwnedError,
        ReadOnlyError,
        StorePermissionError,
        StoreNotFoundError,
        StoreUnavailableError,
        CorruptedError,
        MemoCorruptedError,
        MemoTooLargeError,
        UnsupportedFormatError,
        ClosedError,
        InternalError,
        ForkError,
        WebhookVerificationError,
    )
}
"""Every class by its code; the binding raises by it."""
