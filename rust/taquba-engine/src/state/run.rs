//! Runs: submitted, carried from step to step, ended once.
//!
//! A live run has exactly one job: its present step. A step that continues hands its row to the
//! next one, so a step costs one row; the last step's row becomes the notification for the hook,
//! or goes.
//!
//! # Invariants
//!
//! 1. Step n+1 comes into being in the commit that settles step n.
//! 2. A run ends in one commit with its last job: on a runner's word, a permanent error, used-up
//!    attempts, an expired lease or at recovery.
//! 3. While a run is live or its end is retained, its id stands for one input.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::enqueue::{check_batch, check_payload, check_start, due_of};
use super::job::{JobEntry, Kind, Stage};
use super::lease::Lease;
use super::paged::Paged;
use super::schedule::Expired;
use super::settle::{Ended, cut_text};
use super::{Effects, FixedMap, Origin, OutletId, Query, State};
use crate::clock::Now;
use crate::command::{
    AttemptEnd, NewRun, Reply, RunOutcome, Start, StepOutcome, Submitted, TerminalStatus,
    TerminalStatuses, Ticket,
};
use crate::error::{Error, Result};
use crate::ids::{JobId, QueueName, RunId};
use crate::limits::{ERROR_TEXT_BYTES_MAX, NOTIFICATION_ATTEMPTS, RESULT_BYTES_MAX};
use crate::options::{bounded_ms, check_attempts, check_duration};
use crate::record::{
    Body, BodyWork, EndedRun, Headers, Payload, Row, RunRow, STEP_KEY_PREFIX, Trail, Undecodable,
    keys,
};

/// What memory holds of a run. There may be hundreds of thousands.
#[derive(Debug)]
pub(super) struct RunEntry {
    pub run_id: RunId,
    input_sha256: [u8; 32],
    pub submitted_at_ms: u64,
    retention_ms: u64,
    memo_retention_ms: u64,
    pub queue: u32,
    observed: TerminalStatuses,
    pub has_memos: bool,
    /// How it ended; `None` while it is live.
    pub ended: Option<TerminalStatus>,
}

const _: () = assert!(size_of::<RunEntry>() <= 80, "hundreds of thousands must stay affordable");

/// A retention that does not end.
const FOR_GOOD: u64 = u64::MAX;

impl RunEntry {
    pub fn of(run_id: RunId, stored: &RunRow) -> Self {
        Self {
            run_id,
            input_sha256: stored.input_sha256,
            submitted_at_ms: stored.submitted_at_ms,
            retention_ms: stored.retention_ms.unwrap_or(FOR_GOOD),
            memo_retention_ms: stored.memo_retention_ms.unwrap_or(FOR_GOOD),
            queue: stored.queue,
            observed: stored.observed,
            has_memos: stored.has_memos,
            ended: stored.ended.as_ref().map(|ended| ended.status),
        }
    }

    pub fn stored(&self, row: u64, ended: Option<EndedRun>) -> RunRow {
        assert!(self.ended == ended.as_ref().map(|ended| ended.status), "memory and row agree");
        RunRow {
            queue: self.queue,
            row,
            input_sha256: self.input_sha256,
            submitted_at_ms: self.submitted_at_ms,
            observed: self.observed,
            retention_ms: retention(self.retention_ms),
            memo_retention_ms: retention(self.memo_retention_ms),
            has_memos: self.has_memos,
            ended,
        }
    }
}

fn retention(ms: u64) -> Option<u64> {
    Some(ms).filter(|ms| *ms != FOR_GOOD)
}

/// All runs that are live or retained.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// By the row under which they were submitted, so in that order.
    entries: Paged<RunEntry>,
    rows: FixedMap<RunId, u64>,
    waiters: BTreeMap<RunId, Vec<Origin>>,
}

impl Runs {
    /// Adds a run whose id is free. `false`, and nothing changes, if another one has this row.
    #[must_use]
    pub fn insert(&mut self, row: u64, entry: RunEntry) -> bool {
        let run_id = entry.run_id.clone();
        let is_new = self.entries.insert(row, entry);
        if is_new {
            let before = self.rows.insert(run_id, row);
            assert!(before.is_none(), "a run is submitted once");
        }
        is_new
    }

    /// The run with this id, and its row.
    pub fn find(&self, run_id: &RunId) -> Option<(u64, &RunEntry)> {
        let row = *self.rows.get(run_id)?;
        Some((row, self.entries.get(row).expect("the ids name entries")))
    }

    /// The same while it is live.
    pub fn live(&self, run_id: &RunId) -> Option<(u64, &RunEntry)> {
        self.find(run_id).filter(|(_, run)| run.ended.is_none())
    }

    /// The live run that was submitted under this row.
    pub fn live_mut(&mut self, row: u64) -> Option<&mut RunEntry> {
        self.entries.get_mut(row).filter(|run| run.ended.is_none())
    }

    /// The run that was submitted under this row.
    pub fn in_row(&self, row: u64) -> Option<&RunEntry> {
        self.entries.get(row)
    }

    /// Runs submitted before that in this row, the latest first.
    pub fn before(&self, row: u64) -> impl Iterator<Item = (u64, &RunEntry)> {
        self.entries.range_before(row)
    }

    /// Runs, pages of runs, ids, runs that somebody waits for.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 4] {
        let [count, page_count] = self.entries.sizes();
        [count, page_count, self.rows.len(), self.waiters.len()]
    }

    /// Forgets an ended run; `false` if there is none.
    pub fn forget_ended(&mut self, run_id: &RunId) -> bool {
        let ended = self.find(run_id).filter(|(_, run)| run.ended.is_some());
        let Some(row) = ended.map(|(row, _)| row) else { return false };
        self.rows.remove(run_id);
        self.entries.remove(row).is_some()
    }

    /// Everybody who waits for an end.
    pub fn waiting(&self) -> impl Iterator<Item = Origin> {
        self.waiters.values().flatten().copied()
    }

    pub fn drop_waiters(&mut self, outlet: OutletId) {
        self.retain_waiters(|origin| origin.outlet != outlet);
    }

    /// Takes back the call with this ticket.
    pub fn withdraw(&mut self, outlet: OutletId, ticket: Ticket) {
        self.retain_waiters(|origin| origin.outlet != outlet || origin.ticket != Some(ticket));
    }

    fn retain_waiters(&mut self, is_kept: impl Fn(&Origin) -> bool) {
        self.waiters.retain(|_, waiters| {
            waiters.retain(&is_kept);
            !waiters.is_empty()
        });
    }
}

impl State {
    pub(super) fn submit(
        &mut self,
        queue: &QueueName,
        runs: Vec<NewRun>,
        now: Now,
        fx: &mut Effects,
    ) -> Result<Reply> {
        let hashes: Vec<[u8; 32]> = runs.iter().map(|run| run.input.sha256()).collect();
        self.check_runs(&runs, &hashes)?;
        let queue = self.queue_index(queue)?;
        let submitted = runs
            .into_iter()
            .zip(hashes)
            .map(|(run, input_sha256)| self.submit_one(queue, run, input_sha256, now, fx))
            .collect();
        Ok(Reply::Submitted(submitted))
    }

    fn check_runs(&self, runs: &[NewRun], hashes: &[[u8; 32]]) -> Result<()> {
        check_batch(runs.len())?;
        let mut inputs: BTreeMap<&RunId, &[u8; 32]> = BTreeMap::new();
        for (run, hash) in runs.iter().zip(hashes) {
            check(run)?;
            let known = self.runs.find(&run.run_id).map(|(_, entry)| &entry.input_sha256);
            if known.or_else(|| inputs.get(&run.run_id).copied()).is_some_and(|known| known != hash)
            {
                return Err(Error::InputMismatch { run_id: run.run_id.to_string() });
            }
            inputs.insert(&run.run_id, hash);
        }
        Ok(())
    }

    fn submit_one(
        &mut self,
        queue: u32,
        run: NewRun,
        input_sha256: [u8; 32],
        now: Now,
        fx: &mut Effects,
    ) -> Submitted {
        if self.runs.find(&run.run_id).is_some() {
            fx.disown(&run.input);
            return Submitted { run_id: run.run_id, newly_submitted: false };
        }
        let config = &self.queues.at(queue).config;
        let (due, run_at_ms) = due_of(run.start, now);
        let priority = run.priority.unwrap_or(config.default_priority);
        let max_attempts = run.max_attempts.unwrap_or(config.max_attempts);
        let entry = JobEntry { due, ..JobEntry::new(queue, self.next_row, priority, max_attempts) };
        let body = Body {
            payload: run.input,
            headers: run.headers,
            enqueued_at_ms: now.wall_ms,
            dedup_key: None,
            last_error: None,
            history: Vec::new(),
            trail: Trail::default(),
            work: BodyWork::Step { run_id: run.run_id.clone() },
        };
        let row = self.insert(entry, body, run_at_ms, now).row;
        let live = RunEntry {
            run_id: run.run_id.clone(),
            input_sha256,
            submitted_at_ms: now.wall_ms,
            retention_ms: run.retention.map_or(FOR_GOOD, bounded_ms),
            memo_retention_ms: run.memo_retention.map_or(FOR_GOOD, bounded_ms),
            queue,
            observed: run.observed,
            has_memos: false,
            ended: None,
        };
        self.write(Row::Put(keys::run(&run.run_id), live.stored(row, None).encode()));
        let is_new = self.runs.insert(row, live);
        assert!(is_new, "a sequence number was used twice");
        self.queues.at_mut(queue).live_run_count += 1;
        Submitted { run_id: run.run_id, newly_submitted: true }
    }

    pub(super) fn await_run(&mut self, origin: Origin, run_id: RunId, fx: &mut Effects) {
        match self.runs.find(&run_id) {
            Some((_, run)) if run.ended.is_none() => {
                self.runs.waiters.entry(run_id).or_default().push(origin);
            }
            Some(_) => fx.queries.push((origin, Query::Outcome(run_id))),
            None => fx.answer(origin, Err(Error::RunNotFound { run_id: run_id.to_string() })),
        }
    }

    /// What a runner returned for a claimed step. An outcome over a limit fails the run: it would
    /// be over the limit on every further attempt.
    pub(super) fn settle_step(
        &mut self,
        row: u64,
        body: &Body,
        lease: &Lease,
        outcome: StepOutcome,
        now: Now,
        fx: &mut Effects,
    ) {
        let BodyWork::Step { run_id } = &body.work else {
            unreachable!("only a step's claim takes a step's outcome")
        };
        if let Err(error) = check_outcome(&outcome) {
            disown(&outcome, fx);
            let error = format!("the step's outcome was refused: {error}");
            self.bury(row, Ended::of(lease, AttemptEnd::DeadLettered, Some(&error)), now, fx);
            return;
        }
        let (status, result, error) = match outcome {
            StepOutcome::Continue { payload } => {
                let next = self.step_behind(row, body, lease, payload, now);
                return self.take_over(row, next, Start::Now, now);
            }
            StepOutcome::ContinueAfter { payload, delay } => {
                let next = self.step_behind(row, body, lease, payload, now);
                return self.take_over(row, next, Start::After(delay), now);
            }
            StepOutcome::Succeed { result } => (TerminalStatus::Succeeded, Some(result), None),
            StepOutcome::Fail { reason } => (TerminalStatus::Failed, None, Some(reason)),
            StepOutcome::Cancel { reason } => (TerminalStatus::Cancelled, None, Some(reason)),
        };
        let error = error.as_deref().map(|text| Box::from(cut_text(text, ERROR_TEXT_BYTES_MAX)));
        let ended = self.end_of(row, body, Some(lease.started_at_ms), status, error, now);
        let ended = EndedRun { result, ..ended };
        if self.end_run(row, run_id, &ended, now, fx) {
            self.become_notification(row, notification_of(run_id, &ended), now);
        } else {
            self.ack(row, Ended::of(lease, AttemptEnd::Acked, None), now);
        }
    }

    /// The step that follows one whose delivery ends now. It takes over its row.
    fn step_behind(
        &self,
        row: u64,
        body: &Body,
        lease: &Lease,
        payload: Payload,
        now: Now,
    ) -> Arc<Body> {
        Arc::new(Body {
            payload,
            headers: body.headers.clone(),
            enqueued_at_ms: now.wall_ms,
            dedup_key: None,
            last_error: None,
            history: Vec::new(),
            trail: self.trail_behind(row, body, Some(lease.started_at_ms), None, now),
            work: body.work.clone(),
        })
    }

    fn become_notification(&mut self, row: u64, body: Body, now: Now) {
        let entry = self.job_mut(row);
        entry.max_attempts = NOTIFICATION_ATTEMPTS;
        entry.kind = Kind::Notification;
        // It was heard: the hook is told of it.
        entry.is_cancel_requested = false;
        self.take_over(row, Arc::new(body), Start::Now, now);
    }

    fn take_over(&mut self, row: u64, body: Arc<Body>, start: Start, now: Now) {
        let order = self.take_row();
        let entry = self.jobs.get_mut(row).expect("the caller holds the row");
        entry.turn += 1;
        entry.is_suspect = false;
        entry.order = order;
        entry.attempts = 0;
        let totals = self.queues.totals(entry.queue);
        totals.enqueued_total += 1;
        totals.acked_total += 1;
        self.put_back(row, body, start, now);
    }

    /// The run's last step was dead-lettered: its row stays, so the notification needs its own.
    pub(super) fn fail_run(
        &mut self,
        row: u64,
        run_id: &RunId,
        body: &Body,
        now: Now,
        fx: &mut Effects,
    ) {
        let error = body.last_error.clone();
        let ended = self.end_of(row, body, None, TerminalStatus::Failed, error, now);
        self.end_without_row(row, run_id, &ended, false, now, fx);
    }

    /// Ends a run whose row is not free; its notification gets one of its own. There is one if a hook
    /// is to be told of such an end, or if the caller will tell his (`is_told`).
    pub(super) fn end_without_row(
        &mut self,
        row: u64,
        run_id: &RunId,
        ended: &EndedRun,
        is_told: bool,
        now: Now,
        fx: &mut Effects,
    ) -> Option<JobId> {
        let queue = self.runs.in_row(row).expect("a live run is known").queue;
        let priority = match self.jobs.get(row) {
            Some(job) => job.priority,
            None => self.queues.at(queue).config.default_priority,
        };
        let is_observed = self.end_run(row, run_id, ended, now, fx);
        (is_observed || is_told).then(|| {
            let entry = JobEntry::new(queue, self.next_row, priority, NOTIFICATION_ATTEMPTS);
            self.insert(entry, notification_of(run_id, ended), 0, now)
        })
    }

    /// A live run without a step, found at recovery: its step's row was damaged and moved aside.
    pub(super) fn fail_stepless_runs(&mut self, found: &[RunId], now: Now, fx: &mut Effects) {
        for run_id in found {
            let Some((row, _)) = self.runs.live(run_id) else { continue };
            if self.jobs.get(row).is_some() {
                continue;
            }
            let error = "the record of its present step was damaged and has been moved aside";
            let ended = EndedRun {
                at_ms: now.wall_ms,
                status: TerminalStatus::Failed,
                result: None,
                error: Some(Box::from(error)),
                headers: Headers::default(),
                final_step: 0,
                attempts: 0,
                trail: Trail::default(),
            };
            self.end_without_row(row, run_id, &ended, false, now, fx);
        }
    }

    /// Checks a step that was found at recovery. If the row of its run was damaged, the run goes on; its
    /// input is forgotten, so submitting it again is refused rather than answered wrongly.
    pub(super) fn adopt_step(
        &mut self,
        run_id: &RunId,
        queue: u32,
        row: u64,
        submitted_at_ms: u64,
    ) -> Result<(), Undecodable> {
        if let Some((known, run)) = self.runs.find(run_id) {
            let is_its_step = known == row && run.ended.is_none();
            let wrong = || Undecodable(format!("no step of run `{run_id}` belongs here"));
            return is_its_step.then_some(()).ok_or_else(wrong);
        }
        let live = RunEntry {
            run_id: run_id.clone(),
            input_sha256: [0; 32],
            submitted_at_ms,
            retention_ms: FOR_GOOD,
            memo_retention_ms: FOR_GOOD,
            queue,
            observed: TerminalStatuses::ALL,
            has_memos: true,
            ended: None,
        };
        let stored = live.stored(row, None).encode();
        if !self.runs.insert(row, live) {
            return Err(Undecodable(format!("a step of `{run_id}` in the row of another run")));
        }
        self.write(Row::Put(keys::run(run_id), stored));
        self.queues.at_mut(queue).live_run_count += 1;
        Ok(())
    }

    /// The row of the waiting step that has a dedup key. Steps are in no index of keys: theirs say where
    /// they are.
    pub(super) fn step_with_key(&self, queue: u32, key: &str) -> Option<u64> {
        let (run_id, step_number) = key.strip_prefix(STEP_KEY_PREFIX)?.rsplit_once(':')?;
        let (row, run) = self.runs.live(&run_id.parse().ok()?)?;
        let step = self.job(row);
        let waits = matches!(step.stage, Stage::Committing | Stage::Scheduled | Stage::Pending);
        let is_meant = run.queue == queue && waits && step.turn.to_string() == step_number;
        is_meant.then_some(row)
    }

    /// Ends a live run. Whether a hook is to be told.
    fn end_run(
        &mut self,
        row: u64,
        run_id: &RunId,
        ended: &EndedRun,
        now: Now,
        fx: &mut Effects,
    ) -> bool {
        let run = self.runs.live_mut(row).expect("a run ends once");
        run.ended = Some(ended.status);
        let stored = run.stored(row, Some(ended.clone()));
        self.write(Row::Put(keys::run(run_id), stored.encode()));
        if let Some(retention_ms) = stored.retention_ms {
            self.schedule.forget_at(now.wall_ms + retention_ms, Expired::Run(run_id.clone()));
        }
        if stored.has_memos {
            self.forget_memo_objects(row);
            if let Some(retention_ms) = stored.memo_retention_ms {
                self.sweep_memos_at(row, now.wall_ms + retention_ms);
            }
        }
        let queue = self.queues.at_mut(stored.queue);
        queue.live_run_count -= 1;
        let is_observed = stored.observed.union(queue.observes_runs).contains(ended.status);
        if let Some(waiters) = self.runs.waiters.remove(run_id) {
            let outcome: Arc<RunOutcome> = Arc::new(ended.outcome(run_id));
            for origin in waiters {
                fx.promise(origin, Ok(Reply::Outcome(Arc::clone(&outcome))));
            }
        }
        is_observed
    }
}

/// What a step wanted to go on with is not needed.
pub(super) fn disown(outcome: &StepOutcome, fx: &mut Effects) {
    if let StepOutcome::Continue { payload } | StepOutcome::ContinueAfter { payload, .. } = outcome
    {
        fx.disown(payload);
    }
}

fn notification_of(run_id: &RunId, ended: &EndedRun) -> Body {
    Body {
        payload: Payload::Inline(ended.result.clone().unwrap_or_default()),
        headers: Headers::clone(&ended.headers),
        enqueued_at_ms: ended.at_ms,
        dedup_key: None,
        last_error: None,
        history: Vec::new(),
        trail: Trail::default(),
        work: BodyWork::Notification {
            run_id: run_id.clone(),
            status: ended.status,
            error: ended.error.clone(),
            final_step: ended.final_step,
        },
    }
}

fn check(run: &NewRun) -> Result<()> {
    check_payload(&run.input)?;
    check_start(run.start)?;
    check_duration("run_retention", run.retention.unwrap_or_default())?;
    check_duration("memo_retention", run.memo_retention.unwrap_or_default())?;
    run.max_attempts.map_or(Ok(()), check_attempts)
}

fn check_outcome(outcome: &StepOutcome) -> Result<()> {
    match outcome {
        StepOutcome::Continue { payload } => check_payload(payload),
        StepOutcome::ContinueAfter { payload, delay } => {
            check_payload(payload)?;
            check_duration("delay", *delay)
        }
        StepOutcome::Succeed { result } if result.len() > RESULT_BYTES_MAX => {
            Err(Error::ResultTooLarge { size_bytes: result.len() })
        }
        StepOutcome::Succeed { .. } | StepOutcome::Fail { .. } | StepOutcome::Cancel { .. } => {
            Ok(())
        }
    }
}
