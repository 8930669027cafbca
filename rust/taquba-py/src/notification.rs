//! The end of a run, on its way to the hook.

use std::sync::Arc;

use pyo3::prelude::*;
use taquba_engine::command::{Claim, RunOutcome as EngineOutcome};

use crate::delivered::{Delivered, OnDrop};
use crate::line::Line;
use crate::run::RunOutcome;

/// A job whose work is to tell the hook that a run has ended.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct Notification {
    delivered: Delivered,
    outcome: Arc<EngineOutcome>,
}

impl Notification {
    /// Takes a notification that came over a line.
    pub fn new(claim: Claim, outcome: Arc<EngineOutcome>, line: Arc<Line>) -> Self {
        Self { delivered: Delivered::new(claim, line, OnDrop::Release), outcome }
    }

    /// What settles it.
    pub fn delivered(&self) -> &Delivered {
        &self.delivered
    }
}

#[pymethods]
impl Notification {
    /// How the run ended.
    #[getter]
    fn outcome(&self) -> RunOutcome {
        RunOutcome::from(Arc::clone(&self.outcome))
    }
}
