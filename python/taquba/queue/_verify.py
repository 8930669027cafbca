"""Scrubbing a store: everything in it is read, and compared with what it should be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from taquba import _taquba
from taquba._checks import Seconds
from taquba._port import Port
from taquba.options import STORE_TIMEOUT
from taquba.queue._owner import Owner
from taquba.store import StoreLike, resolve

__all__ = ["Problem", "VerifyReport", "verify"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something in a store that is not as it was written.

    Args:
        kind: A stable name, such as `damaged-object`, `damaged-record` or `payload-missing`.
        object: The object, below the queue's path, or the record.
        detail: What is wrong with it.
        remedy: What to do about it.
    """

    kind: str
    object: str
    detail: str
    remedy: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """What a scrub has found. Counts are of what could be read.

    Args:
        path: What messages call the store.
        row_count: Records of every kind.
        row_bytes: Bytes of their keys and values.
        job_count: Jobs: waiting, claimed, done and dead.
        run_count: Runs: live and ended.
        memo_count: Memos that are kept with the queue.
        key_count: Keys of the key-value space.
        queue_count: Queues.
        quarantined_count: Records found damaged earlier, and moved aside.
        payload_object_count: Large payloads that were read.
        payload_bytes: Their bytes.
        orphan_count: Large payloads that no record names: uploads under way, or what a crash has
            left. The next owner deletes them.
        object_count: Objects of every kind below the queue's path.
        object_bytes: Their bytes.
        owner: Who owns the store; `None` if the last owner closed it in order.
        problems: What is wrong, the first 1,000.
        problem_count: How much is wrong.
        is_complete: Whether every record was read. If not, records were not compared and large
            payloads not read.
    """

    path: str
    row_count: int
    row_bytes: int
    job_count: int
    run_count: int
    memo_count: int
    key_count: int
    queue_count: int
    quarantined_count: int
    payload_object_count: int
    payload_bytes: int
    orphan_count: int
    object_count: int
    object_bytes: int
    owner: Owner | None
    problems: Sequence[Problem]
    problem_count: int
    is_complete: bool

    @property
    def is_clean(self) -> bool:
        """Whether everything is as it was written."""
        return self.problem_count == 0


async def verify(
    store: StoreLike,
    path: str = "taquba",
    *,
    store_timeout: Seconds = STORE_TIMEOUT,
) -> VerifyReport:
    """Read everything in a store, and look for damage.

    Reads every record, every large payload and every object of the storage engine. Never writes,
    and takes nothing away from the store's owner, who may be at work. Damage is reported, not
    raised.

    Cancellation: the scrub goes on in the background, and its result is dropped.

    Args:
        store: A URL, a directory, or a store object, as for `Queue.open`.
        path: Where in the store.
        store_timeout: How long the store may take to answer.

    Raises:
        InvalidStoreError: The store cannot be used as given.
        StoreNotFoundError: There is no such bucket, directory or queue.
        StorePermissionError: The store refuses the credentials.
        StoreUnavailableError: No answer within `store_timeout`, or none while it was read.
        UnsupportedFormatError: A newer version of taquba wrote the store.

    Example:
        >>> report = await verify("s3://bucket/jobs")
        >>> assert report.is_clean, report.problems
    """
    _taquba.check_text("path", path)
    timeout = _taquba.duration("store_timeout", store_timeout)
    port = Port()
    try:
        fields = await port.call(_taquba.verify_store, port.native, resolve(store), path, timeout)
    finally:
        port.close(path)
    owner = fields.pop("owner")
    problems = [Problem(**problem) for problem in fields.pop("problems")]
    return VerifyReport(
        owner=None if owner is None else Owner(**owner), problems=problems, **fields
    )
