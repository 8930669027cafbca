"""The compiled part of taquba. Not public: import from `taquba`.

A method of `Port` takes the future of its answer and returns whether the request still needs a
flush; one that may be answered late also returns its ticket, for `withdraw`.
"""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Never, Self, TypeAlias, TypeVar, final

from typing_extensions import disjoint_base

from taquba.memo import Memo
from taquba.options import NewJob, OpenOptions
from taquba.queue import CancelToken
from taquba.queue._effects import KeyWrite, NewJobs
from taquba.queue._kv import KvRange
from taquba.workflow import RunSpec, StepLease, TerminalStatus

_T = TypeVar("_T")

# Name, bytes, instant in milliseconds, entity tag, version, metadata, body.
_Shown: TypeAlias = tuple[str, int, int | None, str | None, str | None, dict[str, str], bytes]
_Said: TypeAlias = tuple[str, str, Sequence[_Shown]]

BATCH_COUNT_MAX: int
CLAIM_COUNT_MAX: int
CONCURRENCY_MAX: int
DEDUP_KEY_BYTES_MAX: int
DURATION_MAX: timedelta
ERROR_CODES: dict[str, str]
HEADER_RUN_ID: str
HEADER_STEP: str
HEARTBEAT_MAX: timedelta
HEARTBEAT_MIN: timedelta
LIST_COUNT_MAX: int
MAX_ATTEMPTS_MAX: int
PAYLOAD_BYTES_MAX: int
PAYLOAD_INLINE_BYTES_MAX: int
PRIORITY_HIGH: int
PRIORITY_LOW: int
PRIORITY_NORMAL: int
PURGE_COUNT_MAX: int
RESERVED_HEADER_PREFIX: str
__version__: str

def after_fork_in_child() -> None:
    """Note that this process is a forked child. Registered with `os.register_at_fork`."""

def check_headers(headers: object) -> None:
    """Refuse headers that the engine would refuse."""

def check_key(_key: str) -> None:
    """Refuse a key that the engine would refuse."""

def check_queue_name(_name: str) -> None:
    """Refuse a queue name that the engine would refuse."""

def check_run_id(_run_id: str) -> None:
    """Refuse a run id that the engine would refuse."""

def check_text(name: str, value: object) -> None:
    """Refuse an argument that is not text, or is none that UTF-8 can encode."""

def close_all() -> None:
    """Close every queue that is still open, within a bound. Registered with `atexit`."""

def duration(name: str, value: float | timedelta) -> timedelta:
    """Read a duration, whichever way it was given."""

def fork_memory(store: MemoryStore, /) -> MemoryStore:
    """A second memory store, with what the first one holds at this instant.

    What a process leaves behind that dies now: its later writes reach the first store only.
    """

def set_log_level(level: int) -> None:
    """Change the level, 0 for nothing."""

def read_memo(
    future: Future[bytes | None], port: Port, run_id: str, step_number: int, key: bytes
) -> bool:
    """Read a memo of a run, live or ended, that is kept with it."""

def shown(value: object) -> str:
    """What an error shows of a value: its `repr`, shortened."""

def start_logs(level: int) -> int:
    """Listen to native events, at `level` (1 for errors to 5 for traces).

    Returns the descriptor that is readable while something waits.
    """

def stop_logs() -> None:
    """Listen no longer, and give the descriptor back."""

def take_logs() -> tuple[list[tuple[int, int, str, int, str, list[tuple[str, str]]]], int]:
    """Take all there is. Returns the entries, and how many found no room since the last call.

    An entry is when (ms since the epoch), how urgent, who, which line, what, and its fields.
    """

def verify_store(
    future: Future[dict[str, Any]],
    port: Port,
    store: object,
    path: str,
    store_timeout: timedelta,
) -> bool:
    """Read all of a store, whoever owns it. Resolves to the fields of `VerifyReport`."""

def wake_logs() -> None:
    """Make the descriptor of `start_logs` readable."""

@final
class SystemClock:
    """The machine's clocks."""

    def __new__(cls) -> Self: ...

@final
class MockClock:
    """A clock for tests: it stands still until it is advanced.

    One clock may serve several queues.

    Args:
        now: What it shows at first, an aware `datetime`; 2030-01-01 in UTC if absent.
    """

    def __new__(cls, now: datetime | None = None) -> Self: ...
    def advance(self, seconds: float | timedelta) -> None:
        """Move the clock forward, for every queue that uses it.

        What becomes due is done by the engines afterwards, on their own threads.

        Args:
            seconds: How far: `float` seconds or a `timedelta`.
        """

    def now(self) -> datetime:
        """What the clock shows, in UTC."""

@final
class Engine:
    """An open store, owned or only read, shared by the event loops that use it."""

    def abandon(self) -> None:
        """Close it, without waiting for that: whoever opened it has given up."""

@final
class Port:
    """One event loop's door to the engine."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int | None: ...
    def begin_turn(
        self,
    ) -> list[
        tuple[Callable[[Step | Notification | Claim], None], list[Step | Notification | Claim]]
    ]: ...
    def end_turn(self) -> bool: ...
    def has_backlog(self) -> bool: ...
    def flush(self) -> None: ...
    def open(
        self,
        future: Future[Engine],
        store: object,
        path: str,
        options: OpenOptions,
        opener: tuple[str, int, int],
    ) -> None: ...
    def open_reader(
        self, future: Future[Engine], store: object, path: str, store_timeout: timedelta
    ) -> None: ...
    def attach(self, engine: Engine) -> None: ...
    def close(self, future: Future[None], engine: Engine) -> None: ...
    def detach(self, path: str) -> None: ...
    def watch(self, future: Future[Never]) -> None: ...
    def has_room(self) -> bool: ...
    def await_room(self, future: Future[None]) -> bool: ...
    def enqueue(self, future: Future[list[str]], queue: str, jobs: Sequence[NewJob]) -> bool: ...
    def claim(
        self, future: Future[list[Claim]], queue: str, count_max: int, lease: timedelta | None
    ) -> bool: ...
    def claim_with_wait(
        self, future: Future[list[Claim]], queue: str, lease: timedelta | None, wait: timedelta
    ) -> tuple[int, bool]: ...
    def withdraw(self, ticket: int) -> None: ...
    def renew(
        self, future: Future[None], work: Claim | MemoScope, lease: timedelta, *, at_least: bool
    ) -> bool: ...
    def cancel_job(self, future: Future[str], job: str) -> bool: ...
    def wake_job(self, future: Future[None], job: str) -> bool: ...
    def requeue_job(self, future: Future[None], job: str) -> bool: ...
    def purge_dead(self, future: Future[int], queue: str, older_than: timedelta) -> bool: ...
    def get_job(self, future: Future[dict[str, Any]], job: str) -> bool: ...
    def list_jobs(
        self,
        future: Future[tuple[list[dict[str, Any]], str | None]],
        queue: str,
        state: str | None,
        cursor: str | None,
        limit: int,
    ) -> bool: ...
    def kv_get(self, future: Future[bytes | None], key: str) -> bool: ...
    def kv_write(self, future: Future[bool], key: str, value: bytes | None) -> bool: ...
    def kv_compare_write(
        self, future: Future[bool], key: str, expected: bytes | None, value: bytes | None
    ) -> bool: ...
    def kv_scan(
        self,
        future: Future[tuple[list[tuple[str, bytes]], str | None]],
        keys: KvRange,
        cursor: str | None,
    ) -> bool: ...
    def owner(self, future: Future[dict[str, Any] | None]) -> bool: ...
    def metrics(self, future: Future[dict[str, Any]]) -> bool: ...
    def oldest_pending(
        self, future: Future[tuple[list[dict[str, Any]], str | None]], queue: str
    ) -> bool: ...
    def submit(
        self,
        future: Future[list[tuple[str, bool]]],
        queue: str,
        runs: Sequence[tuple[str, RunSpec]],
        *,
        observed: Sequence[str],
        retention: timedelta | None,
        memo_retention: timedelta | None,
    ) -> bool: ...
    def await_run(self, future: Future[RunOutcome], run_id: str) -> tuple[int, bool]: ...
    def cancel_run(
        self, future: Future[bool | list[Notification]], run_id: str, *, tells_hook: bool
    ) -> bool: ...
    def get_run(self, future: Future[dict[str, Any]], run_id: str) -> bool: ...
    def get_result(self, future: Future[bytes | None], run_id: str) -> bool: ...
    def list_memos(
        self,
        future: Future[tuple[list[dict[str, Any]], str | None]],
        run_id: str,
        cursor: str | None,
        limit: int,
    ) -> bool: ...
    def list_runs(
        self,
        future: Future[tuple[list[dict[str, Any]], str | None]],
        queue: str | None,
        states: Sequence[str],
        id_prefix: str | None,
        cursor: str | None,
        limit: int,
    ) -> bool: ...
    def subscribe(
        self,
        future: Future[int],
        start: Callable[[Step | Notification | Claim], None],
        queue: str,
        concurrency: int,
        *,
        observes_runs: Sequence[str],
        memos: Callable[[MemoScope], object] | None,
        leases: Callable[[MemoScope], object] | None,
        job_timeout: timedelta | None,
    ) -> bool: ...
    def unsubscribe(self, future: Future[None], subscription: int) -> bool: ...
    def forget(self, subscription: int) -> None: ...
    def stats(self, future: Future[dict[str, Any]]) -> bool: ...
    def complete(self, step: Step, outcome: object) -> bool: ...
    def ack(
        self,
        future: Future[None] | None,
        work: Step | Notification | Claim,
        effects: Sequence[NewJobs | KeyWrite] | None = None,
    ) -> bool: ...
    def nack(
        self,
        future: Future[None] | None,
        work: Step | Notification | Claim,
        error: str,
        effects: Sequence[NewJobs | KeyWrite] | None = None,
        retry_after: timedelta | None = None,
    ) -> bool: ...
    def dead_letter(
        self,
        future: Future[None] | None,
        work: Step | Notification | Claim,
        reason: str,
        effects: Sequence[NewJobs | KeyWrite] | None = None,
    ) -> bool: ...
    def release(self, work: Step | Notification | Claim) -> bool: ...
    def postpone(self, work: Step | Notification | Claim, delay: timedelta) -> bool: ...
    def unclaim(self, work: Step | Notification | Claim) -> bool: ...

@final
class Claim:
    """One delivery of a job: ours until it is settled or its lease runs out.

    Settle it with `Queue.ack`, `Queue.nack` or `Queue.dead_letter`; a worker's is settled for it.
    """

    @property
    def job_id(self) -> str:
        """The job."""

    @property
    def queue(self) -> str:
        """The job's queue."""

    @property
    def payload(self) -> bytes:
        """What was enqueued, byte for byte."""

    @property
    def headers(self) -> dict[str, str]:
        """The job's headers; a step's also name its run and number."""

    def header(self, name: str) -> str | None:
        """One of the headers that the job was given; `None` if there is no such."""

    @property
    def attempts(self) -> int:
        """Deliveries of this job so far: 1 on the first."""

    @property
    def max_attempts(self) -> int:
        """Deliveries before the job is dead-lettered."""

    @property
    def priority(self) -> int:
        """Lower is claimed first."""

    @property
    def lease(self) -> timedelta | None:
        """For how long the job was claimed; `None` if the engine keeps it."""

    @property
    def cancel_token(self) -> CancelToken:
        """Fires when the job is cancelled while it is claimed. Made when first read."""

@final
class Step:
    """One step of a run, delivered to a runner.

    Delivered at least once: a runner must be idempotent for one `(run_id, step_number)`.
    """

    @property
    def run_id(self) -> str:
        """The run this step belongs to."""

    @property
    def step_number(self) -> int:
        """Steps of this run before this one: 0 for the first."""

    @property
    def payload(self) -> bytes:
        """The run's input for step 0, else what the step before continued with."""

    @property
    def headers(self) -> dict[str, str]:
        """The run's headers, without reserved keys."""

    def header(self, name: str) -> str | None:
        """One of these headers, for less than all of them cost; `None` if there is no such."""

    @property
    def queue(self) -> str:
        """The queue of the run's steps."""

    @property
    def job_id(self) -> str:
        """The job that carries this step."""

    @property
    def attempts(self) -> int:
        """Deliveries of this step so far: 1 on the first."""

    @property
    def max_attempts(self) -> int:
        """Deliveries before the step is dead-lettered and its run fails."""

    @property
    def cancel_token(self) -> CancelToken:
        """Fires when the run is cancelled.

        Of a run that is cancelled already, it has fired when a step first reads it. Made when
        first read.
        """

    @property
    def memo(self) -> Memo:
        """What this step remembers over its deliveries. Made when first read."""

    @property
    def lease(self) -> StepLease:
        """How long this delivery may take, and how to get more time. Made when first read."""

    def load(self, kind: type[_T], /) -> _T:
        """The payload, read as JSON of a type; nothing is coerced.

        Needs the extra: `pip install 'taquba[typed]'`. What does not fit the type raises
        `msgspec.ValidationError`, what is no JSON `msgspec.DecodeError`.
        """

@final
class Notification:
    """A job whose work is to tell the hook that a run has ended."""

    @property
    def outcome(self) -> RunOutcome:
        """How the run ended."""

@final
class RunOutcome:
    """How a run ended."""

    __match_args__: ClassVar[tuple[str, str, str, str]] = ("run_id", "status", "result", "error")
    def __new__(
        cls,
        run_id: str,
        status: TerminalStatus,
        *,
        result: bytes | None = None,
        error: str | None = None,
        headers: dict[str, str] | None = None,
        final_step: int = 0,
    ) -> Self: ...
    @property
    def run_id(self) -> str:
        """The run."""

    @property
    def status(self) -> TerminalStatus:
        """`Succeeded`, `Failed` or `Cancelled`."""

    @property
    def result(self) -> bytes | None:
        """What the run produced, if it succeeded."""

    @property
    def error(self) -> str | None:
        """The reason or the last error, if it did not."""

    @property
    def headers(self) -> dict[str, str]:
        """The submission's headers."""

    @property
    def final_step(self) -> int:
        """The number of the step that ended the run."""

    def load(self, kind: type[_T], /) -> _T:
        """The result of a run that succeeded, read as JSON of a type; nothing is coerced.

        Needs the extra: `pip install 'taquba[typed]'`. A run that did not succeed raises
        `InvalidArgumentError`; what does not fit the type `msgspec.ValidationError`.
        """

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class WebhookRules:
    """Which receivers may be sent to."""

    def __new__(
        cls,
        *,
        allow_http: bool,
        ports: Sequence[int],
        allowed_hosts: Sequence[str] | None,
        allow_networks: Sequence[str],
    ) -> Self: ...
    def check(self, name: str, url: object) -> tuple[str, str]:
        """Refuse a URL that may not be sent to. Returns host and origin, each in one form."""

@final
class WebhookRequest:
    """A delivery under way: aborted when it is dropped."""

    def abort(self) -> None:
        """Close its connection, if it is under way."""

@final
class WebhookClient:
    """Sends deliveries to receivers that the rules take."""

    def __new__(cls, rules: WebhookRules) -> Self: ...
    def deliver(
        self,
        port: Port,
        future: Future[tuple[str, int, timedelta | None, str]],
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        timeout: timedelta,
    ) -> WebhookRequest:
        """Send a request. Resolves to end, status, how long to wait, and what went wrong."""

class StepOutcome:
    """What a step returns: one of `Continue`, `ContinueAfter`, `Succeed`, `Fail`, `Cancel`."""

    Continue: type[Continue]
    ContinueAfter: type[ContinueAfter]
    Succeed: type[Succeed]
    Fail: type[Fail]
    Cancel: type[Cancel]

@final
class Continue(StepOutcome):
    """Go on with the next step at once: it gets `payload`."""

    __match_args__: ClassVar[tuple[str]] = ("payload",)
    def __new__(cls, payload: object) -> Self: ...
    @property
    def payload(self) -> bytes:
        """What the next step receives."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class ContinueAfter(StepOutcome):
    """Go on with the next step, `delay` after this outcome's commit: it gets `payload`."""

    __match_args__: ClassVar[tuple[str, str]] = ("payload", "delay")
    def __new__(cls, payload: object, delay: float | timedelta) -> Self: ...
    @property
    def payload(self) -> bytes:
        """What the next step receives."""

    @property
    def delay(self) -> timedelta:
        """How long after this outcome's commit the next step may start."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Succeed(StepOutcome):
    """End the run: it is done and produced `result`."""

    __match_args__: ClassVar[tuple[str]] = ("result",)
    def __new__(cls, result: object) -> Self: ...
    @property
    def result(self) -> bytes:
        """What the run produced."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Fail(StepOutcome):
    """End the run: it gives up, because of `reason`."""

    __match_args__: ClassVar[tuple[str]] = ("reason",)
    def __new__(cls, reason: str) -> Self: ...
    @property
    def reason(self) -> str:
        """Why the run gives up."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Cancel(StepOutcome):
    """End the run: it stops on purpose, because of `reason`."""

    __match_args__: ClassVar[tuple[str]] = ("reason",)
    def __new__(cls, reason: str) -> Self: ...
    @property
    def reason(self) -> str:
        """Why the run stops."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class MemoScope:
    """What names one delivery of a step, without keeping that."""

    @property
    def run_id(self) -> str:
        """The step's run."""

    @property
    def step_number(self) -> int:
        """The step's number in its run."""

    def get(self, future: Future[bytes | None], port: Port, key: bytes) -> bool: ...
    def put(self, future: Future[None], port: Port, key: bytes, value: bytes) -> bool: ...

@final
class MemoStore:
    """Memos and marks of ended runs, below one prefix of a store.

    Its methods take the future of their answer and the port that brings it.
    """

    def __new__(cls, store: object, prefix: str, *, fsync: bool) -> Self: ...
    @property
    def name(self) -> str:
        """What errors call it."""

    def get(
        self,
        future: Future[bytes | None],
        port: Port,
        run_id: str,
        step_number: int,
        key: bytes,
        *,
        by_step: bool,
    ) -> bool: ...
    def put(
        self,
        future: Future[None],
        port: Port,
        run_id: str,
        step_number: int,
        key: bytes,
        value: bytes,
    ) -> bool: ...
    def clear(
        self, future: Future[tuple[int, list[tuple[str, str]]]], port: Port, run_id: str
    ) -> bool: ...
    def begin_sweep(
        self,
        future: Future[MemoSweep | None],
        port: Port,
        run_id: str,
        terminal_at_ms: int,
        due_ms: int,
    ) -> bool: ...
    def finish_sweep(
        self,
        future: Future[tuple[int, list[tuple[str, str]], int]],
        port: Port,
        sweep: MemoSweep,
    ) -> bool: ...
    def write_marker(
        self, future: Future[None], port: Port, run_id: str, terminal_at_ms: int
    ) -> bool: ...
    def list_markers(
        self, future: Future[tuple[list[tuple[str, int]], list[str]]], port: Port
    ) -> bool: ...
    def delete_marker(
        self, future: Future[None], port: Port, run_id: str, terminal_at_ms: int
    ) -> bool: ...

@final
class MemoSweep:
    """What may go of a run's memos. Until it is finished or closed nobody else sweeps that run."""

    def close(self) -> None:
        """Leave the memos alone. Does nothing to one that is finished."""

@final
class StoreProbe:
    """Requests to the objects below one prefix of a store, for `taquba doctor`.

    Its methods take the future of their answer and the port that brings it. An answer is `"ok"`,
    no text and what the store shows of each object, or why it refused, its own words, and nothing.
    """

    def __new__(cls, store: object, prefix: str, *, timeout: timedelta) -> Self: ...
    def put(
        self,
        future: Future[_Said],
        port: Port,
        name: str,
        body: bytes,
        version: tuple[str | None, str | None] | None,
        metadata: dict[str, str],
    ) -> bool: ...
    def upload(
        self, future: Future[_Said], port: Port, name: str, body: bytes, is_completed: bool
    ) -> bool: ...
    def get(
        self,
        future: Future[_Said],
        port: Port,
        name: str,
        bytes_of: tuple[int, int] | None,
        matches: str | None,
        differs: str | None,
    ) -> bool: ...
    def list(self, future: Future[_Said], port: Port, directory: str) -> bool: ...
    def delete(self, future: Future[_Said], port: Port, name: str) -> bool: ...

@disjoint_base
class AzureStore:
    """A container of Azure Blob Storage. Arguments: see `obstore.store.AzureStore`."""

    def __new__(
        cls,
        container_name: str | None = None,
        *,
        prefix: str | None = None,
        config: Mapping[str, Any] | None = None,
        client_options: Mapping[str, Any] | None = None,
        retry_config: Mapping[str, Any] | None = None,
        credential_provider: Callable[[], Any] | None = None,
        **kwargs: Any,
    ) -> Self: ...
    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        config: Mapping[str, Any] | None = None,
        client_options: Mapping[str, Any] | None = None,
        retry_config: Mapping[str, Any] | None = None,
        credential_provider: Callable[[], Any] | None = None,
        **kwargs: Any,
    ) -> Self: ...
    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    @property
    def prefix(self) -> str | None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def client_options(self) -> dict[str, Any] | None: ...
    @property
    def retry_config(self) -> dict[str, Any] | None: ...
    @property
    def credential_provider(self) -> Callable[[], Any] | None: ...

@disjoint_base
class GCSStore:
    """A bucket of Google Cloud Storage. Arguments: see `obstore.store.GCSStore`."""

    def __new__(
        cls,
        bucket: str | None = None,
        *,
        prefix: str | None = None,
        config: Mapping[str, Any] | None = None,
        client_options: Mapping[str, Any] | None = None,
        retry_config: Mapping[str, Any] | None = None,
        credential_provider: Callable[[], Any] | None = None,
        **kwargs: Any,
    ) -> Self: ...
    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        config: Mapping[str, Any] | None = None,
        client_options: Mapping[str, Any] | None = None,
        retry_config: Mapping[str, Any] | None = None,
        credential_provider: Callable[[], Any] | None = None,
        **kwargs: Any,
    ) -> Self: ...
    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    @property
    def prefix(self) -> str | None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def client_options(self) -> dict[str, Any] | None: ...
    @property
    def retry_config(self) -> dict[str, Any] | None: ...
    @property
    def credential_provider(self) -> Callable[[], Any] | None: ...

@disjoint_base
class S3Store:
    """A bucket of S3, or of what speaks its protocol. Arguments: see `obstore.store.S3Store`."""

    def __new__(
        cls,
        bucket: str | None = None,
        *,
        prefix: str | None = None,
        config: Mapping[str, Any] | None = None,
        client_options: Mapping[str, Any] | None = None,
        retry_config: Mapping[str, Any] | None = None,
        credential_provider: Callable[[], Any] | None = None,
        **kwargs: Any,
    ) -> Self: ...
    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        config: Mapping[str, Any] | None = None,
        client_options: Mapping[str, Any] | None = None,
        retry_config: Mapping[str, Any] | None = None,
        credential_provider: Callable[[], Any] | None = None,
        **kwargs: Any,
    ) -> Self: ...
    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    @property
    def prefix(self) -> str | None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def client_options(self) -> dict[str, Any] | None: ...
    @property
    def retry_config(self) -> dict[str, Any] | None: ...
    @property
    def credential_provider(self) -> Callable[[], Any] | None: ...

@disjoint_base
class LocalStore:
    """A directory. Arguments: see `obstore.store.LocalStore`."""

    def __new__(
        cls,
        prefix: str | Path | None = None,
        *,
        automatic_cleanup: bool = False,
        mkdir: bool = False,
    ) -> Self: ...
    @classmethod
    def from_url(
        cls, url: str, *, automatic_cleanup: bool = False, mkdir: bool = False
    ) -> Self: ...
    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    @property
    def prefix(self) -> Path | None: ...

@disjoint_base
class MemoryStore:
    """This process's memory: gone with it, and shared by all who open the same object."""

    def __new__(cls) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class SlowStore:
    """Memory that takes so many milliseconds for each write, and for each read: for benchmarks."""

    def __new__(cls, put_ms: float, get_ms: float) -> Self: ...

@disjoint_base
class ChaosStore:
    """A store that fails as stores fail. `taquba.testing.ChaosStore` is what users make."""

    def __new__(cls, store: object, plan: object, seed: int) -> Self: ...
    def calm(self) -> None:
        """End all faults. What is on its way, such as a put that arrives late, goes on."""

    def resume(self) -> None:
        """Have faults again, as planned."""

    def deny(self, seconds: float | timedelta) -> None:
        """Refuse all that begins within this time, as if the credentials were wrong.

        Args:
            seconds: For how long: `float` seconds or a `timedelta`.
        """

    def counts(self) -> dict[str, int]:
        """Count the faults that have happened, by name."""

    def request_count(self) -> int:
        """Count the requests that were made, those that failed among them."""

def from_url(
    url: str,
    *,
    config: Mapping[str, Any] | None = None,
    client_options: Mapping[str, Any] | None = None,
    retry_config: Mapping[str, Any] | None = None,
    credential_provider: Callable[[], Any] | None = None,
    **kwargs: Any,
) -> AzureStore | GCSStore | LocalStore | MemoryStore | S3Store:
    """Make the store that a URL names."""
