//! What comes back from a store.

use serde::{Deserialize, Serialize};

use super::Headers;

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was carried out, and is durable if it changed anything.
    Ok(Got),
    /// It was not carried out.
    Failed {
        /// The error's code.
        code: String,
    },
    /// Nobody knows whether it was carried out.
    Unknown {
        /// The error's code.
        code: String,
    },
}

/// What a call that was carried out returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Got {
    /// Nothing but that.
    Done,
    /// An entry for each job.
    Enqueued(Vec<Enqueued>),
    /// How many were claimed: each has been told as a delivery.
    Claimed(usize),
    /// An entry for each run.
    Submitted(Vec<Submitted>),
    /// How a run has ended.
    Outcome(RunEnd),
    /// Whether the run will end as cancelled.
    RunCancelled(bool),
    /// The job waited, and is gone.
    JobRemoved,
    /// The holder of the job has been asked to stop.
    StopRequested,
    /// How many dead jobs were deleted.
    Purged(usize),
    /// A job.
    Job(JobSeen),
    /// A run.
    Run(RunSeen),
    /// What a key or a memo holds.
    Value(Option<String>),
    /// Whether the key held what was expected, and was written.
    Swapped(bool),
    /// Counts.
    Stats(Vec<QueueCounts>),
}

/// A new job, or the live one that has its dedup key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enqueued {
    /// Its id.
    pub job: String,
    /// Whether it is new.
    pub is_new: bool,
}

/// A submitted run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// Its id.
    pub run: String,
    /// Whether it was not there already.
    pub is_new: bool,
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What settles it; unique in the history.
    pub token: String,
    /// The job's id. Ids sort in the order of enqueues.
    pub job: String,
    /// Its queue.
    pub queue: String,
    /// Deliveries so far, this one included.
    pub attempts: u32,
    /// Deliveries before it is dead-lettered.
    pub max_attempts: u32,
    /// Lower is claimed first.
    pub priority: u32,
    /// For how long it is the holder's; `None` if the engine keeps it.
    pub lease_ms: Option<u64>,
    /// What the worker gets.
    pub payload: String,
    /// What else it gets.
    pub headers: Headers,
    /// What it is about.
    pub work: Work,
}

/// What a delivery is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A plain job.
    Job,
    /// A step of a run.
    Step {
        /// The run.
        run: String,
        /// From 0.
        step: u32,
    },
    /// The end of a run, for its hook.
    Notification(RunEnd),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// The run.
    pub run: String,
    /// `succeeded`, `failed` or `cancelled`.
    pub status: String,
    /// What it produced, if it succeeded.
    pub result: Option<String>,
    /// The reason or the last error, if it did not.
    pub error: Option<String>,
    /// The step that ended it.
    pub final_step: u32,
    /// The headers of its submission.
    pub headers: Headers,
}

/// A job, looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSeen {
    /// Its id.
    pub job: String,
    /// Its queue.
    pub queue: String,
    /// `pending`, `scheduled`, `claimed`, `done` or `dead`.
    pub state: String,
    /// Deliveries so far.
    pub attempts: u32,
    /// Deliveries before it is dead-lettered.
    pub max_attempts: u32,
    /// What its worker gets, if it was read too.
    pub payload: Option<String>,
    /// The error of its latest attempt.
    pub last_error: Option<String>,
    /// What it is about: the run of a step or notification.
    pub run: Option<String>,
}

/// A run, looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSeen {
    /// Its id.
    pub run: String,
    /// `pending`, `scheduled`, `running`, `cancelling`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// The step it is at, or that ended it.
    pub step: u32,
    /// How it ended, if it has.
    pub end: Option<RunEnd>,
}

/// Jobs of one queue, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCounts {
    /// The queue.
    pub queue: String,
    /// Claimable now.
    pub pending: u64,
    /// Claimable later.
    pub scheduled: u64,
    /// Being delivered.
    pub claimed: u64,
    /// Dead and still there.
    pub dead: u64,
    /// Acked and still there.
    pub done: u64,
    /// Runs that have not ended.
    pub live_runs: u64,
}
