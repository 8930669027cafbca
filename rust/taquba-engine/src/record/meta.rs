//! Small rows: the store's own, a queue's, an open claim's.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Undecodable, decode, encode};

/// The store: who owns it, and whether the last owner left in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Version of the whole layout.
    pub format: u32,
    /// Grows with each open; the upper part of claim tokens.
    pub epoch: u32,
    /// Written `true` by an orderly close, `false` by every open.
    pub clean: bool,
}

/// What must only grow. Written with every commit.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sequence {
    /// The next row's number.
    pub next: u64,
    /// No clock of a later owner reads less.
    pub wall_floor_ms: u64,
}

/// A queue: its name and what it has seen. Written with every commit that touches it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueueRow {
    /// The queue's name.
    pub name: String,
    /// Jobs ever enqueued.
    pub enqueued_total: u64,
    /// Deliveries ever acked.
    pub acked_total: u64,
    /// Jobs ever made to wait again: nacked, released, expired or requeued.
    pub retried_total: u64,
    /// Jobs ever dead-lettered.
    pub dead_total: u64,
    /// Jobs ever cancelled.
    pub cancelled_total: u64,
    /// What it holds now.
    pub counts: QueueCounts,
}

/// Jobs of a queue as they were when a commit that touched it was cut. For readers in other
/// processes: its owner counts afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueueCounts {
    /// Claimable.
    pub pending: u64,
    /// Claimable later.
    pub scheduled: u64,
    /// Being delivered.
    pub claimed: u64,
    /// Acked and kept.
    pub done: u64,
    /// Dead-lettered and kept.
    pub dead: u64,
    /// Runs that have not ended.
    pub live_runs: u64,
}

/// A claim that was still open when a commit went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenClaim {
    /// The row of the job that it claims.
    pub row: u64,
    /// The turn of that job; a claim of another turn is stale.
    pub turn: u32,
    /// The place of that job in its queue. One that was requeued has another, and its attempts began
    /// again: a claim from before is stale.
    pub order: u64,
    /// Deliveries so far, this one among them. A job that says as many itself has ended this one.
    pub attempts: u32,
    /// When it was claimed.
    pub started_at_ms: u64,
}

/// The claims that were still open when a commit went out and were in no row before. Where two rows
/// speak of one job, the later counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimsRow {
    /// In the order in which they were granted.
    pub claims: Vec<OpenClaim>,
}

impl ClaimsRow {
    /// The row's value.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        const CLAIM_BYTES: usize = 16;
        encode(self, CLAIM_BYTES * (1 + self.claims.len()))
    }

    /// Reads a row's value.
    ///
    /// # Errors
    ///
    /// [`Undecodable`] says what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        decode(bytes)
    }
}

/// The holder of a job was asked to stop: the job is not to be delivered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRow {
    /// The turn of the job; a request of another turn is stale.
    pub turn: u32,
}

macro_rules! small_row {
    ($type:ty) => {
        impl $type {
            /// The row's value.
            #[must_use]
            pub fn encode(&self) -> Bytes {
                const SIZE_HINT: usize = 48;
                encode(self, SIZE_HINT)
            }

            /// Reads a row's value.
            ///
            /// # Errors
            ///
            /// [`Undecodable`] says what is wrong with the bytes.
            pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
                decode(bytes)
            }
        }
    };
}

small_row!(Meta);
small_row!(Sequence);
small_row!(QueueRow);
small_row!(CancelRow);
