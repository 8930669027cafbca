//! Histories: what the world saw of a store, in the order in which it saw it.
//!
//! A simulation and a test of real processes write the same events, and the same checkers
//! (`check/`) read them. A file of them has one JSON object a line.
//!
//! # Invariants
//!
//! 1. Events are in the order of one observer: an answer that stands before an invocation had come
//!    before it was made.
//! 2. An observer that dies with its process says nothing any more: a call without an answer may
//!    have been carried out or not.
//! 3. Payloads, results and values are told as text, whole or by a digest, and two that differ are
//!    told differently.
//!
//! | file | owns |
//! |---|---|
//! | `mod.rs` | events: owners, calls, deliveries, what is found in the end |
//! | `op.rs` | what is asked |
//! | `answer.rs` | what comes back |
//! | `file.rs` | reading and writing files of events, and the digest of one |

mod answer;
mod file;
mod op;

use serde::{Deserialize, Serialize};

pub use answer::{
    Answer, Claim, Enqueued, Got, JobSeen, QueueCounts, RunEnd, RunSeen, Submitted, Work,
};
pub use file::{Digest, read, write};
pub use op::{Effect, Headers, Job, Op, Run, Verdict};

/// One process's (or simulated process's) time with the store open, by number; never used again.
pub type Owner = u32;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds of the observer's steady clock.
    pub at_ms: u64,
    /// The calendar of the owner's machine, in milliseconds since the Unix epoch; may jump.
    #[serde(default)]
    pub wall_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// Stands first: what the checkers have to know.
    Profile(Profile),
    /// An open is about to be tried.
    Opening {
        /// By whom.
        owner: Owner,
        /// Whether it would take the store away from a live owner.
        takeover: bool,
    },
    /// It has the store.
    Opened {
        /// Who.
        owner: Owner,
        /// The epoch of its claim tokens; 0 if the observer cannot tell.
        #[serde(default)]
        epoch: u32,
    },
    /// It was refused.
    Refused {
        /// Who.
        owner: Owner,
        /// The error's code.
        code: String,
    },
    /// From here on nothing that this owner does counts.
    Ended {
        /// Who.
        owner: Owner,
        /// How.
        how: End,
    },
    /// A call is made.
    Invoked {
        /// Of whom.
        owner: Owner,
        /// Its number, unique in the history.
        call: u64,
        /// What is asked.
        op: Op,
    },
    /// A call is answered.
    Answered {
        /// By whom.
        owner: Owner,
        /// Which call.
        call: u64,
        /// With what.
        answer: Answer,
    },
    /// A job is handed out, by a claim or to a subscription.
    Delivered {
        /// By whom.
        owner: Owner,
        /// The call that it answers; `None` for a subscription.
        #[serde(default)]
        call: Option<u64>,
        /// The job.
        claim: Claim,
    },
    /// The holder of a claim is asked to stop.
    StopRequested {
        /// By whom.
        owner: Owner,
        /// Whose claim.
        token: String,
    },
    /// The calendar of an owner's machine was set while it ran.
    ClockSet {
        /// Whose.
        owner: Owner,
    },
    /// A consumer (an event loop, a connection) went without a word, while its owner lives on: its claims
    /// are handed back, and its calls are carried out but not answered.
    Left {
        /// Of whom.
        owner: Owner,
        /// Its claims.
        tokens: Vec<String>,
        /// Its calls that had no answer yet.
        calls: Vec<u64>,
    },
    /// A stored record was damaged on purpose, while nobody had the store open: what it said is lost,
    /// and nothing else may be.
    Damaged {
        /// The job that it was, if it was one (a step or notification of `run`, if that is there too).
        job: Option<String>,
        /// The run that it was, or belonged to.
        run: Option<String>,
    },
    /// Nothing goes wrong from here on: what is due must be worked off.
    Calmed,
    /// Nothing is left to do.
    Drained,
    /// Things were left to do after all the time that was given.
    Stuck {
        /// What.
        left: String,
    },
    /// All rows were read and held against each other.
    Scrubbed {
        /// What did not fit.
        problems: Vec<String>,
    },
    /// A job that is there in the end.
    FoundJob(JobSeen),
    /// A run that is there in the end.
    FoundRun(RunSeen),
    /// A key that is there in the end.
    FoundValue {
        /// The key.
        key: String,
        /// What it holds.
        value: String,
    },
    /// All that is there has been told, by the four events above.
    FoundAll,
    /// What the owner counts, and what a recount gives.
    Counted {
        /// What it says.
        told: Vec<QueueCounts>,
        /// What is there.
        recounted: Vec<QueueCounts>,
    },
}

/// How an owner's time ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It was killed.
    Crashed,
    /// It closed the store in order.
    Closed,
    /// Another owner took the store.
    Fenced,
    /// The store failed it.
    Failed,
}

/// What the checkers have to know of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Where it comes from: `lane-a`, `lane-b`, `kill` and so on.
    pub lane: String,
    /// What repeats it.
    #[serde(default)]
    pub seed: u64,
    /// Deliveries before a plain job or step is dead-lettered, if it does not say.
    pub max_attempts: u32,
    /// Deliveries before a notification is given up.
    pub hook_max_attempts: u32,
    /// First delay of a retry; doubles.
    pub backoff_base_ms: u64,
    /// Longest delay of a retry.
    pub backoff_max_ms: u64,
    /// Whether the delay of a retry is anything between zero and the backoff.
    pub has_jitter: bool,
    /// How long a claim lasts if the claimer does not say.
    pub lease_ms: u64,
    /// How long dead jobs stay; `None` for good.
    pub dead_retention_ms: Option<u64>,
    /// How long acked jobs stay; `None` if they go with the ack.
    pub done_retention_ms: Option<u64>,
    /// How exact times are: roundings, and how late the observer may note something.
    pub slack_ms: u64,
    /// How long a call may take at most, with everything that goes wrong.
    pub call_ms_max: u64,
    /// How long everything may take to be worked off once nothing goes wrong.
    pub drain_ms_max: u64,
    /// Whether the observer notes every delivery and call, and in the order in which the owner made
    /// them: otherwise what needs that is not checked.
    pub is_complete: bool,
}
