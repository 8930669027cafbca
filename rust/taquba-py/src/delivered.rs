//! A delivery in Python's hands: its data, built for Python when first read, and its settlement.
//!
//! # Invariants
//!
//! 1. A delivery is settled as often as asked: which settlement counts is the engine's decision.
//! 2. A delivery of a subscription that is dropped unsettled (its loop is closed, its task was
//!    collected) is released, so that someone else gets it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};
use taquba_engine::Error;
use taquba_engine::command::{Claim, Command, Effect, Verdict};
use taquba_engine::engine::Request;
use taquba_engine::record::Headers;

use crate::line::{Flush, Line};

/// Whether a drop gives the job back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDrop {
    /// At once: nobody else will settle it.
    Release,
    /// Never: its lease runs out.
    Keep,
}

/// One delivery.
pub struct Delivered {
    claim: Claim,
    line: Arc<Line>,
    on_drop: OnDrop,
    is_settled: AtomicBool,
    payload: PyOnceLock<Py<PyBytes>>,
    headers: PyOnceLock<Py<PyDict>>,
}

impl Delivered {
    /// Takes a claim that came over a line.
    pub fn new(claim: Claim, line: Arc<Line>, on_drop: OnDrop) -> Self {
        Self {
            claim,
            line,
            on_drop,
            is_settled: AtomicBool::new(false),
            payload: PyOnceLock::new(),
            headers: PyOnceLock::new(),
        }
    }

    /// The data.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The payload, copied on the first call, for which there has to be memory.
    pub fn payload<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyBytes>> {
        let data = &self.claim.payload;
        let fill = |room: &mut [u8]| {
            room.copy_from_slice(data);
            Ok(())
        };
        let copied = || PyBytes::new_with(py, data.len(), fill).map(Bound::unbind);
        self.payload.get_or_try_init(py, copied).map(|payload| payload.bind(py))
    }

    /// One of the headers.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.claim.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The headers, built on the first call.
    pub fn headers<'py>(
        &self,
        py: Python<'py>,
        build: impl FnOnce() -> PyResult<Bound<'py, PyDict>>,
    ) -> PyResult<&Bound<'py, PyDict>> {
        Ok(self.headers.get_or_try_init(py, || build().map(Bound::unbind))?.bind(py))
    }

    /// The command that settles it; from now on a drop leaves it alone.
    pub fn settle(&self, verdict: Verdict, effects: Vec<Effect>) -> Command {
        self.is_settled.store(true, Ordering::Release);
        Command::Settle { token: self.claim.token, verdict, effects }
    }

    /// The error for settling it when that is over.
    pub fn claim_lost(&self) -> Error {
        let lease = self.claim.lease.unwrap_or_default();
        Error::ClaimLost { job_id: self.claim.job_id.to_string(), lease }
    }

    /// What it came over.
    pub const fn line(&self) -> &Arc<Line> {
        &self.line
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Keep || self.is_settled.load(Ordering::Acquire) {
            return;
        }
        let command = self.settle(Verdict::Release, Vec::new());
        if self.line.push(Request { ticket: None, command }) == Flush::Arrange {
            self.line.flush();
        }
    }
}

/// A dictionary of headers.
pub fn headers_dict<'py>(py: Python<'py>, headers: &Headers) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in headers.iter() {
        dict.set_item(key, value)?;
    }
    Ok(dict)
}
