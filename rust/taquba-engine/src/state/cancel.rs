//! Cancelling: a job or a run that is not to go on.
//!
//! What waits goes at once. What is being delivered is asked to stop: its holder's token fires, and
//! however the delivery ends, it was the last one. The request is written with the claim, so it holds
//! over restarts.
//!
//! # Invariants
//!
//! 1. After an answer of `Removed` or `RunCancelled(true)` the job is not delivered again, and the run
//!    ends cancelled.
//! 2. A runner that cancels its own run is heard: its reason is the run's. Any other outcome of a step
//!    whose run was cancelled is dropped.
//! 3. A canceller that tells its hook gets the notification, and nobody else does while it holds it.

use std::collections::BTreeMap;

use super::body::Change;
use super::claim::Terms;
use super::job::{Kind, Stage, wrong_state};
use super::lease::Lease;
use super::run::disown;
use super::{Effects, Origin, OutletId, State};
use crate::clock::Now;
use crate::command::{JobCancelled, Reply, StepOutcome, TerminalStatus, Verdict};
use crate::error::{Error, Result};
use crate::ids::{JobId, RunId};
use crate::record::{Body, BodyWork, CancelRow, Row, keys};

/// Notifications on their way to those who cancelled the runs, by row.
#[derive(Debug, Default)]
pub(super) struct Handovers(BTreeMap<u64, Origin>);

impl Handovers {
    /// Those who wait for theirs.
    pub fn waiting(&self) -> impl Iterator<Item = Origin> {
        self.0.values().copied()
    }

    pub fn drop_outlet(&mut self, outlet: OutletId) {
        self.0.retain(|_, origin| origin.outlet != outlet);
    }
}

impl State {
    /// Removes a job that waits; asks the holder of a claimed one to stop.
    pub(super) fn cancel_job(&mut self, job_id: JobId, fx: &mut Effects) -> Result<Reply> {
        let entry = self.find(job_id)?;
        let row = job_id.row;
        match (entry.kind, entry.stage) {
            (_, Stage::Done | Stage::Dead) => {
                return Err(Error::JobNotFound { job_id: job_id.to_string() });
            }
            (Kind::Step, _) => {
                return Err(wrong_state("a step of a run", job_id, "cancel the run instead"));
            }
            (Kind::Notification, _) => {
                let remedy = "its hook has to be told";
                return Err(wrong_state("the notification of a run's end", job_id, remedy));
            }
            (Kind::Plain, Stage::Claimed) => {
                self.request_cancel(row, fx);
                return Ok(Reply::JobCancelled(JobCancelled::Requested));
            }
            (Kind::Plain, Stage::Pending | Stage::Scheduled | Stage::Committing) => {}
        }
        self.drop_body(row);
        self.take_from_index(row);
        self.remove_cancelled(row);
        Ok(Reply::JobCancelled(JobCancelled::Removed))
    }

    /// Ends a run that waits; asks the holder of its step to stop if that is being delivered.
    pub(super) fn cancel_run(
        &mut self,
        origin: Origin,
        run_id: &RunId,
        tells_hook: bool,
        now: Now,
        fx: &mut Effects,
    ) {
        let Some(row) = self.runs.live(run_id).map(|(row, _)| row) else {
            return fx.promise(origin, Ok(Reply::RunCancelled(false)));
        };
        if self.job_is(row, Stage::Claimed) || self.job(row).is_cancel_requested {
            self.request_cancel(row, fx);
            return fx.promise(origin, Ok(Reply::RunCancelled(true)));
        }
        match self.job(row).body.clone() {
            Some(body) => self.end_waiting_run(origin, row, &body, tells_hook, now, fx),
            None => self.park(origin, Change::CancelRun { row, tells_hook }, fx),
        }
    }

    /// Goes on with [`State::cancel_run`] when the step's body has been read; `None` if the row is
    /// about something else meanwhile.
    pub(super) fn resume_cancel_run(
        &mut self,
        origin: Origin,
        (row, tells_hook): (u64, bool),
        body: Option<&Body>,
        now: Now,
        fx: &mut Effects,
    ) {
        let Some(run) = self.runs.in_row(row).filter(|run| run.ended.is_none()) else {
            return fx.promise(origin, Ok(Reply::RunCancelled(false)));
        };
        let run_id = run.run_id.clone();
        let waits = !self.job_is(row, Stage::Claimed);
        match body {
            Some(body) if waits => self.end_waiting_run(origin, row, body, tells_hook, now, fx),
            _ => self.cancel_run(origin, &run_id, tells_hook, now, fx),
        }
    }

    fn end_waiting_run(
        &mut self,
        origin: Origin,
        row: u64,
        body: &Body,
        tells_hook: bool,
        now: Now,
        fx: &mut Effects,
    ) {
        self.drop_body(row);
        self.take_from_index(row);
        match self.end_cancelled_run(row, body, None, tells_hook, now, fx) {
            Some(notification) if tells_hook && self.is_granting && origin.ticket.is_some() => {
                self.handovers.0.insert(notification.row, origin);
            }
            _ => fx.promise(origin, Ok(Reply::RunCancelled(true))),
        }
    }

    /// Ends a run that was cancelled from outside, and removes its present step, which is in no index.
    fn end_cancelled_run(
        &mut self,
        row: u64,
        body: &Body,
        began_at_ms: Option<u64>,
        tells_hook: bool,
        now: Now,
        fx: &mut Effects,
    ) -> Option<JobId> {
        let BodyWork::Step { run_id } = &body.work else {
            unreachable!("only a step's run is cancelled")
        };
        let ended = self.end_of(row, body, began_at_ms, TerminalStatus::Cancelled, None, now);
        let notification = self.end_without_row(row, run_id, &ended, tells_hook, now, fx);
        self.remove_cancelled(row);
        notification
    }

    /// A job whose holder was asked to stop is not delivered again; its body, if it is a step's, is
    /// needed for the end of the run. `began_at_ms` is when the delivery began that ends with it.
    pub(super) fn end_cancelled(
        &mut self,
        row: u64,
        began_at_ms: Option<u64>,
        now: Now,
        fx: &mut Effects,
    ) {
        if self.job(row).kind == Kind::Step {
            let body = self.job(row).body.clone().expect("a delivered job has its body");
            self.end_cancelled_run(row, &body, began_at_ms, false, now, fx);
        } else {
            self.remove_cancelled(row);
        }
    }

    /// Ends a delivery of a step whose run was cancelled, unless its runner says so itself. Whether it
    /// did so.
    pub(super) fn settle_cancelled(
        &mut self,
        lease: &Lease,
        verdict: &Verdict,
        now: Now,
        fx: &mut Effects,
    ) -> bool {
        let entry = self.job(lease.row);
        let is_cancelled = entry.kind == Kind::Step && entry.is_cancel_requested;
        if !is_cancelled || matches!(verdict, Verdict::Step(StepOutcome::Cancel { .. })) {
            return false;
        }
        if let Verdict::Step(outcome) = verdict {
            disown(outcome, fx);
        }
        let is_seen = !matches!(verdict, Verdict::Unseen);
        let began_at_ms = Some(lease.started_at_ms).filter(|_| is_seen);
        self.end_cancelled(lease.row, began_at_ms, now, fx);
        true
    }

    fn request_cancel(&mut self, row: u64, fx: &mut Effects) {
        let entry = self.job_mut(row);
        if std::mem::replace(&mut entry.is_cancel_requested, true) {
            return;
        }
        let held = self.leases.iter().find(|(_, lease)| lease.row == row);
        let (token, lease) = held.expect("a claimed job has a lease");
        if lease.is_delivered {
            fx.cancels.push((self.outlet_of(lease), token));
        }
        // The request has to survive a restart.
        let entry = self.job_mut(row);
        entry.has_cancel_row = true;
        let request = CancelRow { turn: entry.turn };
        self.write(Row::Put(keys::cancel(row), request.encode()));
    }

    pub(super) fn delete_cancel_row(&mut self, row: u64) {
        if std::mem::take(&mut self.job_mut(row).has_cancel_row) {
            self.write(Row::Delete(keys::cancel(row)));
        }
    }

    /// Puts back a job that nobody has seen and that was cancelled meanwhile. A step's body may have
    /// to be read for the end of its run: until then it waits, and the request with it.
    pub(super) fn unclaim_cancelled(&mut self, lease: &Lease, now: Now, fx: &mut Effects) {
        let row = lease.row;
        if self.job(row).kind != Kind::Step || self.job(row).body.is_some() {
            return self.end_cancelled(row, None, now, fx);
        }
        let entry = self.job_mut(row);
        entry.attempts -= 1;
        entry.become_stage(Stage::Committing);
        self.make_ready(row);
        self.park(Origin::NOBODY, Change::CancelRun { row, tells_hook: false }, fx);
    }

    pub(super) fn remove_cancelled(&mut self, row: u64) {
        let queue = self.job(row).queue;
        self.queues.totals(queue).cancelled_total += 1;
        self.remove(row);
    }

    /// Hands a durable notification to the one who cancelled its run, instead of to whoever comes.
    pub(super) fn hand_notification(&mut self, row: u64, now: Now, fx: &mut Effects) {
        let Some(origin) = self.handovers.0.remove(&row) else { return };
        if !self.is_granting {
            return fx.promise(origin, Ok(Reply::RunCancelled(true)));
        }
        let entry = self.job(row);
        let (queue, priority, order) = (entry.queue, entry.priority, entry.order);
        self.queues.at_mut(queue).ready.remove(priority, order);
        let terms = Terms { origin, queue, count_max: 1, lease: None };
        self.grant_rows(terms, None, vec![row], now, fx);
    }
}
