//! A job's entry in memory, and the stages it may be in.
//!
//! ```text
//!   enqueue, submit            settle, purge, cancel, retention ──► (gone)
//!        │                          ▲
//!        ▼        due               │
//!   Committing ──► Scheduled ──► Pending ──► Claimed ──► Done, if kept
//!        │             │ wake       ▲           │ └────► Dead
//!        │◄────────────┘            │           │          │ requeue
//!        └──────────────────────────┘           │          │
//!        ▲                                      │          │
//!        └──────────────────────────────────────┴──────────┘
//!                      retry, release, next step
//! ```
//!
//! # Invariants
//!
//! 1. Every change of stage goes through [`JobEntry::become_stage`], which asserts
//!    [`Stage::can_become`].
//! 2. `attempts` counts deliveries of the present turn, this one among them, and is at most
//!    `max_attempts`.
//! 3. A job leaves from any stage: what removes it takes it out of the indexes of that stage.

use std::sync::Arc;

use super::Digest128;
use crate::clock::Now;
use crate::command::{DedupScope, JobState};
use crate::error::Error;
use crate::ids::JobId;
use crate::record::{Body, BodyWork, JobEnd, JobRow};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its present form is not durable yet.
    Committing,
    /// Waits for its time.
    Scheduled,
    /// Can be claimed.
    Pending,
    /// Is being delivered.
    Claimed,
    /// Acked; kept to be looked at.
    Done,
    /// Dead-lettered; kept to be looked at.
    Dead,
}

impl Stage {
    /// Whether a job may go from this stage to `next`.
    #[must_use]
    pub const fn can_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Committing, Self::Pending | Self::Scheduled)
            | (Self::Scheduled, Self::Pending | Self::Committing)
            | (Self::Pending, Self::Claimed)
            | (Self::Claimed, Self::Committing | Self::Done | Self::Dead)
            | (Self::Dead, Self::Committing) => true,
            (Self::Committing, Self::Committing | Self::Claimed | Self::Done | Self::Dead)
            | (Self::Scheduled, Self::Scheduled | Self::Claimed | Self::Done | Self::Dead)
            | (
                Self::Pending,
                Self::Committing | Self::Scheduled | Self::Pending | Self::Done | Self::Dead,
            )
            | (Self::Claimed, Self::Scheduled | Self::Pending | Self::Claimed)
            | (
                Self::Dead,
                Self::Scheduled | Self::Pending | Self::Claimed | Self::Done | Self::Dead,
            )
            | (Self::Done, _) => false,
        }
    }

    /// The stage of a job that is kept after its end.
    pub const fn of_end(end: JobEnd) -> Self {
        match end {
            JobEnd::Done => Self::Done,
            JobEnd::Dead => Self::Dead,
        }
    }
}

/// When a job may be claimed, or when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    /// On the monotonic clock: a delay that this process gave.
    MonoMs(u64),
    /// On the wall clock: a date, a delay that an earlier process gave, or the end of a job.
    WallMs(u64),
}

impl Due {
    /// How long it waits from now on.
    pub const fn wait_ms(self, now: Now) -> u64 {
        match self {
            Self::Now => 0,
            Self::MonoMs(at_ms) => at_ms.saturating_sub(now.mono_ms),
            Self::WallMs(at_ms) => at_ms.saturating_sub(now.wall_ms),
        }
    }
}

/// What a job is about, as far as decisions depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Step,
    Notification,
}

impl Kind {
    pub const fn of(work: &BodyWork) -> Self {
        match work {
            BodyWork::Job => Self::Plain,
            BodyWork::Step { .. } => Self::Step,
            BodyWork::Notification { .. } => Self::Notification,
        }
    }
}

/// What memory holds of a job. There may be millions: every byte counts.
#[derive(Debug)]
pub(super) struct JobEntry {
    pub order: u64,
    pub due: Due,
    /// `None`: read it again before it is delivered.
    pub body: Option<Arc<Body>>,
    pub queue: u32,
    pub priority: u32,
    pub turn: u32,
    pub attempts: u32,
    pub max_attempts: u32,
    pub dedup: Option<Digest128>,
    pub dedup_scope: DedupScope,
    pub stage: Stage,
    pub kind: Kind,
    /// A request to cancel this row is in the store and must go with it.
    pub has_cancel_row: bool,
    /// Found after an unclean end: it may be what ended the process, so each claim of it must be
    /// durable before it is delivered. It may fail first, and kill on its retry.
    pub is_suspect: bool,
    /// Its holder was asked to stop: it is not delivered again.
    pub is_cancel_requested: bool,
}

const _: () = assert!(size_of::<JobEntry>() <= 80, "a million waiting jobs must stay affordable");

impl JobEntry {
    /// A job that has not been delivered and can be as soon as its commit is durable.
    pub fn new(queue: u32, order: u64, priority: u32, max_attempts: u32) -> Self {
        Self {
            order,
            due: Due::Now,
            body: None,
            queue,
            priority,
            turn: 0,
            attempts: 0,
            max_attempts,
            dedup: None,
            dedup_scope: DedupScope::Waiting,
            stage: Stage::Committing,
            kind: Kind::Plain,
            has_cancel_row: false,
            is_suspect: false,
            is_cancel_requested: false,
        }
    }

    pub fn become_stage(&mut self, next: Stage) {
        assert!(self.stage.can_become(next), "no way from {:?} to {next:?}", self.stage);
        self.stage = next;
    }

    pub fn id(&self, row: u64) -> JobId {
        JobId { row, turn: self.turn }
    }

    /// Where users see it.
    pub fn state(&self) -> JobState {
        match (self.stage, self.due) {
            (Stage::Committing, Due::Now) | (Stage::Pending, _) => JobState::Pending,
            (Stage::Committing | Stage::Scheduled, _) => JobState::Scheduled,
            (Stage::Claimed, _) => JobState::Claimed,
            (Stage::Done, _) => JobState::Done,
            (Stage::Dead, _) => JobState::Dead,
        }
    }

    /// The stored form of a live job with this body, not claimable before `run_at_ms` (0 for now).
    pub fn stored<'a>(&self, body: &'a Body, run_at_ms: u64) -> JobRow<&'a Body> {
        assert!(self.max_attempts >= 1, "a job of no attempts could never be delivered");
        assert!(self.attempts <= self.max_attempts, "more deliveries than allowed");
        JobRow {
            queue: self.queue,
            order: self.order,
            priority: self.priority,
            turn: self.turn,
            attempts: self.attempts,
            max_attempts: self.max_attempts,
            run_at_ms,
            ended: None,
            dedup_scope: self.dedup_scope,
            body,
        }
    }
}

/// What is told of a job that is not in a stage in which this can be done to it.
pub(super) fn wrong_state(state: &str, job_id: JobId, remedy: &str) -> Error {
    let (job_id, state, remedy) = (job_id.to_string(), state.to_owned(), remedy.to_owned());
    Error::WrongJobState { job_id, state, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_allow_what_the_drawing_shows() {
        use Stage::{Claimed, Committing, Dead, Done, Pending, Scheduled};
        let stages = [Committing, Scheduled, Pending, Claimed, Done, Dead];
        let mut ways = 0;
        for from in stages {
            for to in stages {
                ways += usize::from(from.can_become(to));
            }
        }

        assert_eq!(ways, 9);
        assert!(!Committing.can_become(Claimed));
    }

    #[test]
    fn what_is_done_stays_done_and_what_is_dead_only_comes_back_through_a_commit() {
        use Stage::{Claimed, Committing, Dead, Done, Pending, Scheduled};
        for next in [Committing, Scheduled, Pending, Claimed, Done, Dead] {
            assert!(!Done.can_become(next), "{next:?}");
            assert_eq!(Dead.can_become(next), next == Committing, "{next:?}");
        }
    }
}
