//! Recovery: the state is rebuilt from the rows that a scan finds.
//!
//! # Invariants
//!
//! 1. A job that was claimed when the last owner ended is pending again and has consumed an
//!    attempt; after its last attempt it is dead, and its run has failed.
//! 2. After an unclean end every recovered job is suspect: it may be what ended the process. Its
//!    next claim is durable before it is delivered.
//! 3. A damaged row is moved aside and counted; it stops neither its queue nor the open.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::enqueue::due_of;
use super::job::{Due, JobEntry, JobState};
use super::lease::Leases;
use super::queue::Queues;
use super::run::{RunEntry, Runs, step_dedup};
use super::schedule::{Expired, Schedule};
use super::{Effects, FixedMap, SplitMix64, State, digest128};
use crate::clock::Now;
use crate::command::Start;
use crate::ids::{QueueName, RunId};
use crate::limits::QUEUES_COUNT_MAX;
use crate::options::OpenOptions;
use crate::record::{Body, BodyWork, ClaimRow, JobRow, Meta, QueueRow, Row, RunRow, Sequence};
use crate::record::{Undecodable, keys};

use bytes::Bytes;

/// Rows on their way to a [`State`].
#[derive(Debug, Default)]
pub struct Recovery {
    queues: BTreeMap<u32, QueueRow>,
    jobs: BTreeMap<u64, JobRow<Body>>,
    claims: BTreeMap<u64, ClaimRow>,
    runs: Vec<(RunId, RunRow)>,
    damaged: Vec<(Bytes, Bytes)>,
    quarantined_count: u64,
}

impl Recovery {
    /// Takes one row of the scan, in any order.
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
                let row = QueueRow::decode(value)?;
                row.name.parse::<QueueName>().map_err(|error| Undecodable(error.to_string()))?;
                self.queues.insert(index, row);
            }
            Some(&keys::JOB) => {
                let row = keys::row_of(key).ok_or_else(bad_key)?;
                let stored = JobRow::decode(value)?;
                check_queue_index(stored.queue)?;
                self.jobs.insert(row, stored);
            }
            Some(&keys::CLAIM) => {
                let row = keys::row_of(key).ok_or_else(bad_key)?;
                self.claims.insert(row, ClaimRow::decode(value)?);
            }
            Some(&keys::RUN) => {
                let run_id = keys::run_of(key).ok_or_else(bad_key)?;
                let stored = RunRow::decode(value)?;
                check_queue_index(stored.queue)?;
                self.runs.push((run_id, stored));
            }
            Some(&keys::QUARANTINE) => self.quarantined_count += 1,
            _ if key == keys::META || key == keys::SEQUENCE => {}
            _ => return Err(bad_key()),
        }
        Ok(())
    }

    /// The highest index that any row speaks of.
    fn last_queue(&self) -> Option<u32> {
        let of_jobs = self.jobs.values().map(|job| job.queue);
        let of_runs = self.runs.iter().map(|(_, run)| run.queue);
        self.queues.keys().copied().chain(of_jobs).chain(of_runs).max()
    }

    /// Builds the state, with rows to write before anything is served.
    #[must_use]
    pub fn finish(
        self,
        options: Arc<OpenOptions>,
        was_clean: bool,
        epoch: u32,
        sequence: &Sequence,
        now: Now,
    ) -> State {
        let last_queue = self.last_queue();
        let mut state = State::empty(options, epoch, sequence);
        let mut effects = Effects::default();
        state.quarantined_count = self.quarantined_count;
        state.open_store(epoch);
        state.move_aside(self.damaged);
        state.recover_queues(self.queues, last_queue);
        let is_live = |(run_id, row): &(RunId, RunRow)| row.ended.is_none().then(|| run_id.clone());
        let live: Vec<RunId> = self.runs.iter().filter_map(is_live).collect();
        for (run_id, row) in self.runs {
            state.recover_run(run_id, &row);
        }
        let mut exhausted = Vec::new();
        let mut claims = self.claims;
        for (row, stored) in self.jobs {
            let claim = claims.remove(&row);
            exhausted.extend(state.recover_job(row, stored, claim, was_clean, now));
        }
        for (row, _) in claims {
            state.write(Row::Delete(keys::claim(row)));
        }
        for row in exhausted {
            let error = "the process ended while it ran this job's last attempt";
            state.bury(row, error, now, &mut effects);
        }
        state.fail_stepless_runs(&live, now, &mut effects);
        state
    }
}

impl State {
    fn empty(options: Arc<OpenOptions>, epoch: u32, sequence: &Sequence) -> Self {
        let seed = options.seed ^ u64::from(epoch);
        Self {
            options,
            queues: Queues::default(),
            jobs: FixedMap::default(),
            dedup: FixedMap::default(),
            schedule: Schedule::default(),
            leases: Leases::new(epoch),
            runs: Runs::default(),
            subscriptions: BTreeMap::new(),
            pulls: BTreeMap::new(),
            loading: BTreeMap::new(),
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

    fn move_aside(&mut self, damaged: Vec<(Bytes, Bytes)>) {
        for (key, value) in damaged {
            self.quarantined_count += 1;
            self.write(Row::Put(keys::quarantine(&key), value));
            self.write(Row::Delete(key));
        }
    }

    fn recover_queues(&mut self, mut rows: BTreeMap<u32, QueueRow>, last: Option<u32>) {
        for index in 0..last.map_or(0, |last| last + 1) {
            // A damaged row leaves a hole: its jobs stay together under a name that says so.
            let hole = || QueueRow { name: format!("damaged-{index}"), ..QueueRow::default() };
            self.push_queue(rows.remove(&index).unwrap_or_else(hole));
        }
    }

    fn push_queue(&mut self, totals: QueueRow) {
        let name: QueueName = totals.name.parse().expect("checked when it was read");
        let config = self.options.queue_config(&name).clone();
        self.queues.push(name, config, totals);
    }

    fn recover_run(&mut self, run_id: RunId, stored: &RunRow) {
        match (&stored.ended, stored.retention_ms) {
            (None, _) => self.queues.at_mut(stored.queue).live_run_count += 1,
            (Some(ended), Some(retention_ms)) => {
                let at_ms = ended.at_ms.saturating_add(retention_ms);
                self.schedule.forget_at(at_ms, Expired::Run(run_id.clone()));
            }
            (Some(_), None) => {}
        }
        self.runs.insert(run_id, RunEntry::of(stored));
    }

    /// Places one job. Returns its row if its attempts are used up.
    fn recover_job(
        &mut self,
        row: u64,
        stored: JobRow<Body>,
        claim: Option<ClaimRow>,
        was_clean: bool,
        now: Now,
    ) -> Option<u64> {
        self.next_row = self.next_row.max(row + 1).max(stored.order + 1);
        let has_claim_row = claim.is_some();
        let claimed = claim.filter(|claim| claim.turn == stored.turn).map_or(0, |c| c.attempts);
        let attempts = stored.attempts.max(claimed).min(stored.max_attempts);
        let (due, run_at_ms) = match stored.run_at_ms {
            0 => (Due::Now, 0),
            at_ms => due_of(Start::AtMs(at_ms), now),
        };
        let queue = stored.queue;
        let mut entry = JobEntry {
            turn: stored.turn,
            attempts,
            due,
            run_at_ms,
            dedup: dedup_of(&stored),
            dedup_scope: stored.dedup_scope,
            has_claim_row,
            is_suspect: !was_clean,
            ..JobEntry::new(queue, stored.order, stored.priority, stored.max_attempts)
        };
        if let Some(dead_at_ms) = stored.dead_at_ms {
            entry.state = JobState::Dead;
            entry.dedup = None;
            self.jobs.insert(row, entry);
            self.count_dead(row, queue, dead_at_ms);
            return None;
        }
        if let BodyWork::Step { run_id } = &stored.body.work {
            self.adopt_step(run_id, queue, row);
        }
        if attempts == stored.max_attempts {
            return Some(self.recover_exhausted(row, entry, stored.body));
        }
        let id = entry.id(row);
        self.jobs.insert(row, entry);
        self.hold_dedup(row);
        self.keep_body(row, Arc::new(stored.body));
        if due == Due::Now {
            self.make_ready(row);
        } else {
            let entry = self.jobs.get_mut(&row).expect("inserted above");
            entry.become_state(JobState::Scheduled);
            self.queues.at_mut(queue).scheduled_count += 1;
            self.schedule.add(due, id);
        }
        None
    }

    /// Puts a job back as it was when its last attempt was cut short, to be buried.
    fn recover_exhausted(&mut self, row: u64, mut entry: JobEntry, body: Body) -> u64 {
        let holder = super::lease::Holder::Pull { pull: 0, place: 0 };
        let lease = super::lease::Lease { row, holder, duration: None, expires_ms: None };
        let token = self.leases.grant(lease);
        self.leases.take(token);
        entry.state = JobState::Claimed(token);
        entry.body = Some(Arc::new(body));
        self.jobs.insert(row, entry);
        row
    }
}

fn check_queue_index(index: u32) -> Result<(), Undecodable> {
    if index < QUEUES_COUNT_MAX { Ok(()) } else { Err(Undecodable(format!("queue index {index}"))) }
}

fn dedup_of(stored: &JobRow<Body>) -> Option<super::Digest128> {
    match &stored.body.work {
        BodyWork::Step { run_id } => Some(step_dedup(run_id, stored.turn)),
        BodyWork::Job => stored.body.dedup_key.as_deref().map(digest128),
        BodyWork::Notification { .. } => None,
    }
}
