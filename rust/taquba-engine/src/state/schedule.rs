//! Jobs that wait for their time, and ended things that wait to be forgotten.
//!
//! # Invariants
//!
//! 1. A delay given by this process runs on the monotonic clock, so no jump of the wall clock
//!    collapses or stretches it. Dates, and delays found in the store, run on the wall clock.
//! 2. Entries of one instant come out in the order of their rows.

use std::collections::BTreeSet;

use super::State;
use super::job::{Due, JobState};
use crate::clock::Now;
use crate::ids::{JobId, RunId};
use crate::record::{Row, keys};

/// What to forget when its retention has passed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expired {
    DeadJob(u64),
    Run(RunId),
}

/// Everything that happens by itself.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    mono: BTreeSet<(u64, JobId)>,
    wall: BTreeSet<(u64, JobId)>,
    retention: BTreeSet<(u64, Expired)>,
}

impl Schedule {
    pub fn add(&mut self, due: Due, id: JobId) {
        match due {
            Due::Now => unreachable!("what is due now is not scheduled"),
            Due::MonoMs(at_ms) => self.mono.insert((at_ms, id)),
            Due::WallMs(at_ms) => self.wall.insert((at_ms, id)),
        };
    }

    pub fn forget_at(&mut self, wall_ms: u64, what: Expired) {
        self.retention.insert((wall_ms, what));
    }

    /// Milliseconds until the next entry is due.
    pub fn next_in_ms(&self, now: Now) -> Option<u64> {
        let mono = self.mono.first().map(|(at_ms, _)| at_ms.saturating_sub(now.mono_ms));
        let wall = self.wall.first().map(|(at_ms, _)| at_ms.saturating_sub(now.wall_ms));
        let kept = self.retention.first().map(|(at_ms, _)| at_ms.saturating_sub(now.wall_ms));
        [mono, wall, kept].into_iter().flatten().min()
    }

    fn pop_due(&mut self, now: Now) -> Option<JobId> {
        let pop = |set: &mut BTreeSet<(u64, JobId)>, now_ms| {
            let due = set.first().is_some_and(|(at_ms, _)| *at_ms <= now_ms);
            if due { set.pop_first() } else { None }
        };
        pop(&mut self.mono, now.mono_ms)
            .or_else(|| pop(&mut self.wall, now.wall_ms))
            .map(|due| due.1)
    }

    fn pop_expired(&mut self, now: Now) -> Option<Expired> {
        let due = self.retention.first().is_some_and(|(at_ms, _)| *at_ms <= now.wall_ms);
        if due { self.retention.pop_first().map(|(_, what)| what) } else { None }
    }
}

impl State {
    /// Milliseconds until something happens by itself; `None` if nothing will.
    #[must_use]
    pub fn next_timer_ms(&self, now: Now) -> Option<u64> {
        let lease = self.leases.next_expiry_ms(now);
        [self.schedule.next_in_ms(now), lease].into_iter().flatten().min()
    }

    /// Lets everything happen that is due: scheduled jobs, expired leases, passed retention.
    pub fn tick(&mut self, now: Now, fx: &mut super::Effects) {
        while let Some(id) = self.schedule.pop_due(now) {
            self.promote(id);
        }
        self.expire_leases(now, fx);
        while let Some(what) = self.schedule.pop_expired(now) {
            self.forget(&what);
        }
    }

    fn promote(&mut self, id: JobId) {
        let Some(entry) = self.jobs.get(&id.row) else { return };
        if entry.turn != id.turn || entry.state != JobState::Scheduled {
            return;
        }
        self.queues.at_mut(entry.queue).scheduled_count -= 1;
        self.make_ready(id.row);
    }

    fn forget(&mut self, what: &Expired) {
        match what {
            Expired::DeadJob(row) => {
                let entry = self.jobs.get(row).expect("a dead job leaves by its retention only");
                assert!(entry.state == JobState::Dead, "only dead jobs have this retention");
                let queue = entry.queue;
                self.queues.at_mut(queue).dead_count -= 1;
                self.remove(*row);
            }
            Expired::Run(run_id) => {
                if self.runs.forget_ended(run_id) {
                    self.write(Row::Delete(keys::run(run_id)));
                }
            }
        }
    }
}
