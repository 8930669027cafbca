//! A job's entry in memory, and the states it may take.
//!
//! ```text
//!   enqueue, submit            settle: ack ──► (gone)
//!        │                          ▲
//!        ▼        due               │
//!   Committing ──► Scheduled ──► Pending ──► Claimed ──► Dead ──► (gone, after retention)
//!        │                          ▲           │
//!        └──────────────────────────┘           │ retry, release, next step
//!        ▲                                      │
//!        └──────────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. Every change of state goes through [`JobEntry::become_state`], which asserts
//!    [`JobState::can_become`].
//! 2. `attempts` counts deliveries of the present turn, this one among them, and is at most
//!    `max_attempts`.

use std::sync::Arc;

use super::Digest128;
use crate::command::DedupScope;
use crate::ids::{ClaimToken, JobId};
use crate::record::{Body, JobRow};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Its present form is not durable yet.
    Committing,
    /// Waits for its time.
    Scheduled,
    /// Can be claimed.
    Pending,
    /// Is being delivered under this token.
    Claimed(ClaimToken),
    /// Dead-lettered; kept to be looked at.
    Dead,
}

impl JobState {
    /// Whether a job may go from this state to `next`.
    #[must_use]
    pub const fn can_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Committing, Self::Pending | Self::Scheduled)
            | (Self::Scheduled, Self::Pending)
            | (Self::Pending, Self::Claimed(_))
            | (Self::Claimed(_), Self::Committing | Self::Dead) => true,
            (Self::Committing, Self::Committing | Self::Claimed(_) | Self::Dead)
            | (
                Self::Scheduled,
                Self::Committing | Self::Scheduled | Self::Claimed(_) | Self::Dead,
            )
            | (Self::Pending, Self::Committing | Self::Scheduled | Self::Pending | Self::Dead)
            | (Self::Claimed(_), Self::Scheduled | Self::Pending | Self::Claimed(_))
            | (Self::Dead, _) => false,
        }
    }
}

/// When a job in [`JobState::Committing`] may be claimed after its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    /// On the monotonic clock: a delay that this process gave.
    MonoMs(u64),
    /// On the wall clock: a date, or a delay that an earlier process gave.
    WallMs(u64),
}

/// What memory holds of a job.
#[derive(Debug)]
pub(super) struct JobEntry {
    pub queue: u32,
    pub priority: u32,
    pub order: u64,
    pub turn: u32,
    pub attempts: u32,
    pub max_attempts: u32,
    pub state: JobState,
    pub due: Due,
    /// What `due` is on the wall clock; 0 for now. Stored, so that a restart keeps it.
    pub run_at_ms: u64,
    pub dedup: Option<Digest128>,
    pub dedup_scope: DedupScope,
    /// `None`: read it again before it is delivered.
    pub body: Option<Arc<Body>>,
    /// A claim of this row is in the store and must go with it.
    pub has_claim_row: bool,
    /// Found after an unclean end: it may be what ended the process, so its next claim must be
    /// durable before it is delivered.
    pub is_suspect: bool,
}

impl JobEntry {
    /// A job that has not been delivered and can be as soon as its commit is durable.
    pub fn new(queue: u32, order: u64, priority: u32, max_attempts: u32) -> Self {
        Self {
            queue,
            priority,
            order,
            turn: 0,
            attempts: 0,
            max_attempts,
            state: JobState::Committing,
            due: Due::Now,
            run_at_ms: 0,
            dedup: None,
            dedup_scope: DedupScope::Waiting,
            body: None,
            has_claim_row: false,
            is_suspect: false,
        }
    }

    pub fn become_state(&mut self, next: JobState) {
        assert!(self.state.can_become(next), "no way from {:?} to {next:?}", self.state);
        self.state = next;
    }

    pub fn id(&self, row: u64) -> JobId {
        JobId { row, turn: self.turn }
    }

    /// The stored form with this body.
    pub fn stored<'a>(&self, body: &'a Body, dead_at_ms: Option<u64>) -> JobRow<&'a Body> {
        assert!(self.max_attempts >= 1, "a job of no attempts could never be delivered");
        assert!(self.attempts <= self.max_attempts, "more deliveries than allowed");
        JobRow {
            queue: self.queue,
            order: self.order,
            priority: self.priority,
            turn: self.turn,
            attempts: self.attempts,
            max_attempts: self.max_attempts,
            run_at_ms: self.run_at_ms,
            dead_at_ms,
            dedup_scope: self.dedup_scope,
            body,
        }
    }
}
