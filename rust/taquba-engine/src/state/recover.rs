//! Recovery: the state is rebuilt from the rows that a scan finds.
//!
//! # Invariants
//!
//! 1. A job that was claimed when the last owner ended is pending again and has consumed an
//!    attempt; after its last attempt it is dead, and its run has failed. If its holder had been asked
//!    to stop, it is gone.
//! 2. After an unclean end every recovered job is suspect: it may be what ended the process. Its
//!    next claim is durable before it is delivered.
//! 3. A damaged row is moved aside and counted; it stops neither its queue nor the open.
//! 4. Rows are placed one by one as they come: memory holds what the state holds, however many there
//!    are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cancel::Handovers;
use super::claim_rows::ClaimRows;
use super::enqueue::due_of;
use super::job::{JobEntry, Kind, Stage};
use super::kv::KvSpace;
use super::lease::Leases;
use super::paged::Paged;
use super::queue::Queues;
use super::run::{RunEntry, Runs};
use super::schedule::{Expired, Schedule};
use super::settle::{Ended, after_attempt};
use super::wait::WaitingPulls;
use super::{Effects, FixedMap, SplitMix64, State, digest128};
use crate::clock::Now;
use crate::command::{AttemptEnd, Start};
use crate::ids::{QueueName, RunId};
use crate::limits::QUEUES_COUNT_MAX;
use crate::options::OpenOptions;
use crate::record::{
    Body, BodyWork, CancelRow, ClaimsRow, JobRow, MemoSweepRow, Meta, OpenClaim, QueueRow, Row,
    RunRow, Sequence, Undecodable, keys,
};

use bytes::Bytes;

/// A state that is being rebuilt.
pub struct Recovery {
    state: State,
    was_clean: bool,
    now: Now,
    /// By the row of their job.
    claims: BTreeMap<u64, OpenClaim>,
    /// Of rows of claims: what they say is in the jobs' own rows when this is over.
    claims_keys: Vec<Bytes>,
    /// Turns of jobs that are not to be delivered again, by row.
    cancels: BTreeMap<u64, u32>,
    live_runs: Vec<RunId>,
    /// Steps whose runs were cancelled while they were being delivered.
    cancelled: Vec<u64>,
    /// Jobs whose last attempt was cut short, and when that began.
    exhausted: Vec<(u64, Option<u64>)>,
    damaged: Vec<(Bytes, Bytes)>,
}

impl Recovery {
    /// The tags of the rows that are needed, in the order in which they have to come: a job is placed
    /// when it comes, so what it refers to must be known by then.
    pub const TAGS: [u8; 7] = [
        keys::QUEUE,
        keys::CLAIMS,
        keys::CANCEL,
        keys::RUN,
        keys::JOB,
        keys::MEMO_SWEEP,
        keys::QUARANTINE,
    ];

    /// Begins with nothing.
    #[must_use]
    pub fn new(
        options: Arc<OpenOptions>,
        was_clean: bool,
        epoch: u32,
        sequence: &Sequence,
        now: Now,
    ) -> Self {
        Self {
            state: State::empty(options, epoch, sequence),
            was_clean,
            now,
            claims: BTreeMap::new(),
            claims_keys: Vec::new(),
            cancels: BTreeMap::new(),
            live_runs: Vec::new(),
            cancelled: Vec::new(),
            exhausted: Vec::new(),
            damaged: Vec::new(),
        }
    }

    /// Takes one row.
    pub fn add(&mut self, key: Bytes, value: Bytes) {
        if let Err(Undecodable(reason)) = self.try_add(&key, &value) {
            tracing::error!(key = ?key, reason, "a damaged row is moved aside");
            self.damaged.push((key, value));
        }
    }

    fn try_add(&mut self, key: &Bytes, value: &Bytes) -> Result<(), Undecodable> {
        let bad_key = || Undecodable("the key does not read".to_owned());
        match key.first() {
            Some(&keys::QUEUE) => {
                let index = keys::queue_index_of(key).ok_or_else(bad_key)?;
                check_queue_index(index)?;
                self.add_queue(index, QueueRow::decode(value)?)?;
            }
            Some(&keys::CLAIMS) => {
                let claims = ClaimsRow::decode(value)?.claims;
                self.claims.extend(claims.into_iter().map(|claim| (claim.row, claim)));
                self.claims_keys.push(key.clone());
            }
            Some(&keys::CANCEL) => {
                let row = keys::row_of(key).ok_or_else(bad_key)?;
                self.cancels.insert(row, CancelRow::decode(value)?.turn);
            }
            Some(&keys::RUN) => {
                let run_id = keys::run_of(key).ok_or_else(bad_key)?;
                let stored = RunRow::decode(value)?;
                check_queue_index(stored.queue)?;
                self.add_run(run_id, &stored)?;
            }
            Some(&keys::JOB) => {
                let row = keys::row_of(key).ok_or_else(bad_key)?;
                let stored = JobRow::decode(value)?;
                check_queue_index(stored.queue)?;
                self.add_job(row, stored)?;
            }
            Some(&keys::MEMO_SWEEP) => {
                let row = keys::row_of(key).ok_or_else(bad_key)?;
                let at_ms = MemoSweepRow::decode(value)?.at_ms;
                self.state.schedule.forget_at(at_ms, Expired::Memos(row));
            }
            Some(&keys::QUARANTINE) => self.state.quarantined_count += 1,
            _ => return Err(bad_key()),
        }
        Ok(())
    }

    fn add_queue(&mut self, index: u32, row: QueueRow) -> Result<(), Undecodable> {
        let name: Result<QueueName, _> = row.name.parse();
        let name = name.map_err(|error| Undecodable(error.to_string()))?;
        self.fill_queues(index);
        let config = self.state.options.queue_config(&name).clone();
        self.state.queues.push(name, config, row);
        Ok(())
    }

    /// Closes the holes below `end` that damaged queue rows leave: their jobs stay together under a
    /// name that says so.
    fn fill_queues(&mut self, end: u32) {
        while self.state.queues.len() < end {
            let name = format!("damaged-{}", self.state.queues.len());
            let row = QueueRow { name: name.clone(), ..QueueRow::default() };
            let config = self.state.options.default_queue_config.clone();
            let name = name.parse().expect("it keeps the rule of names");
            self.state.queues.push(name, config, row);
        }
    }

    fn add_run(&mut self, run_id: RunId, stored: &RunRow) -> Result<(), Undecodable> {
        if !self.state.runs.insert(stored.row, RunEntry::of(run_id.clone(), stored)) {
            return Err(Undecodable(format!("row {} of another run", stored.row)));
        }
        self.fill_queues(stored.queue + 1);
        match (&stored.ended, stored.retention_ms) {
            (None, _) => {
                self.state.queues.at_mut(stored.queue).live_run_count += 1;
                self.live_runs.push(run_id);
            }
            (Some(ended), Some(retention_ms)) => {
                let at_ms = ended.at_ms.saturating_add(retention_ms);
                self.state.schedule.forget_at(at_ms, Expired::Run(run_id));
            }
            (Some(_), None) => {}
        }
        Ok(())
    }

    fn add_job(&mut self, row: u64, stored: JobRow<Body>) -> Result<(), Undecodable> {
        self.fill_queues(stored.queue + 1);
        let state = &mut self.state;
        if let (BodyWork::Step { run_id }, None) = (&stored.body.work, stored.ended) {
            state.adopt_step(run_id, stored.queue, row, stored.body.enqueued_at_ms)?;
        }
        state.next_row = state.next_row.max(row + 1).max(stored.order + 1);
        let mut entry = JobEntry {
            turn: stored.turn,
            attempts: stored.attempts.min(stored.max_attempts),
            dedup: dedup_of(&stored),
            dedup_scope: stored.dedup_scope,
            kind: Kind::of(&stored.body.work),
            ..JobEntry::new(stored.queue, stored.order, stored.priority, stored.max_attempts)
        };
        let is_same = |claim: &OpenClaim| (claim.turn, claim.order) == (stored.turn, stored.order);
        let claim = self.claims.remove(&row).filter(is_same);
        let cancelled_turn = self.cancels.remove(&row);
        entry.has_cancel_row = cancelled_turn.is_some();
        entry.is_cancel_requested = cancelled_turn == Some(stored.turn);
        if let Some((end, at_ms)) = stored.ended {
            entry.stage = Stage::of_end(end);
            entry.is_cancel_requested = false;
            self.insert(row, entry, &stored.body);
            self.state.delete_cancel_row(row);
            self.state.count_ended(row, end, at_ms);
            return Ok(());
        }
        entry.is_suspect = !self.was_clean;
        let start = if stored.run_at_ms == 0 { Start::Now } else { Start::AtMs(stored.run_at_ms) };
        let run_at_ms;
        (entry.due, run_at_ms) = due_of(start, self.now);
        self.insert(row, entry, &stored.body);
        self.place(row, stored.body, claim.as_ref(), run_at_ms);
        Ok(())
    }

    fn insert(&mut self, row: u64, entry: JobEntry, body: &Body) {
        let is_new = self.state.jobs.insert(row, entry);
        assert!(is_new, "a scan finds each row once");
        self.state.name_object(row, &body.payload);
    }

    /// Places a live job: where it waits, or among those that will not be delivered again.
    fn place(&mut self, row: u64, mut body: Body, claim: Option<&OpenClaim>, run_at_ms: u64) {
        let state = &mut self.state;
        if std::mem::take(&mut state.job_mut(row).is_cancel_requested) {
            let entry = state.job_mut(row);
            let counted = claim.map_or(0, |claim| claim.attempts);
            entry.attempts = entry.attempts.max(counted).min(entry.max_attempts);
            entry.body = Some(Arc::new(body));
            self.cancelled.push(row);
            return;
        }
        let entry = state.job_mut(row);
        let claim = claim.filter(|claim| claim.attempts > entry.attempts);
        entry.attempts = claim.map_or(entry.attempts, |claim| claim.attempts);
        if entry.attempts >= entry.max_attempts {
            entry.attempts = entry.max_attempts;
            entry.stage = Stage::Claimed;
            entry.body = Some(Arc::new(body));
            self.exhausted.push((row, claim.map(|claim| claim.started_at_ms)));
            return;
        }
        if let Some(claim) = claim {
            let started_at_ms = Some(claim.started_at_ms);
            let ended = Ended { started_at_ms, end: AttemptEnd::Lost, error: None };
            body = after_attempt(&body, claim.attempts, ended, None);
            let value = entry.stored(&body, run_at_ms).encode();
            state.write(Row::Put(keys::job(row), value));
        }
        state.delete_cancel_row(row);
        state.hold_dedup(row);
        state.keep_body(row, Arc::new(body), self.now);
        state.place(row, self.now);
    }

    /// The state, with rows to write before anything is served.
    #[must_use]
    pub fn finish(mut self, epoch: u32) -> State {
        let mut effects = Effects::default();
        self.state.open_store(epoch);
        for (key, value) in self.damaged {
            self.state.quarantined_count += 1;
            self.state.write(Row::Put(keys::quarantine(&key), value));
            self.state.write(Row::Delete(key));
        }
        for key in self.claims_keys {
            self.state.write(Row::Delete(key));
        }
        for (row, _) in self.cancels {
            self.state.write(Row::Delete(keys::cancel(row)));
        }
        for row in self.cancelled {
            self.state.end_cancelled(row, None, self.now, &mut effects);
        }
        for (row, started_at_ms) in self.exhausted {
            let error = Some("the process ended while it ran this job's last attempt");
            let ended = Ended { started_at_ms, end: AttemptEnd::Lost, error };
            self.state.bury(row, ended, self.now, &mut effects);
        }
        self.state.fail_stepless_runs(&self.live_runs, self.now, &mut effects);
        self.state
    }
}

impl State {
    fn empty(options: Arc<OpenOptions>, epoch: u32, sequence: &Sequence) -> Self {
        let seed = options.seed ^ u64::from(epoch);
        Self {
            options,
            queues: Queues::default(),
            jobs: Paged::default(),
            objects: BTreeMap::new(),
            dedup: FixedMap::default(),
            dedup_heirs: BTreeMap::new(),
            schedule: Schedule::default(),
            leases: Leases::new(epoch),
            claim_rows: ClaimRows::default(),
            runs: Runs::default(),
            subscriptions: BTreeMap::new(),
            is_granting: true,
            pulls: BTreeMap::new(),
            waiting: WaitingPulls::default(),
            loading: BTreeMap::new(),
            parked: BTreeMap::new(),
            handovers: Handovers::default(),
            memo_objects: BTreeMap::new(),
            kv: KvSpace::default(),
            activations: std::collections::VecDeque::new(),
            rows: Vec::new(),
            row_bytes: 0,
            batch_number: 1,
            next_row: sequence.next.max(1),
            next_subscription: 1,
            next_pull: 1,
            cached_bytes: 0,
            random: SplitMix64(seed),
            commit_count: 0,
            row_count: 0,
            quarantined_count: 0,
        }
    }

    /// Marks the store as open, so that an end without a close is seen as one.
    fn open_store(&mut self, epoch: u32) {
        self.write_meta(epoch, false);
    }

    /// Marks the store as closed in order. The last row of an owner.
    pub fn close_store(&mut self, epoch: u32) {
        self.write_meta(epoch, true);
    }

    fn write_meta(&mut self, epoch: u32, clean: bool) {
        let meta = Meta { format: crate::record::FORMAT, epoch, clean };
        self.write(Row::Put(keys::META.into(), meta.encode()));
    }

    /// Whether damaged rows were ever moved aside: what they named is not known.
    #[must_use]
    pub fn has_quarantine(&self) -> bool {
        self.quarantined_count > 0
    }
}

fn check_queue_index(index: u32) -> Result<(), Undecodable> {
    if index < QUEUES_COUNT_MAX { Ok(()) } else { Err(Undecodable(format!("queue index {index}"))) }
}

fn dedup_of(stored: &JobRow<Body>) -> Option<super::Digest128> {
    match &stored.body.work {
        BodyWork::Job => stored.body.dedup_key.as_deref().map(digest128),
        BodyWork::Step { .. } | BodyWork::Notification { .. } => None,
    }
}
