//! Enqueue: new jobs come in, all of a batch or none.
//!
//! # Invariants
//!
//! 1. Everything is checked before anything changes.
//! 2. At most one live job holds a dedup key of a queue. The key is free again when its scope ends:
//!    at the claim, or when the job is settled for good. A job that waits again after its key went to
//!    another has it next.
//! 3. A duplicate's answer waits for the durability of the job it names.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::durable::Activation;
use super::job::{Due, JobEntry, Kind};
use super::{Effects, State, digest128};
use crate::clock::Now;
use crate::command::{DedupScope, Enqueued, NewJob, Reply, Start};
use crate::error::{Error, Result};
use crate::ids::{JobId, QueueName};
use crate::limits::{BATCH_COUNT_MAX, DEDUP_KEY_BYTES_MAX, INSTANT_MS_MAX, PAYLOAD_BYTES_MAX};
use crate::options::{bounded_ms, check_attempts, check_duration};
use crate::record::{Body, BodyWork, Payload, Row, Trail, keys};

impl State {
    pub(super) fn enqueue(
        &mut self,
        queue: &QueueName,
        jobs: Vec<NewJob>,
        now: Now,
        fx: &mut Effects,
    ) -> Result<Reply> {
        check_batch(jobs.len())?;
        jobs.iter().try_for_each(check_job)?;
        let queue = self.queue_index(queue)?;
        let enqueued = jobs.into_iter().map(|job| self.enqueue_one(queue, job, now, fx));
        Ok(Reply::Enqueued(enqueued.collect()))
    }

    /// Adds a job that was checked.
    pub(super) fn enqueue_one(
        &mut self,
        queue: u32,
        job: NewJob,
        now: Now,
        fx: &mut Effects,
    ) -> Enqueued {
        let dedup = job.dedup_key.as_deref().map(digest128);
        let holder = dedup.and_then(|key| self.dedup.get(&(queue, key)).copied());
        let step = || self.step_with_key(queue, job.dedup_key.as_deref()?);
        if let Some(live) = holder.or_else(step) {
            fx.disown(&job.payload);
            return Enqueued { job_id: self.job(live).id(live), is_new: false };
        }
        let config = &self.queues.at(queue).config;
        let (due, run_at_ms) = due_of(job.start, now);
        let priority = job.priority.unwrap_or(config.default_priority);
        let max_attempts = job.max_attempts.unwrap_or(config.max_attempts);
        let entry = JobEntry {
            due,
            dedup,
            dedup_scope: job.dedup_scope,
            ..JobEntry::new(queue, self.next_row, priority, max_attempts)
        };
        let body = Body {
            payload: job.payload,
            headers: job.headers,
            enqueued_at_ms: now.wall_ms,
            dedup_key: job.dedup_key.map(Box::from),
            last_error: None,
            history: Vec::new(),
            trail: Trail::default(),
            work: BodyWork::Job,
        };
        Enqueued { job_id: self.insert(entry, body, run_at_ms, now), is_new: true }
    }

    /// Adds a job in a row of its own. It becomes claimable when its commit is durable.
    pub(super) fn insert(
        &mut self,
        mut entry: JobEntry,
        body: Body,
        run_at_ms: u64,
        now: Now,
    ) -> JobId {
        let row = self.take_row();
        let id = entry.id(row);
        entry.kind = Kind::of(&body.work);
        self.queues.totals(entry.queue).enqueued_total += 1;
        self.write(Row::Put(keys::job(row), entry.stored(&body, run_at_ms).encode()));
        let is_new = self.jobs.insert(row, entry);
        assert!(is_new, "a sequence number was used twice");
        self.name_object(row, &body.payload);
        self.hold_dedup(row);
        self.begin_commit(row);
        self.keep_body(row, Arc::new(body), now);
        self.activate_when_durable(Activation::Job(id));
        id
    }

    /// Takes a job's dedup key. If a live job has it, the job is the next to have it: a retry never
    /// takes it from another, and at recovery the older one comes first.
    pub(super) fn hold_dedup(&mut self, row: u64) {
        let entry = self.job(row);
        let Some(key) = entry.dedup else { return };
        let key = (entry.queue, key);
        if *self.dedup.entry(key).or_insert(row) != row {
            self.dedup_heirs.entry(key).or_default().insert(row);
        }
    }

    /// Frees the dedup key that `row` holds: the next live job with that key has it now.
    pub(super) fn free_dedup(&mut self, row: u64) {
        let entry = self.job(row);
        let Some(key) = entry.dedup else { return };
        let key = (entry.queue, key);
        let is_holder = self.dedup.get(&key) == Some(&row);
        let mut heir = None;
        if let Entry::Occupied(mut heirs) = self.dedup_heirs.entry(key) {
            if is_holder {
                heir = heirs.get_mut().pop_first();
            } else {
                heirs.get_mut().remove(&row);
            }
            if heirs.get().is_empty() {
                heirs.remove();
            }
        }
        match heir {
            Some(heir) => drop(self.dedup.insert(key, heir)),
            None if is_holder => drop(self.dedup.remove(&key)),
            None => {}
        }
    }

    /// Frees the dedup key at the claim, if its scope ends there.
    pub(super) fn free_dedup_of_claimed(&mut self, row: u64) {
        if self.job(row).dedup_scope == DedupScope::Waiting {
            self.free_dedup(row);
        }
    }
}

/// When a start is on the clock that measures it, and on the wall clock (0 for now).
pub(super) fn due_of(start: Start, now: Now) -> (Due, u64) {
    match start {
        Start::Now => (Due::Now, 0),
        Start::AtMs(at_ms) if at_ms <= now.wall_ms => (Due::Now, 0),
        Start::AtMs(at_ms) => (Due::WallMs(at_ms), at_ms),
        Start::After(delay) if delay.is_zero() => (Due::Now, 0),
        Start::After(delay) => {
            let delay_ms = bounded_ms(delay);
            (Due::MonoMs(now.mono_ms + delay_ms), now.wall_ms + delay_ms)
        }
    }
}

pub(super) fn check_batch(count: usize) -> Result<()> {
    if count > BATCH_COUNT_MAX { Err(Error::BatchTooLarge { count }) } else { Ok(()) }
}

pub(super) fn check_start(start: Start) -> Result<()> {
    match start {
        Start::After(delay) => check_duration("delay", delay),
        Start::AtMs(at_ms) if at_ms > INSTANT_MS_MAX => Err(Error::InvalidArgument {
            name: "run_at",
            value: format!("{at_ms} ms after 1970"),
            remedy: "use an instant before the year 10000".into(),
        }),
        Start::Now | Start::AtMs(_) => Ok(()),
    }
}

pub(super) fn check_payload(payload: &Payload) -> Result<()> {
    let size_bytes = usize::try_from(payload.size_bytes()).unwrap_or(usize::MAX);
    if size_bytes > PAYLOAD_BYTES_MAX { Err(Error::PayloadTooLarge { size_bytes }) } else { Ok(()) }
}

pub(super) fn check_job(job: &NewJob) -> Result<()> {
    check_payload(&job.payload)?;
    check_start(job.start)?;
    job.max_attempts.map_or(Ok(()), check_attempts)?;
    match job.dedup_key.as_deref().map(str::len) {
        Some(size_bytes) if !(1..=DEDUP_KEY_BYTES_MAX).contains(&size_bytes) => {
            Err(Error::InvalidDedupKey { size_bytes })
        }
        _ => Ok(()),
    }
}
