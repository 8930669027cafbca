//! A turn of the loop: calls are answered, deliveries dealt out.
//!
//! # Invariants
//!
//! 1. What was taken for a caller who has given up goes back at once: claims are released, a
//!    subscription ends.
//! 2. No lock is held while Python runs.

use std::sync::Arc;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use taquba_engine::command::{
    Claim as EngineClaim, Command, Delivery, Reply, SubscriptionId, Ticket, Verdict, Work,
};
use taquba_engine::engine::Request;
use taquba_engine::ids::ClaimToken;
use taquba_engine::{Error, Result};

use super::Port;
use crate::calls::{Call, Makers};
use crate::claim::Claim;
use crate::engine::{Engine, Unclaimed};
use crate::line::Flush;
use crate::mailbox::Arrival;
use crate::notification::Notification;
use crate::step::Step;
use crate::{error, reply};

/// Deliveries of one turn. Their first parts run inside the turn: 128 no-op steps take about
/// 0.3 ms, which other callbacks of the loop can bear.
const TURN_COUNT_MAX: usize = 128;

/// What one subscription gets in one turn: what starts them, and the deliveries.
pub(super) type Batch = (Py<PyAny>, Vec<Py<PyAny>>);

impl Port {
    /// Answers calls and takes deliveries.
    pub(super) fn take_turn(&self, py: Python<'_>) -> PyResult<Vec<Batch>> {
        self.line.begin_turn();
        for arrival in self.mailbox.take() {
            self.accept(py, arrival).unwrap_or_else(|failed| failed.write_unraisable(py, None));
        }
        self.deal(py)
    }

    /// Sends a call.
    pub(super) fn call(&self, future: Py<PyAny>, command: Command) -> bool {
        let ticket = self.calls.add(Call { future, start: None });
        self.push(Some(ticket), command)
    }

    /// Sends a call that may be answered late.
    pub(super) fn waiting_call(&self, future: Py<PyAny>, command: Command) -> (Ticket, bool) {
        let ticket = self.calls.add(Call { future, start: None });
        (ticket, self.push(Some(ticket), command))
    }

    /// Sends a request with the others of this turn. `true` if nobody arranged for that.
    pub(super) fn push(&self, ticket: Option<Ticket>, command: Command) -> bool {
        is_due(self.line.push(Request { ticket, command }))
    }

    /// Takes what came for the loop.
    pub(super) fn accept(&self, py: Python<'_>, arrival: Arrival) -> PyResult<()> {
        match arrival {
            Arrival::Delivery(Delivery::Reply { ticket, result }) => {
                self.answer(py, ticket, result)
            }
            Arrival::Delivery(Delivery::Claims { subscription, claims }) => {
                let claims = claims.into_iter().map(|claim| (subscription, claim));
                self.backlog.lock().extend(claims);
                Ok(())
            }
            Arrival::Delivery(Delivery::CancelRequested { token }) => {
                self.line.cancels().request(py, token)
            }
            Arrival::Delivery(Delivery::Broken(failed)) => self.tell_watchers(py, &failed),
            Arrival::Opened(ticket, result) => self.answer_open(py, ticket, result),
            Arrival::Closed(ticket, result) => {
                self.answer(py, ticket, result.map(|()| Reply::Done))
            }
            Arrival::Answer(ticket, answer) => self.answer_beside(py, ticket, answer),
        }
    }

    fn answer(&self, py: Python<'_>, ticket: Ticket, result: Result<Reply>) -> PyResult<()> {
        let Some(mut call) = self.calls.remove(ticket) else {
            self.give_back(result);
            return Ok(());
        };
        if call.is_done(py)? {
            self.give_back(result);
            return Ok(());
        }
        if let (Ok(Reply::Subscribed(subscription)), Some(start)) = (&result, call.start.take()) {
            self.starts.lock().insert(*subscription, start);
        }
        let answer = result.map_err(|failed| error::to_py(py, &failed));
        call.hand_over(py, answer.and_then(|reply| reply::to_py(py, reply, &self.line)))
    }

    /// Gives back what nobody waits for any more. The turn's end sends it.
    fn give_back(&self, result: Result<Reply>) {
        match result {
            Ok(Reply::Claimed(claims)) => {
                for claim in claims {
                    self.hand_back(claim.token);
                }
            }
            Ok(Reply::Subscribed(subscription)) => {
                self.push(None, Command::Unsubscribe { subscription });
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Notes who is to hear of the engine's end.
    pub(super) fn add_watcher(&self, py: Python<'_>, watcher: Call) -> PyResult<()> {
        let mut watchers = std::mem::take(&mut *self.watchers.lock());
        let mut kept = Vec::with_capacity(watchers.len() + 1);
        for watcher in watchers.drain(..) {
            if !watcher.is_done(py)? {
                kept.push(watcher);
            }
        }
        kept.push(watcher);
        self.watchers.lock().append(&mut kept);
        Ok(())
    }

    /// Ends the door.
    pub(super) fn end(&self) {
        self.line.end();
        self.mailbox.close();
    }

    /// Tells them.
    pub(super) fn tell_watchers(&self, py: Python<'_>, failed: &Error) -> PyResult<()> {
        let watchers = std::mem::take(&mut *self.watchers.lock());
        watchers.iter().try_for_each(|call| call.resolve(py, Err(error::to_py(py, failed))))
    }

    fn answer_open(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        result: Result<Unclaimed>,
    ) -> PyResult<()> {
        let Some(call) = self.calls.remove(ticket) else { return Ok(()) };
        match result {
            Ok(_) if call.is_done(py)? => Ok(()),
            Ok(opened) => call.resolve(py, Engine(opened.claim()).into_bound_py_any(py)),
            Err(failed) => call.resolve(py, Err(error::to_py(py, &failed))),
        }
    }

    /// Takes one turn's deliveries out of the backlog, those of one subscription together. What is
    /// for a subscription that has ended goes back.
    pub(super) fn deal(&self, py: Python<'_>) -> PyResult<Vec<Batch>> {
        let claims: Vec<_> = {
            let mut backlog = self.backlog.lock();
            let count = backlog.len().min(TURN_COUNT_MAX);
            backlog.drain(..count).collect()
        };
        let mut batches: Vec<Batch> = Vec::new();
        let mut last: Option<(SubscriptionId, Arc<Makers>)> = None;
        for (subscription, claim) in claims {
            if last.as_ref().is_none_or(|(last, _)| *last != subscription) {
                let Some((start, makers)) = self.start_of(py, subscription) else {
                    self.hand_back(claim.token);
                    continue;
                };
                batches.push((start, Vec::new()));
                last = Some((subscription, makers));
            }
            let (_, works) = batches.last_mut().expect("a batch was begun above");
            let (_, makers) = last.as_ref().expect("a subscription was found above");
            works.push(self.work(py, claim, makers)?);
        }
        Ok(batches)
    }

    fn start_of(
        &self,
        py: Python<'_>,
        subscription: SubscriptionId,
    ) -> Option<(Py<PyAny>, Arc<Makers>)> {
        let starts = self.starts.lock();
        let starter = starts.get(&subscription)?;
        Some((starter.start.clone_ref(py), Arc::clone(&starter.makers)))
    }

    fn hand_back(&self, token: ClaimToken) {
        let (verdict, effects) = (Verdict::Unseen, Vec::new());
        self.push(None, Command::Settle { token, verdict, effects });
    }

    fn work(
        &self,
        py: Python<'_>,
        mut claim: EngineClaim,
        makers: &Arc<Makers>,
    ) -> PyResult<Py<PyAny>> {
        let line = Arc::clone(&self.line);
        match std::mem::replace(&mut claim.work, Work::Job) {
            Work::Job => Claim::pushed(claim, line).into_py_any(py),
            Work::Step { run_id, step_number } => {
                let makers = Arc::clone(makers);
                Step::new(claim, run_id, step_number, line, makers).into_py_any(py)
            }
            Work::Notification(outcome) => Notification::new(claim, outcome, line).into_py_any(py),
        }
    }
}

const fn is_due(flush: Flush) -> bool {
    matches!(flush, Flush::Arrange)
}

impl Drop for Port {
    fn drop(&mut self) {
        self.end();
    }
}
