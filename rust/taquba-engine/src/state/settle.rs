//! Settling: how a delivery ends.
//!
//! # Invariants
//!
//! 1. Only the live token settles; anything else answers `ClaimLost` and changes nothing.
//! 2. A job is delivered at most `max_attempts` times, then dead-lettered.
//! 3. The end of a delivery and everything that follows from it are one commit.

use std::sync::Arc;
use std::time::Duration;

use super::durable::Activation;
use super::enqueue::due_of;
use super::job::JobState;
use super::lease::{Holder, Lease};
use super::schedule::Expired;
use super::{Effects, State};
use crate::clock::Now;
use crate::command::{Reply, Start, Verdict};
use crate::error::{Error, Result};
use crate::ids::ClaimToken;
use crate::limits::ERROR_TEXT_BYTES_MAX;
use crate::options::{Jitter, QueueConfig, bounded_ms};
use crate::record::{Body, BodyWork, Row, keys};

impl State {
    pub(super) fn settle(
        &mut self,
        token: ClaimToken,
        verdict: Verdict,
        now: Now,
        fx: &mut Effects,
    ) -> Result<Reply> {
        let row = self.leases.get(token).ok_or_else(|| self.leases.lost(token))?.row;
        let body = self.jobs[&row].body.clone().expect("a delivered job has its body");
        check(&verdict, &body.work)?;
        self.end_lease(token);
        match verdict {
            Verdict::Ack => self.ack(row),
            Verdict::Nack { error } => self.retry_with_backoff(row, &error, now, fx),
            Verdict::DeadLetter { reason } => self.bury(row, &reason, now, fx),
            Verdict::Release => {
                self.retry(row, "interrupted before it was settled", Start::Now, now, fx);
            }
            Verdict::Step(outcome) => self.settle_step(row, &body, outcome, now, fx),
        }
        Ok(Reply::Done)
    }

    fn end_lease(&mut self, token: ClaimToken) -> Lease {
        let lease = self.leases.take(token).expect("the caller looked it up");
        let entry = &self.jobs[&lease.row];
        self.queues.at_mut(entry.queue).claimed_count -= 1;
        self.leases.remember(token, entry.id(lease.row), &lease);
        self.return_credit(lease.holder);
        lease
    }

    pub(super) fn ack(&mut self, row: u64) {
        let queue = self.jobs[&row].queue;
        self.queues.totals(queue).acked_total += 1;
        self.remove(row);
    }

    /// Ends a delivery that nobody settled: expired, or its consumer went away.
    pub(super) fn end_unsettled(
        &mut self,
        token: ClaimToken,
        error: &str,
        now: Now,
        fx: &mut Effects,
    ) {
        let lease = self.end_lease(token);
        let was_delivered = self.jobs[&lease.row].body.is_some();
        if was_delivered {
            self.retry(lease.row, error, Start::Now, now, fx);
            return;
        }
        // It never left: as if it had not been claimed.
        self.loading.remove(&lease.row);
        if let Holder::Pull { pull, .. } = lease.holder {
            self.fill_pull(pull, None, fx);
        }
        let entry = self.jobs.get_mut(&lease.row).expect("a claimed job has an entry");
        entry.attempts -= 1;
        entry.become_state(JobState::Committing);
        self.make_ready(lease.row);
    }

    pub(super) fn release(&mut self, token: ClaimToken, now: Now, fx: &mut Effects) {
        self.end_unsettled(token, "its consumer went away before it was settled", now, fx);
    }

    /// Hands every open claim back, for an orderly close.
    pub fn release_all(&mut self, now: Now, fx: &mut Effects) {
        for token in self.leases.all() {
            self.end_unsettled(token, "the queue was closed before it was settled", now, fx);
        }
    }

    fn retry_with_backoff(&mut self, row: u64, error: &str, now: Now, fx: &mut Effects) {
        let entry = &self.jobs[&row];
        let config = &self.queues.at(entry.queue).config;
        let backoff = backoff(config, entry.attempts);
        let delay = match config.retry_jitter {
            Jitter::None => backoff,
            Jitter::Full => {
                let bound_ms = bounded_ms(backoff);
                Duration::from_millis(self.random.up_to(bound_ms))
            }
        };
        self.retry(row, error, Start::After(delay), now, fx);
    }

    /// Makes a claimed job wait for its next delivery, or dead-letters it after its last one.
    fn retry(&mut self, row: u64, error: &str, start: Start, now: Now, fx: &mut Effects) {
        let entry = &self.jobs[&row];
        if entry.attempts >= entry.max_attempts {
            self.bury(row, error, now, fx);
            return;
        }
        self.queues.totals(entry.queue).retried_total += 1;
        let body = self.with_error(row, error);
        self.put_back(row, body, start, now);
    }

    /// Writes a claimed job in its next form; it is claimable after the commit.
    pub(super) fn put_back(&mut self, row: u64, body: Arc<Body>, start: Start, now: Now) {
        let entry = self.jobs.get_mut(&row).expect("the caller holds the row");
        (entry.due, entry.run_at_ms) = due_of(start, now);
        entry.body = None;
        entry.become_state(JobState::Committing);
        let (id, value) = (entry.id(row), entry.stored(&body, None).encode());
        self.hold_dedup(row);
        self.write(Row::Put(keys::job(row), value));
        self.keep_body(row, body);
        self.activate_when_durable(Activation::Job(id));
    }

    /// Dead-letters a claimed job. The run of a step fails with it.
    pub(super) fn bury(&mut self, row: u64, reason: &str, now: Now, fx: &mut Effects) {
        let body = self.with_error(row, reason);
        self.free_dedup(row);
        let entry = self.jobs.get_mut(&row).expect("the caller holds the row");
        entry.become_state(JobState::Dead);
        entry.body = None;
        let value = entry.stored(&body, Some(now.wall_ms)).encode();
        let (queue, turn) = (entry.queue, entry.turn);
        self.write(Row::Put(keys::job(row), value));
        self.delete_claim_row(row);
        self.queues.totals(queue).dead_total += 1;
        self.count_dead(row, queue, now.wall_ms);
        if let BodyWork::Step { run_id } = &body.work {
            self.fail_run(run_id, &body, turn, now, fx);
        }
    }

    /// Counts a dead job and sees to it that it is forgotten in time.
    pub(super) fn count_dead(&mut self, row: u64, queue: u32, dead_at_ms: u64) {
        let queue = self.queues.at_mut(queue);
        queue.dead_count += 1;
        if let Some(retention) = queue.config.dead_retention {
            let retention_ms = bounded_ms(retention);
            self.schedule.forget_at(dead_at_ms + retention_ms, Expired::DeadJob(row));
        }
    }

    /// Deletes a job's row and all that memory holds of it.
    pub(super) fn remove(&mut self, row: u64) {
        self.free_dedup(row);
        self.write(Row::Delete(keys::job(row)));
        self.delete_claim_row(row);
        self.jobs.remove(&row);
    }

    pub(super) fn delete_claim_row(&mut self, row: u64) {
        let entry = self.jobs.get_mut(&row).expect("the caller holds the row");
        if std::mem::take(&mut entry.has_claim_row) {
            self.write(Row::Delete(keys::claim(row)));
        }
    }

    fn with_error(&self, row: u64, error: &str) -> Arc<Body> {
        let body = self.jobs[&row].body.as_deref().expect("a delivered job has its body");
        Arc::new(Body { last_error: Some(Box::from(cut_text(error))), ..body.clone() })
    }
}

/// The delay before the next delivery: doubles from `base`, up to `max`.
fn backoff(config: &QueueConfig, attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    config.retry_backoff_base.saturating_mul(1 << doublings).min(config.retry_backoff_max)
}

/// Cuts an error text to its limit, at a character.
pub(super) fn cut_text(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_TEXT_BYTES_MAX)]
}

fn check(verdict: &Verdict, work: &BodyWork) -> Result<()> {
    let refuse = |value: &str, remedy: &str| {
        let (value, remedy) = (value.to_owned(), remedy.to_owned());
        Err(Error::InvalidArgument { name: "outcome", value, remedy })
    };
    match (verdict, work) {
        (Verdict::Ack, BodyWork::Step { .. }) => {
            refuse("an ack of a workflow step", "let a workflow runtime settle steps")
        }
        (Verdict::Step(_), BodyWork::Job | BodyWork::Notification { .. }) => {
            refuse("a step outcome", "settle a plain job with ack, nack or dead_letter")
        }
        _ => Ok(()),
    }
}
