//! A step, as its runner sees it.
//!
//! # Invariants
//!
//! 1. What a step offers is made when first read; a step that reads none of it pays for none of it.
//! 2. Nothing of that holds the step: a step that is dropped goes back at once.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};
use taquba_engine::command::Claim;
use taquba_engine::ids::RunId;

use crate::calls::Makers;
use crate::codec;
use crate::delivered::{Delivered, OnDrop, headers_dict};
use crate::line::Line;
use crate::memo::MemoScope;
use crate::text;

/// One step of a run, delivered to a runner.
///
/// Delivered at least once: a runner must be idempotent for one `(run_id, step_number)`. Text,
/// bytes and headers are built when first read.
#[pyclass(frozen, module = "taquba.workflow")]
pub struct Step {
    delivered: Delivered,
    run_id: RunId,
    number: u32,
    makers: Arc<Makers>,
    cancel_token: PyOnceLock<Py<PyAny>>,
    memo: PyOnceLock<Py<PyAny>>,
    lease: PyOnceLock<Py<PyAny>>,
}

impl Step {
    /// Takes a step that came over a line.
    pub fn new(
        claim: Claim,
        run_id: RunId,
        number: u32,
        line: Arc<Line>,
        makers: Arc<Makers>,
    ) -> Self {
        Self {
            delivered: Delivered::new(claim, line, OnDrop::Release),
            run_id,
            number,
            makers,
            cancel_token: PyOnceLock::new(),
            memo: PyOnceLock::new(),
            lease: PyOnceLock::new(),
        }
    }

    /// What settles it.
    pub fn delivered(&self) -> &Delivered {
        &self.delivered
    }

    /// Makes a part of it from what names this delivery.
    fn make(&self, py: Python<'_>, maker: Option<&Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let maker = maker.ok_or_else(|| {
            PyRuntimeError::new_err("only a step of a `WorkflowRuntime` has a memo and a lease")
        })?;
        let claim = self.delivered.claim();
        let line = Arc::clone(self.delivered.line());
        let run_id = self.run_id.clone();
        let scope = MemoScope::new(line, claim.token, run_id, self.number, claim.job_id);
        maker.call1(py, (scope,))
    }
}

#[pymethods]
impl Step {
    /// The run this step belongs to.
    #[getter]
    fn run_id(&self) -> &str {
        self.run_id.as_str()
    }

    /// Steps of this run before this one: 0 for the first.
    #[getter]
    fn step_number(&self) -> u32 {
        self.number
    }

    /// What the step works on: the run's input for step 0, else what the step before continued
    /// with.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.delivered.payload(py).cloned()
    }

    /// The run's headers, without reserved keys.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let headers = &self.delivered.claim().headers;
        self.delivered.headers(py, || headers_dict(py, headers)).cloned()
    }

    /// One of the headers, without building all of them.
    fn header(&self, name: &Bound<'_, PyAny>) -> PyResult<Option<&str>> {
        Ok(self.delivered.header(text::read("name", name)?))
    }

    /// The queue of the run's steps.
    #[getter]
    fn queue(&self) -> &str {
        self.delivered.claim().queue.as_str()
    }

    /// The job that carries this step.
    #[getter]
    fn job_id(&self) -> String {
        self.delivered.claim().job_id.to_string()
    }

    /// Deliveries of this step so far: 1 on the first.
    #[getter]
    fn attempts(&self) -> u32 {
        self.delivered.claim().attempts
    }

    /// Deliveries before the step is dead-lettered and its run fails.
    #[getter]
    fn max_attempts(&self) -> u32 {
        self.delivered.claim().max_attempts
    }

    /// Fires when the run is cancelled. Made when first read.
    #[getter]
    fn cancel_token(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (cancels, claim) = (self.delivered.line().cancels(), self.delivered.claim());
        let token = self.cancel_token.get_or_try_init(py, || cancels.read(py, claim.token));
        token.map(|token| token.clone_ref(py))
    }

    /// What this step remembers over its deliveries. Made when first read.
    #[getter]
    fn memo(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let memo = self.memo.get_or_try_init(py, || self.make(py, self.makers.memos.as_ref()));
        memo.map(|memo| memo.clone_ref(py))
    }

    /// How long this delivery may take. Made when first read.
    #[getter]
    fn lease(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let lease = self.lease.get_or_try_init(py, || self.make(py, self.makers.leases.as_ref()));
        lease.map(|lease| lease.clone_ref(py))
    }

    /// The payload, read as JSON of a type.
    #[pyo3(signature = (kind, /))]
    fn load<'py>(&self, py: Python<'py>, kind: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        codec::decode(self.delivered.payload(py)?, kind)
    }

    fn __repr__(&self) -> String {
        let claim = self.delivered.claim();
        format!(
            "Step(run_id='{}', step_number={}, attempts={}, payload=<{} bytes>)",
            self.run_id,
            self.number,
            claim.attempts,
            claim.payload.len()
        )
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.delivered.line().cancels().forget(self.delivered.claim().token);
    }
}
