//! The engine's one error type.
//!
//! # Invariants
//!
//! 1. A variant exists only where a caller would act differently; detail goes in its fields.
//! 2. [`Error::code`] is stable: codes are only ever added.
//! 3. The enum is exhaustive on purpose: a new variant must break the binding's build until it
//!    has a Python class.

use std::time::Duration;

use crate::limits::{
    BATCH_COUNT_MAX, DEDUP_KEY_BYTES_MAX, EFFECTS_COUNT_MAX, HEADERS_BYTES_MAX, HEADERS_COUNT_MAX,
    KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX, PAYLOAD_BYTES_MAX, QUEUE_NAME_BYTES_MAX,
    QUEUES_COUNT_MAX, RESULT_BYTES_MAX, RUN_ID_BYTES_MAX,
};

/// What went wrong, which thing it concerns, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The queue's name breaks its rule.
    #[error(
        "queue name `{name}` is not allowed: use 1 to {QUEUE_NAME_BYTES_MAX} characters of \
         `[A-Za-z0-9._-]`, the first one a letter or a digit"
    )]
    InvalidQueueName {
        /// The name as given, shortened.
        name: String,
    },
    /// The run id breaks its rule.
    #[error(
        "run id `{run_id}` is not allowed: use 1 to {RUN_ID_BYTES_MAX} characters of `[A-Za-z0-9_-]`"
    )]
    InvalidRunId {
        /// The id as given, shortened.
        run_id: String,
    },
    /// The store has as many queues as it can.
    #[error(
        "queue `{name}` would be one more than {QUEUES_COUNT_MAX}: use fewer queues, and put tenants or \
         kinds into headers"
    )]
    TooManyQueues {
        /// The queue that was to be created.
        name: String,
    },
    /// The text is not a job id.
    #[error("`{job_id}` is not a job id: use the text that `enqueue` returned")]
    InvalidJobId {
        /// The text as given, shortened.
        job_id: String,
    },
    /// An argument is outside its bounds.
    #[error("`{name}` is {value}: {remedy}")]
    InvalidArgument {
        /// The argument's public name.
        name: &'static str,
        /// What was given.
        value: String,
        /// The bound and how to keep it.
        remedy: String,
    },
    /// The payload is too large.
    #[error(
        "the payload has {size_bytes} bytes, the limit is {PAYLOAD_BYTES_MAX}: put it in an object \
         of your own and enqueue its name"
    )]
    PayloadTooLarge {
        /// The payload's size.
        size_bytes: usize,
    },
    /// The result of a run is too large for its row.
    #[error(
        "the result has {size_bytes} bytes, the limit is {RESULT_BYTES_MAX}: put it in an object of \
         your own and succeed with its name"
    )]
    ResultTooLarge {
        /// The result's size.
        size_bytes: usize,
    },
    /// The key is empty or too long.
    #[error("the key has {size_bytes} bytes: use 1 to {KV_KEY_BYTES_MAX}; hash longer keys")]
    InvalidKey {
        /// The key's size.
        size_bytes: usize,
    },
    /// The value is too large for a row.
    #[error(
        "the value has {size_bytes} bytes, the limit is {KV_VALUE_BYTES_MAX}: put it in an object of \
         your own and store its name"
    )]
    ValueTooLarge {
        /// The value's size.
        size_bytes: usize,
    },
    /// One settlement was to do too much.
    #[error(
        "{count} effects in one settlement, the limit is {EFFECTS_COUNT_MAX}: enqueue one job that \
         does the rest"
    )]
    TooManyEffects {
        /// How many were given, jobs counted one by one.
        count: usize,
    },
    /// Too many headers, or too long ones.
    #[error(
        "{count} headers with {size_bytes} bytes are too many: the limits are {HEADERS_COUNT_MAX} \
         headers and {HEADERS_BYTES_MAX} bytes; move data into the payload"
    )]
    HeadersTooLarge {
        /// How many headers were given.
        count: usize,
        /// Bytes of all keys and values.
        size_bytes: usize,
    },
    /// A header key is set by the runtime alone.
    #[error("header `{key}` is reserved: keys under `workflow.` are set by the runtime; rename it")]
    ReservedHeader {
        /// The key as given, shortened.
        key: String,
    },
    /// The dedup key is too long or empty.
    #[error(
        "the dedup key has {size_bytes} bytes: use 1 to {DEDUP_KEY_BYTES_MAX}; hash longer keys"
    )]
    InvalidDedupKey {
        /// The key's size.
        size_bytes: usize,
    },
    /// More than one commit can carry was given at once.
    #[error("{count} items in one batch, the limit is {BATCH_COUNT_MAX}: split the batch")]
    BatchTooLarge {
        /// How many were given.
        count: usize,
    },
    /// The run exists and was submitted with another input.
    #[error(
        "run `{run_id}` exists with another input: use another run id, or submit the same bytes to \
         get the run that is there"
    )]
    InputMismatch {
        /// The run.
        run_id: String,
    },
    /// No such job: it never was, it has been settled, or its retention has passed.
    #[error(
        "job {job_id} is not there: it was settled and not kept, was removed, or never was; \
         `keep_done_jobs` keeps settled jobs for a while"
    )]
    JobNotFound {
        /// The job.
        job_id: String,
    },
    /// The job is not in a state in which this can be done to it.
    #[error("job {job_id} is {state}: {remedy}")]
    WrongJobState {
        /// The job.
        job_id: String,
        /// The state's name.
        state: String,
        /// In which state it can be done, or what to do instead.
        remedy: String,
    },
    /// No such run, or its retention has passed.
    #[error("run `{run_id}` is not known: it was never submitted, or its retention has passed")]
    RunNotFound {
        /// The run.
        run_id: String,
    },
    /// The claim is no longer the caller's; nothing was recorded.
    #[error(
        "job {job_id}: this claim is over ({}it was settled before), so nothing was recorded; raise \
         the lease or the timeout, or settle sooner", expired(*lease)
    )]
    ClaimLost {
        /// The job.
        job_id: String,
        /// The lease that the claim had; zero if the engine kept it.
        lease: Duration,
    },
    /// Another process owns the store now.
    #[error(
        "another process opened the store at `{path}` and owns it now: stop one of the two, or open \
         the queue again to take it back"
    )]
    Fenced {
        /// The store's path.
        path: String,
    },
    /// Another process owns the store and shows signs of life; `takeover` was `false`.
    #[error(
        "process {pid} on `{host}` owns the store at `{path}` since {since} and is alive: stop it, or \
         open with `takeover=True` to take the store away from it"
    )]
    StoreOwned {
        /// The store's path.
        path: String,
        /// The owner's machine.
        host: String,
        /// The owner's process.
        pid: u32,
        /// When it opened the store, in UTC.
        since: String,
    },
    /// This handle only reads.
    #[error(
        "`{call}` changes the store at `{path}`, and a reader only reads: open it with `Queue.open`"
    )]
    ReadOnly {
        /// The store's path.
        path: String,
        /// What was called.
        call: &'static str,
    },
    /// The store refused the credentials or the right is missing.
    #[error("the store at `{path}` denies access: check credentials and rights; it said: {detail}")]
    PermissionDenied {
        /// The store's path.
        path: String,
        /// What the store answered.
        detail: String,
    },
    /// The bucket, container or directory is not there, or is not one.
    #[error("there is no store at `{path}`: check the name and create it; it said: {detail}")]
    StoreNotFound {
        /// The store's path.
        path: String,
        /// What the store answered.
        detail: String,
    },
    /// The store did not answer in time.
    #[error("the store at `{path}` is not available: {detail}; check the network and try again")]
    StoreUnavailable {
        /// The store's path.
        path: String,
        /// What the store answered, or for how long it did not.
        detail: String,
    },
    /// The store's address cannot be used.
    #[error("the store `{location}` cannot be used: {remedy}")]
    InvalidStore {
        /// The address as given.
        location: String,
        /// What would work.
        remedy: String,
    },
    /// Bytes in the store are not what was written.
    #[error(
        "the store at `{path}` holds damaged data: {detail}; restore the object from a version or a \
         backup and open again"
    )]
    Corrupted {
        /// The store's path.
        path: String,
        /// Which object or record, and how it is damaged.
        detail: String,
    },
    /// The bytes of a memo are not what was written.
    #[error(
        "the memo at `{place}` is damaged: {detail}; put the value again, or restore the object from \
         a version or a backup"
    )]
    MemoCorrupted {
        /// The object or row that holds it.
        place: String,
        /// How it is damaged.
        detail: String,
    },
    /// The value of a memo is too large.
    #[error(
        "the memo's value has {size_bytes} bytes, the limit is {PAYLOAD_BYTES_MAX}: put it in an \
         object of your own and keep its name in the memo"
    )]
    MemoTooLarge {
        /// The value's size.
        size_bytes: usize,
    },
    /// The store was written in a format this version does not read.
    #[error(
        "the store at `{path}` has format {found}, this version reads {supported}: upgrade taquba, \
         or open another path"
    )]
    UnsupportedFormat {
        /// The store's path.
        path: String,
        /// The format found.
        found: u32,
        /// The newest format this version reads.
        supported: u32,
    },
    /// The queue was closed by this process.
    #[error("the queue at `{path}` is closed: open it again")]
    Closed {
        /// The store's path.
        path: String,
    },
    /// A bug: an invariant of ours is broken.
    #[error("bug in the engine: {detail}; open the queue again and report this text")]
    Internal {
        /// What was found.
        detail: String,
    },
}

/// The other way in which a claim may have ended; one without a lease of its own has none.
fn expired(lease: Duration) -> String {
    if lease.is_zero() { String::new() } else { format!("its lease of {lease:?} expired, or ") }
}

/// What a handler of an [`Error`] should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The same call may succeed later.
    Retry,
    /// The call is wrong: change its arguments.
    FixInput,
    /// This handle is done for: open the queue again.
    Reopen,
    /// The work at hand is no longer ours: drop it.
    Drop,
}

impl Error {
    /// The stable, machine-readable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidQueueName { .. } => "invalid-queue-name",
            Self::InvalidRunId { .. } => "invalid-run-id",
            Self::TooManyQueues { .. } => "too-many-queues",
            Self::InvalidJobId { .. } => "invalid-job-id",
            Self::InvalidArgument { .. } => "invalid-argument",
            Self::PayloadTooLarge { .. } => "payload-too-large",
            Self::HeadersTooLarge { .. } => "headers-too-large",
            Self::ReservedHeader { .. } => "reserved-header",
            Self::InvalidDedupKey { .. } => "invalid-dedup-key",
            Self::BatchTooLarge { .. } => "batch-too-large",
            Self::InputMismatch { .. } => "input-mismatch",
            Self::RunNotFound { .. } => "run-not-found",
            Self::ResultTooLarge { .. } => "result-too-large",
            Self::InvalidKey { .. } => "invalid-key",
            Self::ValueTooLarge { .. } => "value-too-large",
            Self::TooManyEffects { .. } => "too-many-effects",
            Self::JobNotFound { .. } => "job-not-found",
            Self::WrongJobState { .. } => "wrong-job-state",
            Self::StoreOwned { .. } => "store-owned",
            Self::ReadOnly { .. } => "read-only",
            Self::ClaimLost { .. } => "claim-lost",
            Self::Fenced { .. } => "fenced",
            Self::PermissionDenied { .. } => "permission-denied",
            Self::StoreNotFound { .. } => "store-not-found",
            Self::StoreUnavailable { .. } => "store-unavailable",
            Self::InvalidStore { .. } => "invalid-store",
            Self::Corrupted { .. } => "corrupted",
            Self::MemoCorrupted { .. } => "memo-corrupted",
            Self::MemoTooLarge { .. } => "memo-too-large",
            Self::UnsupportedFormat { .. } => "unsupported-format",
            Self::Closed { .. } => "closed",
            Self::Internal { .. } => "internal",
        }
    }

    /// What to do about this error.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        match self {
            Self::InvalidQueueName { .. }
            | Self::InvalidRunId { .. }
            | Self::TooManyQueues { .. }
            | Self::InvalidJobId { .. }
            | Self::InvalidArgument { .. }
            | Self::PayloadTooLarge { .. }
            | Self::HeadersTooLarge { .. }
            | Self::ReservedHeader { .. }
            | Self::InvalidDedupKey { .. }
            | Self::BatchTooLarge { .. }
            | Self::InputMismatch { .. }
            | Self::RunNotFound { .. }
            | Self::ResultTooLarge { .. }
            | Self::InvalidKey { .. }
            | Self::ValueTooLarge { .. }
            | Self::TooManyEffects { .. }
            | Self::JobNotFound { .. }
            | Self::WrongJobState { .. }
            | Self::ReadOnly { .. }
            | Self::InvalidStore { .. }
            | Self::PermissionDenied { .. }
            | Self::StoreNotFound { .. }
            | Self::Corrupted { .. }
            | Self::MemoCorrupted { .. }
            | Self::MemoTooLarge { .. }
            | Self::UnsupportedFormat { .. } => Recovery::FixInput,
            Self::StoreUnavailable { .. } | Self::StoreOwned { .. } => Recovery::Retry,
            Self::ClaimLost { .. } => Recovery::Drop,
            Self::Fenced { .. } | Self::Closed { .. } | Self::Internal { .. } => Recovery::Reopen,
        }
    }
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
