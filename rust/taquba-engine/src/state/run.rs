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
use super::job::{JobEntry, Kind};
use super::lease::Lease;
use super::schedule::Expired;
use super::settle::{Ended, cut_text};
use super::{Effects, FixedMap, Origin, OutletId, Query, State, digest128};
use crate::clock::Now;
use crate::command::{
    AttemptEnd, NewRun, Reply, RunOutcome, Start, StepOutcome, Submitted, TerminalStatus, Ticket,
};
use crate::error::{Error, Result};
use crate::ids::{QueueName, RunId};
use crate::limits::{ERROR_TEXT_BYTES_MAX, NOTIFICATION_ATTEMPTS, RESULT_BYTES_MAX};
use crate::options::{bounded_ms, check_attempts, check_duration};
use crate::record::{Body, BodyWork, EndedRun, Headers, Payload, Row, RunRow, keys};

/// What memory holds of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunEntry {
    queue: u32,
    row: u64,
    input_sha256: [u8; 32],
    observed: bool,
    retention_ms: Option<u64>,
    is_live: bool,
}

impl RunEntry {
    pub fn of(stored: &RunRow) -> Self {
        Self {
            queue: stored.queue,
            row: stored.row,
            input_sha256: stored.input_sha256,
            observed: stored.observed,
            retention_ms: stored.retention_ms,
            is_live: stored.ended.is_none(),
        }
    }

    fn stored(&self, ended: Option<EndedRun>) -> RunRow {
        assert!(self.is_live == ended.is_none(), "a run is live until it has ended");
        RunRow {
            queue: self.queue,
            row: self.row,
            input_sha256: self.input_sha256,
            observed: self.observed,
            retention_ms: self.retention_ms,
            ended,
        }
    }
}

/// All runs that are live or retained.
#[derive(Debug, Default)]
pub(super) struct Runs {
    entries: FixedMap<RunId, RunEntry>,
    waiters: BTreeMap<RunId, Vec<Origin>>,
}

impl Runs {
    pub fn insert(&mut self, run_id: RunId, entry: RunEntry) {
        self.entries.insert(run_id, entry);
    }

    pub fn live(&self, run_id: &RunId) -> Option<&RunEntry> {
        self.entries.get(run_id).filter(|run| run.is_live)
    }

    /// Forgets an ended run; `false` if there is none.
    pub fn forget_ended(&mut self, run_id: &RunId) -> bool {
        let ended = self.entries.get(run_id).is_some_and(|run| !run.is_live);
        ended && self.entries.remove(run_id).is_some()
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
            let known = self.runs.entries.get(&run.run_id).map(|entry| &entry.input_sha256);
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
        if self.runs.entries.contains_key(&run.run_id) {
            fx.disown(&run.input);
            return Submitted { run_id: run.run_id, newly_submitted: false };
        }
        let config = &self.queues.at(queue).config;
        let (due, run_at_ms) = due_of(run.start, now);
        let priority = run.priority.unwrap_or(config.default_priority);
        let max_attempts = run.max_attempts.unwrap_or(config.max_attempts);
        let entry = JobEntry {
            due,
            dedup: Some(step_dedup(&run.run_id, 0)),
            ..JobEntry::new(queue, self.next_row, priority, max_attempts)
        };
        let body = Body {
            payload: run.input,
            headers: run.headers,
            enqueued_at_ms: now.wall_ms,
            dedup_key: None,
            last_error: None,
            history: Vec::new(),
            work: BodyWork::Step { run_id: run.run_id.clone() },
        };
        let row = self.insert(entry, body, run_at_ms).row;
        let live = RunEntry {
            queue,
            row,
            input_sha256,
            observed: run.observed,
            retention_ms: run.retention.map(bounded_ms),
            is_live: true,
        };
        self.write(Row::Put(keys::run(&run.run_id), live.stored(None).encode()));
        self.runs.insert(run.run_id.clone(), live);
        self.queues.at_mut(queue).live_run_count += 1;
        Submitted { run_id: run.run_id, newly_submitted: true }
    }

    pub(super) fn await_run(&mut self, origin: Origin, run_id: RunId, fx: &mut Effects) {
        match self.runs.entries.get(&run_id) {
            Some(run) if run.is_live => {
                self.runs.waiters.entry(run_id).or_default().push(origin);
            }
            Some(_) => fx.queries.push((origin, Query::Run(run_id))),
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
            if let StepOutcome::Continue { payload } | StepOutcome::ContinueAfter { payload, .. } =
                &outcome
            {
                fx.disown(payload);
            }
            let error = format!("the step's outcome was refused: {error}");
            self.bury(row, Ended::of(lease, AttemptEnd::DeadLettered, Some(&error)), now, fx);
            return;
        }
        let (status, result, error) = match outcome {
            StepOutcome::Continue { payload } => {
                return self.next_step(row, run_id, body, payload, Start::Now, now);
            }
            StepOutcome::ContinueAfter { payload, delay } => {
                return self.next_step(row, run_id, body, payload, Start::After(delay), now);
            }
            StepOutcome::Succeed { result } => (TerminalStatus::Succeeded, Some(result), None),
            StepOutcome::Fail { reason } => (TerminalStatus::Failed, None, Some(reason)),
            StepOutcome::Cancel { reason } => (TerminalStatus::Cancelled, None, Some(reason)),
        };
        let turn = self.job(row).turn;
        let error = error.as_deref().map(|text| Box::from(cut_text(text, ERROR_TEXT_BYTES_MAX)));
        let headers = body.headers.clone();
        let ended =
            EndedRun { at_ms: now.wall_ms, status, result, error, headers, final_step: turn };
        if self.end_run(run_id, &ended, now, fx) {
            self.become_notification(row, notification_of(run_id, &ended), now);
        } else {
            self.ack(row, Ended::of(lease, AttemptEnd::Acked, None), now);
        }
    }

    /// The next step takes over the row of the one it follows.
    fn next_step(
        &mut self,
        row: u64,
        run_id: &RunId,
        body: &Body,
        payload: Payload,
        start: Start,
        now: Now,
    ) {
        let next = Body {
            payload,
            headers: body.headers.clone(),
            enqueued_at_ms: now.wall_ms,
            dedup_key: None,
            last_error: None,
            history: Vec::new(),
            work: body.work.clone(),
        };
        let turn = self.job(row).turn + 1;
        self.take_over(row, Some(step_dedup(run_id, turn)), Arc::new(next), start, now);
    }

    fn become_notification(&mut self, row: u64, body: Body, now: Now) {
        let entry = self.job_mut(row);
        entry.max_attempts = NOTIFICATION_ATTEMPTS;
        entry.kind = Kind::Notification;
        self.take_over(row, None, Arc::new(body), Start::Now, now);
    }

    fn take_over(
        &mut self,
        row: u64,
        dedup: Option<super::Digest128>,
        body: Arc<Body>,
        start: Start,
        now: Now,
    ) {
        self.free_dedup(row);
        let order = self.take_row();
        let entry = self.jobs.get_mut(row).expect("the caller holds the row");
        entry.turn += 1;
        entry.order = order;
        entry.attempts = 0;
        entry.dedup = dedup;
        let totals = self.queues.totals(entry.queue);
        totals.enqueued_total += 1;
        totals.acked_total += 1;
        self.put_back(row, body, start, now);
    }

    /// The run's last step was dead-lettered: its row stays, so the notification needs its own.
    pub(super) fn fail_run(
        &mut self,
        run_id: &RunId,
        body: &Body,
        final_step: u32,
        now: Now,
        fx: &mut Effects,
    ) {
        let ended = EndedRun {
            at_ms: now.wall_ms,
            status: TerminalStatus::Failed,
            result: None,
            error: body.last_error.clone(),
            headers: body.headers.clone(),
            final_step,
        };
        let run = *self.runs.live(run_id).expect("a step's run is live until the step ends it");
        self.end_without_row(run_id, run, &ended, now, fx);
    }

    /// Ends a run whose row is not free; the notification gets one of its own.
    fn end_without_row(
        &mut self,
        run_id: &RunId,
        run: RunEntry,
        ended: &EndedRun,
        now: Now,
        fx: &mut Effects,
    ) {
        let priority = match self.jobs.get(run.row) {
            Some(job) => job.priority,
            None => self.queues.at(run.queue).config.default_priority,
        };
        if self.end_run(run_id, ended, now, fx) {
            let entry = JobEntry::new(run.queue, self.next_row, priority, NOTIFICATION_ATTEMPTS);
            self.insert(entry, notification_of(run_id, ended), 0);
        }
    }

    /// A live run without a step, found at recovery: its step's row was damaged and moved aside.
    pub(super) fn fail_stepless_runs(&mut self, found: &[RunId], now: Now, fx: &mut Effects) {
        for run_id in found {
            let Some(&run) = self.runs.live(run_id) else { continue };
            if self.jobs.get(run.row).is_some() {
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
            };
            self.end_without_row(run_id, run, &ended, now, fx);
        }
    }

    /// A step without a run, found at recovery: the run's row was damaged. The run goes on; its
    /// input is forgotten, so submitting it again is refused rather than answered wrongly.
    pub(super) fn adopt_step(&mut self, run_id: &RunId, queue: u32, row: u64) {
        if self.runs.entries.contains_key(run_id) {
            return;
        }
        let input_sha256 = [0; 32];
        let live = RunEntry {
            queue,
            row,
            input_sha256,
            observed: true,
            retention_ms: None,
            is_live: true,
        };
        self.write(Row::Put(keys::run(run_id), live.stored(None).encode()));
        self.runs.insert(run_id.clone(), live);
        self.queues.at_mut(queue).live_run_count += 1;
    }

    /// Ends a live run. Whether a hook is to be told.
    fn end_run(&mut self, run_id: &RunId, ended: &EndedRun, now: Now, fx: &mut Effects) -> bool {
        let run = self.runs.entries.get_mut(run_id).expect("a step's run is known");
        assert!(run.is_live, "a run ends once");
        run.is_live = false;
        let run = *run;
        self.write(Row::Put(keys::run(run_id), run.stored(Some(ended.clone())).encode()));
        if let Some(retention_ms) = run.retention_ms {
            self.schedule.forget_at(now.wall_ms + retention_ms, Expired::Run(run_id.clone()));
        }
        let queue = self.queues.at_mut(run.queue);
        queue.live_run_count -= 1;
        let is_observed = run.observed || queue.observes_runs;
        if let Some(waiters) = self.runs.waiters.remove(run_id) {
            let outcome: Arc<RunOutcome> = Arc::new(ended.outcome(run_id));
            for origin in waiters {
                fx.promise(origin, Ok(Reply::Outcome(Arc::clone(&outcome))));
            }
        }
        is_observed
    }
}

/// The dedup key of a step, as the index holds it.
pub(super) fn step_dedup(run_id: &RunId, step_number: u32) -> super::Digest128 {
    digest128(&format!("run:{run_id}:{step_number}"))
}

fn notification_of(run_id: &RunId, ended: &EndedRun) -> Body {
    Body {
        payload: Payload::Inline(ended.result.clone().unwrap_or_default()),
        headers: Headers::clone(&ended.headers),
        enqueued_at_ms: ended.at_ms,
        dedup_key: None,
        last_error: None,
        history: Vec::new(),
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
