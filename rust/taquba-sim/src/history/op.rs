//! What is asked of a store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// String metadata.
pub type Headers = BTreeMap<String, String>;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// Adds jobs, all or none.
    Enqueue {
        /// Where to.
        queue: String,
        /// In this order.
        jobs: Vec<Job>,
    },
    /// Takes jobs: they come as deliveries of this call, before its answer.
    Claim {
        /// Where from.
        queue: String,
        /// At most this many.
        count_max: usize,
        /// For how long; the profile's if absent.
        lease_ms: Option<u64>,
        /// How long to wait for the first one.
        wait_ms: Option<u64>,
    },
    /// Prolongs a lease.
    Renew {
        /// Of which delivery.
        token: String,
        /// For how long from now.
        lease_ms: u64,
    },
    /// Ends a delivery.
    Settle {
        /// Which one.
        token: String,
        /// How.
        verdict: Verdict,
        /// What else happens in that commit.
        effects: Vec<Effect>,
    },
    /// Removes a job that waits, or asks its holder to stop.
    CancelJob {
        /// Which job.
        job: String,
    },
    /// Makes a scheduled job claimable.
    WakeJob {
        /// Which job.
        job: String,
    },
    /// Makes a dead job claimable.
    RequeueJob {
        /// Which job.
        job: String,
    },
    /// Deletes dead jobs.
    PurgeDead {
        /// Of which queue.
        queue: String,
        /// Dead for at least so long.
        older_than_ms: u64,
    },
    /// Reads a job.
    GetJob {
        /// Which job.
        job: String,
    },
    /// Reads a key.
    KvGet {
        /// Which key.
        key: String,
    },
    /// Writes a key, whatever it holds.
    KvPut {
        /// Which key.
        key: String,
        /// What it holds from now on; `None` removes it.
        value: Option<String>,
    },
    /// Writes a key if it holds what is expected.
    KvSwap {
        /// Which key.
        key: String,
        /// What it must hold; `None` for nothing.
        expected: Option<String>,
        /// What it holds from now on; `None` removes it.
        value: Option<String>,
    },
    /// Adds runs, all or none.
    Submit {
        /// Where their steps go.
        queue: String,
        /// In this order.
        runs: Vec<Run>,
    },
    /// Waits for the end of a run.
    AwaitRun {
        /// Which run.
        run: String,
    },
    /// Stops a run for good.
    CancelRun {
        /// Which run.
        run: String,
    },
    /// Reads a run.
    GetRun {
        /// Which run.
        run: String,
    },
    /// Reads a memo of the step that is being delivered.
    MemoGet {
        /// Its delivery.
        token: String,
        /// Which memo.
        key: String,
    },
    /// Writes a memo of the step that is being delivered.
    MemoPut {
        /// Its delivery.
        token: String,
        /// Which memo.
        key: String,
        /// What it holds from now on.
        value: String,
    },
    /// Counts.
    Stats,
    /// Closes the store in order.
    Close,
}

/// A job to enqueue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// What its worker gets; unique in the history.
    pub payload: String,
    /// What else it gets.
    pub headers: Headers,
    /// Lower is claimed first.
    pub priority: Option<u32>,
    /// How long after the call it may be claimed.
    pub delay_ms: Option<u64>,
    /// From when on it may be claimed, in milliseconds since the Unix epoch.
    pub run_at_ms: Option<u64>,
    /// At most one live job has it.
    pub dedup_key: Option<String>,
    /// Whether the key is taken until the job is settled for good, not only while it waits.
    pub is_dedup_until_settled: bool,
    /// Deliveries before it is dead-lettered.
    pub max_attempts: Option<u32>,
}

/// A run to submit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Its id.
    pub run: String,
    /// What its step 0 gets.
    pub input: String,
    /// What each of its steps and its hook get, too.
    pub headers: Headers,
    /// Lower is claimed first.
    pub priority: Option<u32>,
    /// How long after the call step 0 may be claimed.
    pub delay_ms: Option<u64>,
    /// Deliveries of each step before it is dead-lettered.
    pub max_attempts: Option<u32>,
    /// Whether its hook is told of every end of it.
    pub is_observed: bool,
    /// How long its end stays known; `None` for good.
    pub retention_ms: Option<u64>,
    /// How long its memos are kept after its end.
    pub memo_retention_ms: Option<u64>,
}

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Done.
    Ack,
    /// Failed for now.
    Nack {
        /// What went wrong.
        error: String,
        /// How long to wait instead of the backoff.
        retry_after_ms: Option<u64>,
    },
    /// Failed for good.
    DeadLetter {
        /// Why.
        reason: String,
    },
    /// Handed back unfinished; the attempt counts.
    Release,
    /// Handed back unseen; as if it had not been claimed.
    Unseen,
    /// Put off; the attempt does not count.
    Postpone {
        /// For how long.
        delay_ms: u64,
    },
    /// The next step follows.
    Continue {
        /// What it gets.
        payload: String,
        /// How long after this commit, if not at once.
        delay_ms: Option<u64>,
    },
    /// The run is done.
    Succeed {
        /// With what.
        result: String,
    },
    /// The run gives up.
    Fail {
        /// Why.
        reason: String,
    },
    /// The run stops on purpose.
    Cancel {
        /// Why.
        reason: String,
    },
}

/// What else a settlement does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Adds jobs.
    Enqueue {
        /// Where to.
        queue: String,
        /// In this order.
        jobs: Vec<Job>,
    },
    /// Writes a key.
    Put {
        /// Which key.
        key: String,
        /// What it holds from now on; `None` removes it.
        value: Option<String>,
    },
}
