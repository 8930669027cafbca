//! Who waits for which answer: tickets and the futures behind them.
//!
//! # Invariants
//!
//! 1. A future is resolved at most once, and never after it was cancelled: the answer is dropped.
//! 2. Everything here runs on the loop's thread, attached to Python.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use taquba_engine::command::Ticket;

/// One call under way.
pub struct Call {
    /// The `asyncio.Future` that the caller awaits.
    pub future: Py<PyAny>,
    /// What the deliveries of the subscription that the call asks for need.
    pub start: Option<Starter>,
}

/// What the deliveries of a subscription need in Python.
pub struct Starter {
    /// Starts one of them.
    pub start: Py<PyAny>,
    /// Makes what its steps offer.
    pub makers: Arc<Makers>,
}

/// What makes the parts of a step that are made when first read, each from a `MemoScope`.
#[derive(Default)]
pub struct Makers {
    /// Makes `Step.memo`.
    pub memos: Option<Py<PyAny>>,
    /// Makes `Step.lease`.
    pub leases: Option<Py<PyAny>>,
}

impl Call {
    /// Whether the caller has given up.
    pub fn is_done(&self, py: Python<'_>) -> PyResult<bool> {
        self.future.bind(py).call_method0(intern!(py, "done"))?.is_truthy()
    }

    /// Hands the answer to the caller, unless it has given up.
    pub fn resolve(&self, py: Python<'_>, answer: PyResult<Bound<'_, PyAny>>) -> PyResult<()> {
        if self.is_done(py)? {
            return Ok(());
        }
        self.hand_over(py, answer)
    }

    /// Hands the answer to the caller, who has not given up.
    pub fn hand_over(&self, py: Python<'_>, answer: PyResult<Bound<'_, PyAny>>) -> PyResult<()> {
        let future = self.future.bind(py);
        match answer {
            Ok(value) => future.call_method1(intern!(py, "set_result"), (value,))?,
            Err(error) => future.call_method1(intern!(py, "set_exception"), (error,))?,
        };
        Ok(())
    }
}

/// What work beside the engine answers.
pub trait Answer: Send {
    /// The value that the call's future resolves to.
    fn into_py(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>>;
}

/// The calls under way, by ticket.
#[derive(Default)]
pub struct Calls(Mutex<Table>);

#[derive(Default)]
struct Table {
    next: Ticket,
    waiting: HashMap<Ticket, Call>,
}

impl Calls {
    /// Notes a call and gives it a ticket.
    pub fn add(&self, call: Call) -> Ticket {
        let mut table = self.0.lock();
        let ticket = table.next;
        table.next += 1;
        table.waiting.insert(ticket, call);
        ticket
    }

    /// Takes the call with a ticket.
    pub fn remove(&self, ticket: Ticket) -> Option<Call> {
        self.0.lock().waiting.remove(&ticket)
    }

    /// Takes all calls, oldest first.
    pub fn remove_all(&self) -> Vec<Call> {
        let mut calls: Vec<_> = std::mem::take(&mut self.0.lock().waiting).into_iter().collect();
        calls.sort_unstable_by_key(|(ticket, _)| *ticket);
        calls.into_iter().map(|(_, call)| call).collect()
    }
}
