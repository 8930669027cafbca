//! A claimed job, as its claimer sees it.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};
use taquba_engine::command::{Claim as EngineClaim, Work};

use crate::delivered::{Delivered, OnDrop, headers_dict};
use crate::line::Line;
use crate::text;

// What the engine keeps as fields of a step, a claim shows as headers.
/// Names a step's run.
pub const HEADER_RUN_ID: &str = "workflow.run_id";
/// Numbers a step.
pub const HEADER_STEP: &str = "workflow.step";

/// One delivery of a job: ours until it is settled or its lease runs out.
///
/// Settle it with `Queue.ack`, `Queue.nack` or `Queue.dead_letter`; a worker's is settled for it.
#[pyclass(frozen, module = "taquba.queue")]
pub struct Claim {
    delivered: Delivered,
    cancel_token: PyOnceLock<Py<PyAny>>,
}

impl Claim {
    /// Takes a job that a call asked for.
    pub fn pulled(claim: EngineClaim, line: Arc<Line>) -> Self {
        Self::new(Delivered::new(claim, line, OnDrop::Keep))
    }

    /// Takes a job that came over a subscription.
    pub fn pushed(claim: EngineClaim, line: Arc<Line>) -> Self {
        Self::new(Delivered::new(claim, line, OnDrop::Release))
    }

    const fn new(delivered: Delivered) -> Self {
        Self { delivered, cancel_token: PyOnceLock::new() }
    }

    /// What settles it.
    pub fn delivered(&self) -> &Delivered {
        &self.delivered
    }

    fn data(&self) -> &EngineClaim {
        self.delivered.claim()
    }

    fn build_headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let headers = headers_dict(py, &self.data().headers)?;
        if let Work::Step { run_id, step_number } = &self.data().work {
            headers.set_item(HEADER_RUN_ID, run_id.as_str())?;
            headers.set_item(HEADER_STEP, step_number.to_string())?;
        }
        Ok(headers)
    }
}

#[pymethods]
impl Claim {
    /// The job.
    #[getter]
    fn job_id(&self) -> String {
        self.data().job_id.to_string()
    }

    /// The job's queue.
    #[getter]
    fn queue(&self) -> &str {
        self.data().queue.as_str()
    }

    /// What was enqueued, byte for byte.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.delivered.payload(py).cloned()
    }

    /// The job's headers; a step's also name its run (`workflow.run_id`) and number
    /// (`workflow.step`).
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.delivered.headers(py, || self.build_headers(py)).cloned()
    }

    /// One of the headers that the job was given, without building all of them.
    fn header(&self, name: &Bound<'_, PyAny>) -> PyResult<Option<&str>> {
        Ok(self.delivered.header(text::read("name", name)?))
    }

    /// Deliveries of this job so far: 1 on the first.
    #[getter]
    fn attempts(&self) -> u32 {
        self.data().attempts
    }

    /// Deliveries before the job is dead-lettered.
    #[getter]
    fn max_attempts(&self) -> u32 {
        self.data().max_attempts
    }

    /// Lower is claimed first.
    #[getter]
    fn priority(&self) -> u32 {
        self.data().priority
    }

    /// For how long the claim lasts; `None` if the engine keeps it.
    #[getter]
    fn lease(&self) -> Option<Duration> {
        self.data().lease
    }

    /// Fires when the job is cancelled while it is claimed. Made when first read.
    #[getter]
    fn cancel_token(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let cancels = self.delivered.line().cancels();
        let token = self.cancel_token.get_or_try_init(py, || cancels.read(py, self.data().token));
        token.map(|token| token.clone_ref(py))
    }

    fn __repr__(&self) -> String {
        let claim = self.data();
        format!(
            "Claim(job_id='{}', queue='{}', attempts={}, payload=<{} bytes>)",
            claim.job_id,
            claim.queue,
            claim.attempts,
            claim.payload.len()
        )
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.delivered.line().cancels().forget(self.data().token);
    }
}
