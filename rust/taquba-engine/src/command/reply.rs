//! What comes back: answers, deliveries, and where they go.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{JobInfo, JobPage, RunInfo, RunPage, SubscriptionId, Ticket};
use crate::error::Result;
use crate::ids::{ClaimToken, JobId, KvKey, MemoKey, QueueName, RunId};
use crate::log::StoreCounts;
use crate::metrics::Metrics;
use crate::record::Headers;

/// A new job, or the live one that holds its dedup key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The job's id.
    pub job_id: JobId,
    /// `false` if a live job held the dedup key and nothing was added.
    pub is_new: bool,
}

/// What a delivery is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// A plain job.
    Job,
    /// A step of a run.
    Step {
        /// The run.
        run_id: RunId,
        /// From 0.
        step_number: u32,
    },
    /// The end of a run, for the hook.
    Notification(Arc<RunOutcome>),
}

/// One job, delivered.
#[derive(Clone, Debug)]
pub struct Claim {
    /// What settles it.
    pub token: ClaimToken,
    /// The job.
    pub job_id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// Deliveries so far, 1 on the first.
    pub attempts: u32,
    /// Deliveries before the job is dead-lettered.
    pub max_attempts: u32,
    /// Lower is claimed first.
    pub priority: u32,
    /// For how long it is the consumer's; `None` if the engine keeps it.
    pub lease: Option<Duration>,
    /// The bytes.
    pub payload: Bytes,
    /// The metadata, without reserved keys.
    pub headers: Headers,
    /// What it is about.
    pub work: Work,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalStatus {
    /// A step returned [`StepOutcome::Succeed`].
    Succeeded,
    /// A step returned [`StepOutcome::Fail`], or failed for good.
    Failed,
    /// A step returned [`StepOutcome::Cancel`], or the run was cancelled from outside.
    Cancelled,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// The run.
    pub run_id: RunId,
    /// How it ended.
    pub status: TerminalStatus,
    /// What it produced, if it succeeded.
    pub result: Option<Bytes>,
    /// The reason or last error, if it did not.
    pub error: Option<String>,
    /// The submission's headers.
    pub headers: Headers,
    /// The step that ended it.
    pub final_step: u32,
}

/// One submitted run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The run.
    pub run_id: RunId,
    /// `false` if it was there already with the same input.
    pub newly_submitted: bool,
}

/// Jobs of one queue, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// The queue.
    pub queue: QueueName,
    /// Claimable now.
    pub pending_count: u64,
    /// Claimable later: scheduled or waiting for a retry.
    pub scheduled_count: u64,
    /// Being delivered.
    pub claimed_count: u64,
    /// Dead-lettered and still readable.
    pub dead_count: u64,
    /// Acked and kept.
    pub done_count: u64,
    /// Runs that have not ended.
    pub live_run_count: u64,
    /// Jobs ever enqueued, steps and notifications among them.
    pub enqueued_total: u64,
    /// Deliveries ever acked.
    pub acked_total: u64,
    /// Jobs ever made to wait again: nacked, released, expired or requeued.
    pub retried_total: u64,
    /// Jobs ever dead-lettered.
    pub dead_total: u64,
    /// Jobs ever cancelled: removed, or given up by their holder.
    pub cancelled_total: u64,
}

/// A page of keys and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvPage {
    /// In the order asked for.
    pub entries: Vec<(KvKey, Bytes)>,
    /// The key behind which the next page begins; `None` if this is the last one.
    pub next: Option<KvKey>,
}

/// A memo, looked at: not its value, and of its key only the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoInfo {
    /// Which one.
    pub mark: MemoMark,
    /// Bytes of its value.
    pub value_bytes: u64,
    /// Whether its value is an object of its own.
    pub is_object: bool,
}

/// Which memo of a run: its step, then its key.
pub type MemoMark = (u32, MemoKey);

/// A page of memos.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoPage {
    /// In the order of their marks.
    pub memos: Vec<MemoInfo>,
    /// The memo behind which the next page begins; `None` if this is the last one.
    pub next: Option<MemoMark>,
}

/// What became of a job that was to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobCancelled {
    /// It waited, and is gone.
    Removed,
    /// It is claimed: its holder has been asked to stop, and it will not be delivered again.
    Requested,
}

/// Who owns a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerInfo {
    /// The machine's name, as it gave it.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// When it opened the store.
    pub since_ms: u64,
    /// When it was last heard of.
    pub seen_ms: u64,
    /// Whether it was heard of lately enough to be taken for alive.
    pub is_alive: bool,
}

/// Counts of an open store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By queue name.
    pub queues: Vec<QueueStats>,
    /// Records found damaged and moved aside.
    pub quarantined_count: u64,
    /// Commits since the store was opened.
    pub commit_count: u64,
    /// Rows in those commits.
    pub row_count: u64,
    /// What was asked of the store since it was opened.
    pub store: StoreCounts,
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It is durable.
    Done,
    /// One entry per job, in order.
    Enqueued(Vec<Enqueued>),
    /// The jobs taken.
    Claimed(Vec<Claim>),
    /// One entry per run, in order.
    Submitted(Vec<Submitted>),
    /// How the run ended.
    Outcome(Arc<RunOutcome>),
    /// Whether the run will end cancelled; `false` if it is not known or had ended.
    RunCancelled(bool),
    /// The run.
    Run(Box<RunInfo>),
    /// The runs.
    Runs(RunPage),
    /// The memos.
    Memos(MemoPage),
    /// What is measured.
    Metrics(Box<Metrics>),
    /// The subscription is on.
    Subscribed(SubscriptionId),
    /// The counts.
    Stats(Stats),
    /// What became of the job.
    JobCancelled(JobCancelled),
    /// How many were deleted.
    Purged(usize),
    /// The job.
    Job(Box<JobInfo>),
    /// The jobs.
    Jobs(JobPage),
    /// What the key holds.
    Value(Option<Bytes>),
    /// Whether the key held what was expected and was written.
    Written(bool),
    /// The keys and values.
    Entries(KvPage),
    /// The owner; `None` if the last one closed the store in order.
    Owner(Option<OwnerInfo>),
}

/// One thing for a consumer.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// The answer to the call with this ticket.
    Reply {
        /// The consumer's number for the call.
        ticket: Ticket,
        /// The answer.
        result: Result<Reply>,
    },
    /// Jobs for a subscription.
    Claims {
        /// Which subscription.
        subscription: SubscriptionId,
        /// The jobs.
        claims: Vec<Claim>,
    },
    /// The holder of this claim is asked to stop.
    CancelRequested {
        /// Which delivery.
        token: ClaimToken,
    },
    /// The engine can do no more (fenced, store lost, a bug): nothing will be delivered again and
    /// every call is answered with this error. Open the store again.
    Broken(crate::error::Error),
}

/// Where the engine puts what is for one consumer (one event loop, one test).
///
/// Called on the engine's thread, once per turn with all that turn has: it must not block.
pub trait Outlet: Send + Sync {
    /// Takes a batch.
    fn deliver(&self, deliveries: Vec<Delivery>);
}
