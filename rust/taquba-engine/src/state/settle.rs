//! Settling: how a delivery ends.
//!
//! # Invariants
//!
//! 1. Only the live token settles; anything else answers `ClaimLost` and changes nothing, its
//!    effects neither.
//! 2. A job is delivered at most `max_attempts` times, then dead-lettered.
//! 3. The end of a delivery and everything that follows from it are one commit.
//! 4. A job whose holder was asked to stop is not delivered again.

use std::sync::Arc;
use std::time::Duration;

use super::durable::Activation;
use super::effects::disown_effects;
use super::enqueue::due_of;
use super::job::{Kind, Stage};
use super::lease::Lease;
use super::{Effects, State};
use crate::clock::Now;
use crate::command::{Attempt, AttemptEnd, Effect, Reply, Start, Verdict};
use crate::error::{Error, Result};
use crate::ids::ClaimToken;
use crate::limits::{ATTEMPT_ERROR_BYTES_MAX, ATTEMPTS_KEPT_MAX, ERROR_TEXT_BYTES_MAX};
use crate::options::{Jitter, QueueConfig, bounded_ms, check_duration};
use crate::record::{Body, BodyWork, JobEnd, Row, keys};

/// How a delivery ended, for the job's history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended<'a> {
    pub started_at_ms: Option<u64>,
    pub end: AttemptEnd,
    pub error: Option<&'a str>,
}

impl<'a> Ended<'a> {
    pub const fn of(lease: &Lease, end: AttemptEnd, error: Option<&'a str>) -> Self {
        Self { started_at_ms: Some(lease.started_at_ms), end, error }
    }
}

impl State {
    pub(super) fn settle(
        &mut self,
        token: ClaimToken,
        verdict: Verdict,
        effects: Vec<Effect>,
        now: Now,
        fx: &mut Effects,
    ) -> Result<Reply> {
        let held = self.leases.get(token).filter(|lease| lease.is_delivered);
        let row = held.ok_or_else(|| self.leases.lost(token))?.row;
        let body = self.job(row).body.clone().expect("a delivered job has its body");
        check(&verdict, &body.work)?;
        self.check_effects(&effects)?;
        let lease = self.end_lease(token, now);
        if self.settle_cancelled(&lease, &verdict, now, fx) {
            disown_effects(&effects, fx);
            return Ok(Reply::Done);
        }
        let ended = |end, error| Ended::of(&lease, end, error);
        match verdict {
            Verdict::Ack => self.ack(row, ended(AttemptEnd::Acked, None), now),
            Verdict::Nack { error, retry_after } => {
                let ended = ended(AttemptEnd::Nacked, Some(&error));
                match retry_after {
                    Some(delay) => self.retry(row, ended, Start::After(delay), now, fx),
                    None => self.retry_with_backoff(row, ended, now, fx),
                }
            }
            Verdict::DeadLetter { reason } => {
                self.bury(row, ended(AttemptEnd::DeadLettered, Some(&reason)), now, fx);
            }
            Verdict::Release => {
                let error = Some("interrupted before it was settled");
                self.retry(row, ended(AttemptEnd::Released, error), Start::Now, now, fx);
            }
            Verdict::Unseen => self.unclaim(&lease, now, fx),
            Verdict::Postpone { delay } => self.postpone(&lease, delay, now, fx),
            Verdict::Step(outcome) => self.settle_step(row, &body, &lease, outcome, now, fx),
        }
        self.apply_effects(effects, now, fx);
        Ok(Reply::Done)
    }

    pub(super) fn end_lease(&mut self, token: ClaimToken, now: Now) -> Lease {
        let lease = self.leases.take(token).expect("the caller looked it up");
        self.note_claim_end(&lease);
        let entry = self.job(lease.row);
        let (queue, id) = (entry.queue, entry.id(lease.row));
        let queue = self.queues.at_mut(queue);
        queue.claimed_count -= 1;
        if lease.is_delivered {
            queue.measures.run_ms.observe(now.wall_ms.saturating_sub(lease.started_at_ms));
        }
        self.leases.remember(token, id, &lease);
        self.return_credit(lease.holder);
        lease
    }

    /// Ends a claimed job well: it is gone, or kept for a while if it is a plain one.
    pub(super) fn ack(&mut self, row: u64, ended: Ended<'_>, now: Now) {
        let entry = self.job(row);
        let (queue, kind) = (entry.queue, entry.kind);
        self.queues.totals(queue).acked_total += 1;
        match self.queues.at(queue).config.keep_done_jobs {
            Some(_) if kind == Kind::Plain => {
                let body = self.with_attempt(row, ended, now);
                self.keep_ended(row, &body, JobEnd::Done, now);
            }
            _ => self.remove(row),
        }
    }

    /// Ends a delivery that nobody settled: expired, or its consumer went away.
    pub(super) fn end_unsettled(
        &mut self,
        token: ClaimToken,
        (end, error): (AttemptEnd, &str),
        now: Now,
        fx: &mut Effects,
    ) {
        let lease = self.end_lease(token, now);
        if lease.is_delivered {
            let ended = Ended::of(&lease, end, Some(error));
            self.retry(lease.row, ended, Start::Now, now, fx);
            return;
        }
        self.forget_delivery(token, &lease, now, fx);
        self.unclaim(&lease, now, fx);
    }

    /// Makes a job wait that its holder could not begin: its attempt does not count.
    fn postpone(&mut self, lease: &Lease, delay: Duration, now: Now, fx: &mut Effects) {
        let row = lease.row;
        if self.job(row).is_cancel_requested {
            return self.end_cancelled(row, Some(lease.started_at_ms), now, fx);
        }
        let entry = self.job_mut(row);
        entry.attempts -= 1;
        let queue = entry.queue;
        let body = entry.body.clone().expect("a delivered job has its body");
        self.queues.totals(queue).retried_total += 1;
        self.put_back(row, body, Start::After(delay), now);
    }

    /// Puts back a job that nobody has seen: as if it had not been claimed.
    pub(super) fn unclaim(&mut self, lease: &Lease, now: Now, fx: &mut Effects) {
        let row = lease.row;
        if self.job(row).is_cancel_requested {
            return self.unclaim_cancelled(lease, now, fx);
        }
        // The commit that takes the claim back out of its row.
        self.claim_rows.is_due |= lease.batch.is_some();
        let entry = self.job_mut(row);
        entry.attempts -= 1;
        entry.become_stage(Stage::Committing);
        if let Some(body) = entry.body.take() {
            self.keep_body(row, body, now);
        }
        self.hold_dedup(row);
        self.make_ready(row);
    }

    pub(super) fn release(&mut self, token: ClaimToken, now: Now, fx: &mut Effects) {
        let error = "its consumer went away before it was settled";
        self.end_unsettled(token, (AttemptEnd::Released, error), now, fx);
    }

    /// Takes back every job whose lease has ended.
    pub(super) fn expire_leases(&mut self, now: Now, fx: &mut Effects) {
        while let Some(token) = self.leases.first_expired(now) {
            let error = "the lease expired before the job was settled";
            let row = self.leases.get(token).expect("it has expired just now").row;
            let queue = self.job(row).queue;
            self.queues.at_mut(queue).measures.expired_total += 1;
            self.end_unsettled(token, (AttemptEnd::Expired, error), now, fx);
        }
    }

    /// From now on nobody gets a job any more.
    pub fn stop_granting(&mut self) {
        self.is_granting = false;
    }

    /// Hands every open claim back, for an orderly close.
    pub fn release_all(&mut self, now: Now, fx: &mut Effects) {
        self.stop_granting();
        for token in self.leases.all() {
            // One that is taken back may take others with it: cancelled jobs of the same pull.
            if self.leases.get(token).is_none() {
                continue;
            }
            let error = "the queue was closed before it was settled";
            self.end_unsettled(token, (AttemptEnd::Released, error), now, fx);
        }
    }

    pub(super) fn retry_with_backoff(
        &mut self,
        row: u64,
        ended: Ended<'_>,
        now: Now,
        fx: &mut Effects,
    ) {
        let entry = self.job(row);
        let config = &self.queues.at(entry.queue).config;
        let backoff = backoff(config, entry.attempts);
        let delay = match config.retry_jitter {
            Jitter::None => backoff,
            Jitter::Full => {
                let bound_ms = bounded_ms(backoff);
                Duration::from_millis(self.random.up_to(bound_ms))
            }
        };
        self.retry(row, ended, Start::After(delay), now, fx);
    }

    /// Makes a claimed job wait for its next delivery, or dead-letters it after its last one.
    fn retry(&mut self, row: u64, ended: Ended<'_>, start: Start, now: Now, fx: &mut Effects) {
        let entry = self.job(row);
        if entry.is_cancel_requested {
            return self.end_cancelled(row, ended.started_at_ms, now, fx);
        }
        if entry.attempts >= entry.max_attempts {
            self.bury(row, ended, now, fx);
            return;
        }
        let queue = entry.queue;
        self.queues.totals(queue).retried_total += 1;
        let body = self.with_attempt(row, ended, now);
        self.put_back(row, body, start, now);
    }

    /// Writes a job in its next form; it is claimable after the commit.
    pub(super) fn put_back(&mut self, row: u64, body: Arc<Body>, start: Start, now: Now) {
        let (due, run_at_ms) = due_of(start, now);
        let entry = self.job_mut(row);
        entry.due = due;
        entry.body = None;
        entry.become_stage(Stage::Committing);
        let (id, value) = (entry.id(row), entry.stored(&body, run_at_ms).encode());
        self.hold_dedup(row);
        self.write(Row::Put(keys::job(row), value));
        self.name_object(row, &body.payload);
        self.begin_commit(row);
        self.keep_body(row, body, now);
        self.activate_when_durable(Activation::Job(id));
    }

    /// A claimed job's body with this delivery in its history.
    pub(super) fn with_attempt(&self, row: u64, ended: Ended<'_>, now: Now) -> Arc<Body> {
        let entry = self.job(row);
        let body = entry.body.as_deref().expect("a delivered job has its body");
        Arc::new(after_attempt(body, entry.attempts, ended, Some(now.wall_ms)))
    }
}

/// A body with one more delivery in its history.
pub(super) fn after_attempt(
    body: &Body,
    number: u32,
    ended: Ended<'_>,
    ended_at_ms: Option<u64>,
) -> Body {
    let attempt = Attempt {
        number,
        started_at_ms: ended.started_at_ms,
        ended_at_ms,
        end: ended.end,
        error: ended.error.map(|text| Box::from(cut_text(text, ATTEMPT_ERROR_BYTES_MAX))),
    };
    let forgotten = (body.history.len() + 1).saturating_sub(ATTEMPTS_KEPT_MAX);
    let mut history = Vec::with_capacity(body.history.len() + 1 - forgotten);
    history.extend_from_slice(&body.history[forgotten..]);
    history.push(attempt);
    let error = ended.error.map(|text| Box::from(cut_text(text, ERROR_TEXT_BYTES_MAX)));
    Body { last_error: error.or_else(|| body.last_error.clone()), history, ..body.clone() }
}

/// The delay before the next delivery: doubles from `base`, up to `max`.
fn backoff(config: &QueueConfig, attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    config.retry_backoff_base.saturating_mul(1 << doublings).min(config.retry_backoff_max)
}

/// Cuts an error text to its limit, at a character.
pub(super) fn cut_text(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

fn check(verdict: &Verdict, work: &BodyWork) -> Result<()> {
    let refuse = |value: &str, remedy: &str| {
        let (value, remedy) = (value.to_owned(), remedy.to_owned());
        Err(Error::InvalidArgument { name: "outcome", value, remedy })
    };
    match (verdict, work) {
        (Verdict::Nack { retry_after: Some(delay), .. } | Verdict::Postpone { delay }, _) => {
            check_duration("retry_after", *delay)
        }
        (Verdict::Ack, BodyWork::Step { .. }) => {
            refuse("an ack of a workflow step", "let a workflow runtime settle steps")
        }
        (Verdict::Step(_), BodyWork::Job | BodyWork::Notification { .. }) => {
            refuse("a step outcome", "settle a plain job with ack, nack or dead_letter")
        }
        _ => Ok(()),
    }
}
