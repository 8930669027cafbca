//! A step, as its runner sees it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use taquba_engine::command::Claim;
use taquba_engine::ids::RunId;

use crate::delivered::{Delivered, OnDrop, headers_dict};
use crate::line::Line;

/// One step of a run, delivered to a runner.
///
/// Delivered at least once: a runner must be idempotent for one `(run_id, step_number)`. Text,
/// bytes and headers are built when first read.
#[pyclass(frozen, module = "taquba.workflow")]
pub struct Step {
    delivered: Delivered,
    run_id: RunId,
    number: u32,
}

impl Step {
    /// Takes a step that came over a line.
    pub fn new(claim: Claim, run_id: RunId, number: u32, line: Arc<Line>) -> Self {
        Self { delivered: Delivered::new(claim, line, OnDrop::Release), run_id, number }
    }

    /// What settles it.
    pub fn delivered(&self) -> &Delivered {
        &self.delivered
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
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.delivered.payload(py).clone()
    }

    /// The run's headers, without reserved keys.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let headers = &self.delivered.claim().headers;
        self.delivered.headers(py, || headers_dict(py, headers)).cloned()
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
