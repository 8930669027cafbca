//! Claims: who gets which job.
//!
//! A subscription has jobs handed to it as they become ready, as many as its concurrency allows; a
//! pull takes what is ready, and may wait for it. Both take the smallest (priority, order) first.
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
use super::job::{Due, JobEntry, Kind, Stage};
use super::lease::{Holder, Lease};
use super::{Effects, Origin, OutletId, State};
use crate::clock::Now;
use crate::command::{
    Claim, Reply, RunOutcome, SubscriptionId, TerminalStatus, TerminalStatuses, Work,
};
use crate::error::Result;
use crate::ids::{ClaimToken, QueueName};
use crate::limits::{CLAIM_COUNT_MAX, CONCURRENCY_MAX};
use crate::options::{bounded_ms, check_count, check_duration, check_lease};
use crate::record::{Body, BodyWork, Payload};

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

/// What a pull asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub origin: Origin,
    pub queue: u32,
    pub count_max: usize,
    /// `None`: until it is settled, or its consumer has gone.
    pub lease: Option<Duration>,
}

/// A pull whose bodies are not all there yet.
#[derive(Debug)]
pub(super) struct Pull {
    pub terms: Terms,
    /// For how long it may go on waiting if nothing comes of it.
    until_ms: Option<u64>,
    /// With the place of each in the batch.
    claims: Vec<(usize, Claim)>,
    missing: usize,
}

impl State {
    pub(super) fn subscribe(
        &mut self,
        outlet: OutletId,
        queue: &QueueName,
        concurrency: usize,
        observes_runs: TerminalStatuses,
        job_timeout: Option<Duration>,
    ) -> Result<Reply> {
        check_count("concurrency", concurrency, CONCURRENCY_MAX)?;
        check_lease("job_timeout", job_timeout)?;
        let queue = self.queue_index(queue)?;
        let observed = &mut self.queues.at_mut(queue).observes_runs;
        *observed = observed.union(observes_runs);
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
        self.leave(outlet);
        let ids: Vec<_> =
            self.subscriptions.iter().filter(|(_, s)| mine(s)).map(|(&id, _)| id).collect();
        for token in self.leases.held_by(outlet, &ids) {
            if self.leases.get(token).is_none() {
                continue;
            }
            self.release(token, now, fx);
        }
        self.subscriptions.retain(|_, s| !mine(s));
    }

    /// A consumer takes nothing any more; what it has can still be settled.
    pub fn leave(&mut self, outlet: OutletId) {
        for subscription in self.subscriptions.values_mut().filter(|s| s.outlet == outlet) {
            subscription.is_open = false;
        }
        self.waiting.drop_outlet(outlet);
        self.runs.drop_waiters(outlet);
        self.handovers.drop_outlet(outlet);
    }

    /// Hands ready jobs to the pulls that wait for them, then to the subscriptions that can take
    /// them, in turns.
    pub fn dispatch(&mut self, now: Now, fx: &mut Effects) {
        if !self.is_granting {
            return;
        }
        self.serve_waiting(now, fx);
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
        // A hook is no step: what bounds steps would have it told again while it is being told.
        let lease = lease.filter(|_| self.job(row).kind != Kind::Notification);
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

    /// Takes what is ready. The reply leaves when every body is there; with `wait`, when a job is.
    #[expect(clippy::too_many_arguments, reason = "the fields of one command")]
    pub(super) fn pull(
        &mut self,
        origin: Origin,
        queue: &QueueName,
        count_max: usize,
        lease: Option<Duration>,
        wait: Option<Duration>,
        now: Now,
        fx: &mut Effects,
    ) -> Result<()> {
        check_count("count", count_max, CLAIM_COUNT_MAX)?;
        check_lease("lease", lease)?;
        check_duration("timeout", wait.unwrap_or_default())?;
        let lease = Some(lease.unwrap_or(self.options.queue_config(queue).lease_duration));
        let queue = match (self.queues.find(queue), wait) {
            (Some(index), _) => index,
            (None, None) => {
                fx.answer(origin, Ok(Reply::Claimed(Vec::new())));
                return Ok(());
            }
            (None, Some(_)) => self.queue_index(queue)?,
        };
        let terms = Terms { origin, queue, count_max, lease };
        let until_ms = wait.map(|wait| now.mono_ms + bounded_ms(wait));
        if self.grant_pull(terms, until_ms, now, fx) {
            return Ok(());
        }
        match until_ms {
            Some(until_ms) => self.waiting.add(terms, until_ms),
            None => fx.answer(origin, Ok(Reply::Claimed(Vec::new()))),
        }
        Ok(())
    }

    /// Grants a pull what is ready; `false` if nothing is.
    pub(super) fn grant_pull(
        &mut self,
        terms: Terms,
        until_ms: Option<u64>,
        now: Now,
        fx: &mut Effects,
    ) -> bool {
        let ready = std::iter::from_fn(|| self.take_ready(terms.queue));
        let rows: Vec<u64> = ready.take(terms.count_max).collect();
        if rows.is_empty() {
            return false;
        }
        self.grant_rows(terms, until_ms, rows, now, fx);
        true
    }

    /// Grants a pull these jobs, which are pending and in no index.
    pub(super) fn grant_rows(
        &mut self,
        terms: Terms,
        until_ms: Option<u64>,
        rows: Vec<u64>,
        now: Now,
        fx: &mut Effects,
    ) {
        let pull = self.next_pull;
        self.next_pull += 1;
        let (claims, missing) = (Vec::new(), rows.len());
        self.pulls.insert(pull, Pull { terms, until_ms, claims, missing });
        for (place, row) in rows.into_iter().enumerate() {
            let holder = Holder::Pull { pull, place, outlet: terms.origin.outlet };
            self.grant(row, holder, terms.lease, now, fx);
        }
    }

    fn take_ready(&mut self, queue: u32) -> Option<u64> {
        self.queues.at_mut(queue).ready.pop_first()
    }

    fn grant(
        &mut self,
        row: u64,
        holder: Holder,
        lease: Option<Duration>,
        now: Now,
        fx: &mut Effects,
    ) {
        let entry = self.jobs.get_mut(row).expect("a ready job has an entry");
        let is_suspect = entry.is_suspect;
        let token = self.leases.grant(row, holder, lease, now);
        self.claim_rows.add(token);
        entry.become_stage(Stage::Claimed);
        entry.attempts += 1;
        self.cached_bytes -= entry.body.as_ref().map_or(0, |body| body.size_bytes());
        self.queues.at_mut(entry.queue).claimed_count += 1;
        self.free_dedup_of_claimed(row);
        if is_suspect {
            self.claim_rows.is_due = true;
            self.activate_when_durable(Activation::Delivery(token));
        } else {
            self.deliver(token, now, fx);
        }
    }

    /// Delivers a granted job, or has its body or payload read first.
    pub(super) fn deliver(&mut self, token: ClaimToken, now: Now, fx: &mut Effects) {
        let Some(lease) = self.leases.get(token) else { return };
        let row = lease.row;
        let Some(body) = self.job(row).body.clone() else {
            self.loading.insert(row, token);
            fx.loads.push(row);
            return;
        };
        match &body.payload {
            Payload::Inline(data) => self.hand_over(token, &body, data.clone(), now, fx),
            Payload::Object(object) => {
                self.loading.insert(row, token);
                fx.object_reads.push((row, *object));
            }
        }
    }

    /// Hands a granted job to its holder: its lease starts. One that was cancelled while its body
    /// was on the way is gone instead.
    pub(super) fn hand_over(
        &mut self,
        token: ClaimToken,
        body: &Body,
        payload: bytes::Bytes,
        now: Now,
        fx: &mut Effects,
    ) {
        let holder = self.leases.get(token).expect("the caller looked it up").holder;
        let claim = self.claim_of(token, body, payload);
        match holder {
            Holder::Subscription(_) if !self.may_leave(token, now, fx) => {}
            Holder::Subscription(id) => {
                self.start(token, now);
                let outlet = self.subscriptions[&id].outlet;
                fx.claims.push((outlet, id, claim));
            }
            Holder::Pull { pull, place, .. } => self.fill_pull(pull, Some((place, claim)), now, fx),
        }
    }

    /// A delivery begins.
    fn start(&mut self, token: ClaimToken, now: Now) {
        let lease = self.leases.start(token, now);
        let entry = self.job(lease.row);
        let (queue, since_ms) = (entry.queue, claimable_since(entry, now));
        let measures = &mut self.queues.at_mut(queue).measures;
        measures.claimed_total += 1;
        if let Some(since_ms) = since_ms {
            measures.wait_ms.observe(lease.started_at_ms.saturating_sub(since_ms));
        }
    }

    /// Whether a claim is worth delivering still: a job that was cancelled meanwhile is gone now.
    fn may_leave(&mut self, token: ClaimToken, now: Now, fx: &mut Effects) -> bool {
        let Some(row) = self.leases.get(token).map(|lease| lease.row) else { return false };
        let is_cancelled = self.job(row).is_cancel_requested;
        if is_cancelled {
            self.end_lease(token, now);
            self.end_cancelled(row, None, now, fx);
        }
        !is_cancelled
    }

    /// The consumer that holds a claim.
    pub(super) fn outlet_of(&self, lease: &Lease) -> OutletId {
        match lease.holder {
            Holder::Subscription(id) => self.subscriptions[&id].outlet,
            Holder::Pull { outlet, .. } => outlet,
        }
    }

    /// A granted job is not delivered after all: nobody waits for its body any more.
    pub(super) fn forget_delivery(
        &mut self,
        token: ClaimToken,
        lease: &Lease,
        now: Now,
        fx: &mut Effects,
    ) {
        self.loading.remove(&lease.row);
        let Holder::Pull { pull: id, .. } = lease.holder else { return };
        let pull = self.pulls.get_mut(&id).expect("a pull stays until it is full");
        let count = pull.claims.len();
        pull.claims.retain(|(_, claim)| claim.token != token);
        if pull.claims.len() == count {
            self.fill_pull(id, None, now, fx);
        }
    }

    /// A pulled job has its body, or is gone meanwhile.
    fn fill_pull(&mut self, id: u64, claim: Option<(usize, Claim)>, now: Now, fx: &mut Effects) {
        let pull = self.pulls.get_mut(&id).expect("a pull stays until it is full");
        pull.claims.extend(claim);
        pull.missing -= 1;
        if pull.missing == 0 {
            let mut pull = self.pulls.remove(&id).expect("looked up above");
            pull.claims.sort_by_key(|(place, _)| *place);
            let claims = pull.claims.into_iter().map(|(_, claim)| claim);
            let mut claims: Vec<_> =
                claims.filter(|claim| self.may_leave(claim.token, now, fx)).collect();
            if !self.is_granting {
                // The queue is being closed: nobody sees them, so they do not count as deliveries.
                for claim in claims.drain(..) {
                    let lease = self.end_lease(claim.token, now);
                    self.unclaim(&lease, now, fx);
                }
            }
            for claim in &claims {
                self.start(claim.token, now);
            }
            match pull.until_ms {
                // What it was given went away before it could leave: it waits on.
                Some(until_ms) if claims.is_empty() && until_ms > now.mono_ms => {
                    self.waiting.add(pull.terms, until_ms);
                }
                _ => fx.answer(pull.terms.origin, Ok(Reply::Claimed(claims))),
            }
        }
    }

    fn claim_of(&self, token: ClaimToken, body: &Body, payload: bytes::Bytes) -> Claim {
        let lease = self.leases.get(token).expect("the caller holds the lease");
        let entry = self.job(lease.row);
        Claim {
            token,
            job_id: entry.id(lease.row),
            queue: self.queues.at(entry.queue).name.clone(),
            attempts: entry.attempts,
            max_attempts: entry.max_attempts,
            priority: entry.priority,
            lease: lease.duration,
            work: work_of(body, &payload, entry.turn),
            payload,
            headers: body.headers.clone(),
        }
    }
}

/// Since when a job could be claimed; `None` if that is not known, as of one that was requeued.
fn claimable_since(entry: &JobEntry, now: Now) -> Option<u64> {
    let body = entry.body.as_deref()?;
    let since_ms = match body.history.last() {
        None => body.enqueued_at_ms,
        Some(_) if entry.attempts == 1 => return None,
        Some(last) => last.ended_at_ms?,
    };
    let due_ms = match entry.due {
        Due::Now => 0,
        Due::MonoMs(at_ms) => now.wall_ms.saturating_sub(now.mono_ms.saturating_sub(at_ms)),
        Due::WallMs(at_ms) => at_ms,
    };
    Some(since_ms.max(due_ms))
}

fn work_of(body: &Body, payload: &bytes::Bytes, turn: u32) -> Work {
    match &body.work {
        BodyWork::Job => Work::Job,
        BodyWork::Step { run_id } => Work::Step { run_id: run_id.clone(), step_number: turn },
        BodyWork::Notification { run_id, status, error, final_step } => {
            let has_result = *status == TerminalStatus::Succeeded;
            Work::Notification(Arc::new(RunOutcome {
                run_id: run_id.clone(),
                status: *status,
                result: has_result.then(|| payload.clone()),
                error: error.as_deref().map(str::to_owned),
                headers: body.headers.clone(),
                final_step: *final_step,
            }))
        }
    }
}
