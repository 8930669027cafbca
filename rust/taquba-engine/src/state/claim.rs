//! Claims: who gets which job.
//!
//! A subscription has jobs handed to it as they become ready, as many as its concurrency allows; a
//! pull takes what is ready now. Both take the smallest (priority, order) first.
//!
//! # Invariants
//!
//! 1. A claim writes nothing, with one exception: a job that may have ended the last process is
//!    delivered only when its claim is durable, so that it cannot do so for ever.
//! 2. A subscription never has more unsettled deliveries than its concurrency.
//! 3. A lease starts when the job is delivered, not while its body is being read.

use std::sync::Arc;
use std::time::Duration;

use super::durable::Activation;
use super::job::JobState;
use super::lease::{Holder, Lease};
use super::{Effects, Origin, OutletId, State};
use crate::clock::Now;
use crate::command::{Claim, Reply, RunOutcome, SubscriptionId, TerminalStatus, Work};
use crate::error::{Error, Result};
use crate::ids::{ClaimToken, QueueName};
use crate::limits::{BODY_CACHE_BYTES_MAX, CLAIM_COUNT_MAX, CONCURRENCY_MAX, READ_AHEAD_ROWS};
use crate::options::check_duration;
use crate::record::{Body, BodyWork, JobRow, Undecodable};

/// A consumer that takes jobs as they come.
#[derive(Debug)]
pub(super) struct Subscription {
    outlet: OutletId,
    queue: u32,
    /// Deliveries it can still take.
    credit: usize,
    job_timeout: Option<Duration>,
    /// `false` once it has ended; it stays until its last delivery is settled.
    is_open: bool,
    in_flight: usize,
}

/// A `claim_batch` whose bodies are not all there yet.
#[derive(Debug)]
pub(super) struct Pull {
    origin: Origin,
    /// With the place of each in the batch.
    claims: Vec<(usize, Claim)>,
    missing: usize,
}

/// A granted job whose body is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    token: ClaimToken,
}

impl State {
    pub(super) fn subscribe(
        &mut self,
        outlet: OutletId,
        queue: &QueueName,
        concurrency: usize,
        observes_runs: bool,
        job_timeout: Option<Duration>,
    ) -> Result<Reply> {
        check_count("concurrency", concurrency, CONCURRENCY_MAX)?;
        check_lease("job_timeout", job_timeout)?;
        let queue = self.queue_index(queue)?;
        self.queues.at_mut(queue).observes_runs |= observes_runs;
        let id = self.next_subscription;
        self.next_subscription += 1;
        self.subscriptions.insert(
            id,
            Subscription {
                outlet,
                queue,
                credit: concurrency,
                job_timeout,
                is_open: true,
                in_flight: 0,
            },
        );
        Ok(Reply::Subscribed(id))
    }

    pub(super) fn unsubscribe(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        subscription.is_open = false;
        if subscription.in_flight == 0 {
            self.subscriptions.remove(&id);
        }
    }

    /// Ends a consumer: what it has not settled is delivered to others.
    pub fn detach(&mut self, outlet: OutletId, now: Now, fx: &mut Effects) {
        let mine = |s: &Subscription| s.outlet == outlet;
        let ids: Vec<_> =
            self.subscriptions.iter().filter(|(_, s)| mine(s)).map(|(&id, _)| id).collect();
        for &id in &ids {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.is_open = false;
            }
        }
        for token in self.leases.held_by(&ids) {
            self.release(token, now, fx);
        }
        self.subscriptions.retain(|_, s| !mine(s));
        self.runs.drop_waiters(outlet);
    }

    /// Hands ready jobs to the subscriptions that can take them, in turns.
    pub fn dispatch(&mut self, now: Now, fx: &mut Effects) {
        let mut ids: Vec<SubscriptionId> = self.subscriptions.keys().copied().collect();
        while !ids.is_empty() {
            ids.retain(|&id| self.dispatch_one(id, now, fx));
        }
    }

    fn dispatch_one(&mut self, id: SubscriptionId, now: Now, fx: &mut Effects) -> bool {
        let subscription = &self.subscriptions[&id];
        if !subscription.is_open || subscription.credit == 0 {
            return false;
        }
        let (queue, lease) = (subscription.queue, subscription.job_timeout);
        let Some(row) = self.take_ready(queue) else { return false };
        let subscription = self.subscriptions.get_mut(&id).expect("looked up above");
        subscription.credit -= 1;
        subscription.in_flight += 1;
        self.grant(row, Holder::Subscription(id), lease, now, fx);
        true
    }

    /// A subscription's delivery has ended: it can take another.
    pub(super) fn return_credit(&mut self, holder: Holder) {
        let Holder::Subscription(id) = holder else { return };
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        subscription.credit += 1;
        subscription.in_flight -= 1;
        if !subscription.is_open && subscription.in_flight == 0 {
            self.subscriptions.remove(&id);
        }
    }

    /// Takes what is ready now. The reply leaves when every body is there.
    pub(super) fn pull(
        &mut self,
        origin: Origin,
        queue: &QueueName,
        count_max: usize,
        lease: Option<Duration>,
        now: Now,
        fx: &mut Effects,
    ) -> Result<()> {
        check_count("count", count_max, CLAIM_COUNT_MAX)?;
        check_lease("lease", lease)?;
        let index = self.queues.find(queue);
        let rows: Vec<u64> =
            std::iter::from_fn(|| self.take_ready(index?)).take(count_max).collect();
        if rows.is_empty() {
            fx.answer(origin, Ok(Reply::Claimed(Vec::new())));
            return Ok(());
        }
        let lease = lease.unwrap_or(self.options.queue_config(queue).lease_duration);
        let pull = self.next_pull;
        self.next_pull += 1;
        self.pulls.insert(pull, Pull { origin, claims: Vec::new(), missing: rows.len() });
        for (place, row) in rows.into_iter().enumerate() {
            self.grant(row, Holder::Pull { pull, place }, Some(lease), now, fx);
        }
        Ok(())
    }

    fn take_ready(&mut self, queue: u32) -> Option<u64> {
        self.queues.at_mut(queue).ready.pop_first().map(|(_, row)| row)
    }

    fn grant(
        &mut self,
        row: u64,
        holder: Holder,
        lease: Option<Duration>,
        now: Now,
        fx: &mut Effects,
    ) {
        let entry = self.jobs.get_mut(&row).expect("a ready job has an entry");
        let token = self.leases.grant(Lease { row, holder, duration: lease, expires_ms: None });
        entry.become_state(JobState::Claimed(token));
        entry.attempts += 1;
        self.cached_bytes -= entry.body.as_ref().map_or(0, |body| body.size_bytes());
        let is_suspect = std::mem::take(&mut entry.is_suspect);
        self.queues.at_mut(entry.queue).claimed_count += 1;
        self.free_dedup_of_claimed(row);
        if is_suspect {
            self.write_claim(row);
            self.activate_when_durable(Activation::Delivery(token));
        } else {
            self.deliver(token, now, fx);
        }
    }

    /// Delivers a granted job, or has its body read first.
    pub(super) fn deliver(&mut self, token: ClaimToken, now: Now, fx: &mut Effects) {
        let Some(lease) = self.leases.get(token) else { return };
        let (row, holder) = (lease.row, lease.holder);
        let entry = &self.jobs[&row];
        let Some(body) = entry.body.clone() else {
            self.loading.insert(row, Waiting { token });
            fx.loads.push(row);
            return;
        };
        let claim = self.claim_of(token, &body);
        self.leases.start(token, now);
        match holder {
            Holder::Subscription(id) => {
                let outlet = self.subscriptions[&id].outlet;
                fx.claims.push((outlet, id, claim));
            }
            Holder::Pull { pull, place } => self.fill_pull(pull, Some((place, claim)), fx),
        }
    }

    /// A pulled job has its body, or is gone meanwhile.
    pub(super) fn fill_pull(&mut self, id: u64, claim: Option<(usize, Claim)>, fx: &mut Effects) {
        let pull = self.pulls.get_mut(&id).expect("a pull stays until it is full");
        pull.claims.extend(claim);
        pull.missing -= 1;
        if pull.missing == 0 {
            let mut pull = self.pulls.remove(&id).expect("looked up above");
            pull.claims.sort_by_key(|(place, _)| *place);
            let claims = pull.claims.into_iter().map(|(_, claim)| claim).collect();
            fx.answer(pull.origin, Ok(Reply::Claimed(claims)));
        }
    }

    fn claim_of(&self, token: ClaimToken, body: &Body) -> Claim {
        let lease = self.leases.get(token).expect("the caller holds the lease");
        let entry = &self.jobs[&lease.row];
        Claim {
            token,
            job_id: entry.id(lease.row),
            queue: self.queues.at(entry.queue).name.clone(),
            attempts: entry.attempts,
            max_attempts: entry.max_attempts,
            priority: entry.priority,
            lease: lease.duration,
            payload: body.payload.clone(),
            headers: body.headers.clone(),
            work: work_of(body, entry.turn),
        }
    }

    /// Rows whose bodies will be wanted next, so that they can be read along with those that are
    /// wanted now.
    #[must_use]
    pub fn read_ahead(&self, loads: &[u64]) -> Vec<u64> {
        let Some(queue) = loads.first().map(|row| self.jobs[row].queue) else {
            return Vec::new();
        };
        if self.cached_bytes > BODY_CACHE_BYTES_MAX / 2 {
            return Vec::new();
        }
        let next = self.queues.at(queue).ready.values().take(READ_AHEAD_ROWS).copied();
        next.filter(|row| self.jobs[row].body.is_none()).collect()
    }

    /// Whether a delivery waits for this row's body.
    #[must_use]
    pub fn is_awaited(&self, row: u64) -> bool {
        self.loading.contains_key(&row)
    }

    /// Everybody whose answer is still to come.
    #[must_use]
    pub fn waiting_origins(&self) -> Vec<Origin> {
        self.runs.waiting().chain(self.pulls.values().map(|pull| pull.origin)).collect()
    }

    /// Takes a body that was read.
    ///
    /// # Errors
    ///
    /// The row does not read: its job can neither be delivered nor told from others.
    pub fn loaded(
        &mut self,
        row: u64,
        value: &bytes::Bytes,
        now: Now,
        fx: &mut Effects,
    ) -> Result<(), Undecodable> {
        let stored = JobRow::<Body>::decode(value)?;
        let body = Arc::new(stored.body);
        let is_current = self.jobs.get(&row).is_some_and(|entry| entry.turn == stored.turn);
        let Some(waiting) = self.loading.remove(&row) else {
            if is_current && self.jobs[&row].state == JobState::Pending {
                self.keep_body(row, body);
            }
            return Ok(());
        };
        if self.leases.get(waiting.token).is_none() {
            return Ok(());
        }
        if !is_current {
            return Err(Undecodable(format!("turn {} where another was expected", stored.turn)));
        }
        self.jobs.get_mut(&row).expect("it is current").body = Some(body);
        self.deliver(waiting.token, now, fx);
        Ok(())
    }
}

fn work_of(body: &Body, turn: u32) -> Work {
    match &body.work {
        BodyWork::Job => Work::Job,
        BodyWork::Step { run_id } => Work::Step { run_id: run_id.clone(), step_number: turn },
        BodyWork::Notification { run_id, status, error, final_step } => {
            let has_result = *status == TerminalStatus::Succeeded;
            Work::Notification(Arc::new(RunOutcome {
                run_id: run_id.clone(),
                status: *status,
                result: has_result.then(|| body.payload.clone()),
                error: error.as_deref().map(str::to_owned),
                headers: body.headers.clone(),
                final_step: *final_step,
            }))
        }
    }
}

fn check_count(name: &'static str, count: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&count) {
        return Ok(());
    }
    let remedy = format!("use 1 to {max}");
    Err(Error::InvalidArgument { name, value: count.to_string(), remedy })
}

fn check_lease(name: &'static str, lease: Option<Duration>) -> Result<()> {
    let Some(lease) = lease else { return Ok(()) };
    if lease < Duration::from_millis(1) {
        let remedy = "give the holder at least 1 ms".to_owned();
        return Err(Error::InvalidArgument { name, value: format!("{lease:?}"), remedy });
    }
    check_duration(name, lease)
}
