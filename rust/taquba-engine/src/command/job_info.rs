//! Jobs, looked at: state, attempts, everything there is to know of one.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{JobId, QueueName, RunId};
use crate::record::Headers;

/// Where a job is in its life, as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// Claimable now.
    Pending,
    /// Claimable later: scheduled or waiting for a retry.
    Scheduled,
    /// Being delivered.
    Claimed,
    /// Acked and kept, see `keep_done_jobs`.
    Done,
    /// Dead-lettered and kept.
    Dead,
}

impl JobState {
    /// All of them, in the order of a job's life.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Scheduled, Self::Claimed, Self::Done, Self::Dead];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Claimed => "claimed",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }
}

/// How one delivery of a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptEnd {
    /// It is under way.
    Open,
    /// Acked.
    Acked,
    /// Nacked, by its holder or for its error.
    Nacked,
    /// Dead-lettered by its holder.
    DeadLettered,
    /// Handed back unfinished.
    Released,
    /// Its lease ran out.
    Expired,
    /// The process ended before it was settled.
    Lost,
}

impl AttemptEnd {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acked => "acked",
            Self::Nacked => "nacked",
            Self::DeadLettered => "dead-lettered",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Lost => "lost",
        }
    }
}

/// One delivery of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first delivery.
    pub number: u32,
    /// When it was claimed; `None` if the process ended before that was written.
    pub started_at_ms: Option<u64>,
    /// When it ended; `None` while it is under way, or if nobody saw it.
    pub ended_at_ms: Option<u64>,
    /// How.
    pub end: AttemptEnd,
    /// What went wrong, cut at [`crate::limits::ATTEMPT_ERROR_BYTES_MAX`].
    pub error: Option<Box<str>>,
}

impl Attempt {
    /// Bytes that keeping it costs, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        const FIXED_BYTES: usize = 24;
        FIXED_BYTES + self.error.as_deref().map_or(0, str::len)
    }
}

/// What a job is about, as users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobWork {
    /// A plain job.
    Plain,
    /// A step of this run; the id's turn is the step number.
    Step(RunId),
    /// The end of this run, for its hook.
    Notification(RunId),
}

/// One job, looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobInfo {
    /// Its id.
    pub job_id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// Where it is in its life.
    pub state: JobState,
    /// What it is about.
    pub work: JobWork,
    /// Lower is claimed first.
    pub priority: u32,
    /// Deliveries so far.
    pub attempts: u32,
    /// Deliveries before it is dead-lettered.
    pub max_attempts: u32,
    /// When it was enqueued.
    pub enqueued_at_ms: u64,
    /// Not claimable before; `None` for at once.
    pub run_at_ms: Option<u64>,
    /// When it was acked or dead-lettered.
    pub ended_at_ms: Option<u64>,
    /// The dedup key it was given.
    pub dedup_key: Option<Box<str>>,
    /// Its metadata.
    pub headers: Headers,
    /// Bytes of its payload.
    pub payload_bytes: u64,
    /// The payload; `None` in lists.
    pub payload: Option<Bytes>,
    /// Why the last delivery failed.
    pub last_error: Option<Box<str>>,
    /// Whether its holder has been asked to stop.
    pub is_cancel_requested: bool,
    /// Its latest deliveries, oldest first, at most [`crate::limits::ATTEMPTS_KEPT_MAX`].
    pub history: Vec<Attempt>,
}

/// A page of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobPage {
    /// In the order of their ids.
    pub jobs: Vec<JobInfo>,
    /// Where the next page begins; `None` if this is the last one.
    pub next: Option<u64>,
}
