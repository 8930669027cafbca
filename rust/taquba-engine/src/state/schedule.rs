//! Jobs that wait for their time, and ended things that wait to be forgotten.
//!
//! # Invariants
//!
//! 1. A delay given by this process runs on the monotonic clock, so no jump of the wall clock
//!    collapses or stretches it. Dates, and delays found in the store, run on the wall clock.
//! 2. Entries of one instant come out in the order of their rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::body::Change;
use super::job::{Due, Stage, wrong_state};
use super::{Effects, Origin, State};
use crate::clock::Now;
use crate::command::{Reply, Start};
use crate::error::Result;
use crate::ids::{JobId, RunId};
use crate::limits::COMMIT_BYTES_MAX;
use crate::record::{Body, Row, keys};

/// What to forget when its retention has passed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expired {
    Job(u64),
    Run(RunId),
    /// Of the run that was submitted under this row.
    Memos(u64),
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

    /// Takes out what [`Schedule::add`] put in.
    pub fn remove(&mut self, due: Due, id: JobId) {
        let was_there = match due {
            Due::Now => unreachable!("what is due now is not scheduled"),
            Due::MonoMs(at_ms) => self.mono.remove(&(at_ms, id)),
            Due::WallMs(at_ms) => self.wall.remove(&(at_ms, id)),
        };
        assert!(was_there, "a scheduled job is in the schedule");
    }

    /// Jobs that wait for either clock, and what waits to be forgotten.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 3] {
        [self.mono.len(), self.wall.len(), self.retention.len()]
    }

    pub fn forget_at(&mut self, wall_ms: u64, what: Expired) {
        self.retention.insert((wall_ms, what));
    }

    /// Takes back a [`Schedule::forget_at`].
    pub fn keep(&mut self, wall_ms: u64, what: Expired) {
        self.retention.remove(&(wall_ms, what));
    }

    /// Milliseconds until the next entry is due.
    pub fn next_in_ms(&self, now: Now) -> Option<u64> {
        let mono = self.mono.first().map(|(at_ms, _)| at_ms.saturating_sub(now.mono_ms));
        let wall = self.wall.first().map(|(at_ms, _)| at_ms.saturating_sub(now.wall_ms));
        [mono, wall].into_iter().flatten().min()
    }

    /// Milliseconds until something is to be forgotten.
    pub fn next_expiry_ms(&self, now: Now) -> Option<u64> {
        self.retention.first().map(|(at_ms, _)| at_ms.saturating_sub(now.wall_ms))
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
        let wait = self.waiting.next_deadline_ms(now);
        let kept = self.schedule.next_expiry_ms(now).filter(|_| self.may_forget());
        [self.schedule.next_in_ms(now), kept, lease, wait].into_iter().flatten().min()
    }

    /// Lets everything happen that is due: scheduled jobs, expired leases, ended waits, passed
    /// retention.
    pub fn tick(&mut self, now: Now, fx: &mut Effects) {
        while let Some(id) = self.schedule.pop_due(now) {
            self.promote(id);
        }
        self.expire_leases(now, fx);
        self.serve_waiting(now, fx);
        self.end_waits(now, fx);
        while self.may_forget()
            && let Some(what) = self.schedule.pop_expired(now)
        {
            self.forget(&what, fx);
        }
    }

    /// Whether there is room in the next commit for what has to be forgotten.
    fn may_forget(&self) -> bool {
        self.row_bytes < COMMIT_BYTES_MAX
    }

    /// Makes a scheduled job claimable now; its body may have to be read first.
    pub(super) fn wake(&mut self, origin: Origin, job_id: JobId, now: Now, fx: &mut Effects) {
        let body = self.jobs.get(job_id.row).and_then(|entry| entry.body.clone());
        match (self.check_waits(job_id), body) {
            (Ok(()), _) if self.job_is(job_id.row, Stage::Pending) => {
                fx.promise(origin, Ok(Reply::Done));
            }
            (Ok(()), None) => self.park(origin, Change::Wake(job_id), fx),
            (Ok(()), Some(body)) => {
                let woken = self.wake_with(job_id, body, now);
                fx.promise(origin, woken);
            }
            (Err(error), _) => fx.answer(origin, Err(error)),
        }
    }

    pub(super) fn wake_with(&mut self, job_id: JobId, body: Arc<Body>, now: Now) -> Result<Reply> {
        self.check_waits(job_id)?;
        let row = job_id.row;
        let entry = self.job_mut(row);
        match entry.stage {
            Stage::Scheduled => {
                self.take_from_index(row);
                self.drop_body(row);
                self.put_back(row, body, Start::Now, now);
            }
            Stage::Committing => {
                // Its commit is on the way and will find it due; the row has to say so as well.
                self.end_commit(row);
                let entry = self.job_mut(row);
                entry.due = Due::Now;
                let value = entry.stored(&body, 0).encode();
                self.write(Row::Put(keys::job(row), value));
                self.begin_commit(row);
            }
            // It is claimable already.
            _ => {}
        }
        Ok(Reply::Done)
    }

    fn check_waits(&self, job_id: JobId) -> Result<()> {
        let entry = self.find(job_id)?;
        match entry.stage {
            Stage::Committing | Stage::Scheduled | Stage::Pending => Ok(()),
            Stage::Claimed | Stage::Done | Stage::Dead => {
                let state = entry.state().name();
                Err(wrong_state(state, job_id, "only scheduled jobs can be woken"))
            }
        }
    }

    fn promote(&mut self, id: JobId) {
        let Some(entry) = self.jobs.get(id.row) else { return };
        if entry.turn != id.turn || entry.stage != Stage::Scheduled {
            return;
        }
        let queue = entry.queue;
        self.queues.at_mut(queue).scheduled_count -= 1;
        self.make_ready(id.row);
    }

    fn forget(&mut self, what: &Expired, fx: &mut Effects) {
        match what {
            Expired::Job(row) => {
                let queue = self.job(*row).queue;
                self.remove_ended(*row);
                self.queues.totals(queue);
            }
            Expired::Run(run_id) => {
                if self.runs.forget_ended(run_id) {
                    self.write(Row::Delete(keys::run(run_id)));
                }
            }
            Expired::Memos(row) => fx.memo_sweeps.push(*row),
        }
    }
}
