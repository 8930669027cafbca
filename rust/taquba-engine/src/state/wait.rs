//! Pulls that wait for a job.
//!
//! # Invariants
//!
//! 1. Of a queue's waiting pulls the first is served first, and before any subscription.
//! 2. A pull waits no longer than it said; then it is answered with nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::Terms;
use super::{Effects, Origin, OutletId, State};
use crate::clock::Now;
use crate::command::{Reply, Ticket};

/// Pulls that wait, by their number in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct WaitingPulls {
    pulls: BTreeMap<u64, (Terms, u64)>,
    /// (queue, number)
    by_queue: BTreeSet<(u32, u64)>,
    /// (monotonic instant, number)
    by_deadline: BTreeSet<(u64, u64)>,
    next: u64,
}

impl WaitingPulls {
    pub fn add(&mut self, terms: Terms, until_ms: u64) {
        let number = self.next;
        self.next += 1;
        self.by_queue.insert((terms.queue, number));
        self.by_deadline.insert((until_ms, number));
        self.pulls.insert(number, (terms, until_ms));
    }

    /// Takes back the call with this ticket.
    pub fn withdraw(&mut self, outlet: OutletId, ticket: Ticket) {
        self.remove_all(|origin| origin.outlet == outlet && origin.ticket == Some(ticket));
    }

    /// Takes back the calls of a consumer that has gone.
    pub fn drop_outlet(&mut self, outlet: OutletId) {
        self.remove_all(|origin| origin.outlet == outlet);
    }

    /// Everybody who waits.
    pub fn origins(&self) -> impl Iterator<Item = Origin> {
        self.pulls.values().map(|(terms, _)| terms.origin)
    }

    /// Milliseconds until the first of them has waited long enough.
    pub fn next_deadline_ms(&self, now: Now) -> Option<u64> {
        self.by_deadline.first().map(|(at_ms, _)| at_ms.saturating_sub(now.mono_ms))
    }

    fn pop_late(&mut self, now: Now) -> Option<Terms> {
        let &(until_ms, number) = self.by_deadline.first()?;
        (until_ms <= now.mono_ms).then(|| self.remove(number).0)
    }

    fn queues(&self) -> Vec<u32> {
        let mut queues: Vec<u32> = self.by_queue.iter().map(|(queue, _)| *queue).collect();
        queues.dedup();
        queues
    }

    fn pop(&mut self, queue: u32) -> Option<(Terms, u64)> {
        let &(_, number) = self.by_queue.range((queue, 0)..=(queue, u64::MAX)).next()?;
        Some(self.remove(number))
    }

    fn remove(&mut self, number: u64) -> (Terms, u64) {
        let (terms, until_ms) = self.pulls.remove(&number).expect("the indexes name pulls");
        self.by_queue.remove(&(terms.queue, number));
        self.by_deadline.remove(&(until_ms, number));
        (terms, until_ms)
    }

    fn remove_all(&mut self, is_meant: impl Fn(&Origin) -> bool) {
        let meant = self.pulls.iter().filter(|(_, (terms, _))| is_meant(&terms.origin));
        for number in meant.map(|(&number, _)| number).collect::<Vec<_>>() {
            self.remove(number);
        }
    }
}

impl State {
    /// Gives ready jobs to the pulls that wait for them.
    pub(super) fn serve_waiting(&mut self, now: Now, fx: &mut Effects) {
        if self.waiting.pulls.is_empty() || !self.is_granting {
            return;
        }
        for queue in self.waiting.queues() {
            while self.queues.at(queue).ready.len() > 0 {
                let Some((terms, until_ms)) = self.waiting.pop(queue) else { break };
                let is_granted = self.grant_pull(terms, Some(until_ms), now, fx);
                assert!(is_granted, "a job was ready");
            }
        }
    }

    /// Answers the pulls that have waited long enough.
    pub(super) fn end_waits(&mut self, now: Now, fx: &mut Effects) {
        while let Some(terms) = self.waiting.pop_late(now) {
            fx.answer(terms.origin, Ok(Reply::Claimed(Vec::new())));
        }
    }

    /// Takes back a call that waits; one that was answered meanwhile has its answer.
    pub(super) fn withdraw(&mut self, outlet: OutletId, ticket: Ticket) {
        self.waiting.withdraw(outlet, ticket);
        self.runs.withdraw(outlet, ticket);
    }

    /// Everybody whose answer is still to come.
    #[must_use]
    pub fn waiting_origins(&self) -> Vec<Origin> {
        let pulls = self.pulls.values().map(|pull| pull.terms.origin);
        let parked = self.parked.values().flatten().map(|(origin, _)| *origin);
        let waiting = self.waiting.origins().chain(self.kv.origins());
        let handovers = self.handovers.waiting();
        self.runs.waiting().chain(pulls).chain(parked).chain(waiting).chain(handovers).collect()
    }
}
