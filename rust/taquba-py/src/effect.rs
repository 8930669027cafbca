//! What a settlement does besides, from Python.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use taquba_engine::command::Effect;

use crate::job::JobArguments;
use crate::name::{KeyArgument, QueueArgument};
use crate::payload;

/// One entry of a `taquba.Effects`, read by its attributes; it was checked when it was added.
#[derive(FromPyObject)]
pub enum EffectArguments<'py> {
    /// Jobs to enqueue.
    NewJobs { queue: QueueArgument, jobs: Vec<JobArguments<'py>> },
    /// A key to set, or to remove if there is no value.
    KeyWrite { key: KeyArgument, value: Option<Bound<'py, PyBytes>> },
}

impl EffectArguments<'_> {
    /// The engine's form.
    pub fn to_engine(&self, py: Python<'_>) -> PyResult<Effect> {
        Ok(match self {
            Self::NewJobs { queue, jobs } => Effect::Enqueue {
                queue: queue.0.clone(),
                jobs: jobs.iter().map(|job| job.to_engine(py)).collect::<PyResult<_>>()?,
            },
            Self::KeyWrite { key, value } => {
                Effect::Kv { key: key.0.clone(), value: value.as_ref().map(payload::to_engine) }
            }
        })
    }
}

/// All of them.
pub fn all(py: Python<'_>, effects: &[EffectArguments<'_>]) -> PyResult<Vec<Effect>> {
    effects.iter().map(|effect| effect.to_engine(py)).collect()
}
