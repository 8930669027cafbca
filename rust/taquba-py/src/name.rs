//! Names of queues and runs, from Python.

use std::str::FromStr;

use pyo3::prelude::*;
use pyo3::types::PyString;
use taquba_engine::Error;
use taquba_engine::ids::{QueueName, RunId};

use crate::error;

/// An argument that names a queue.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueArgument(pub QueueName);

/// An argument that names a run.
pub struct RunArgument(pub RunId);

impl FromPyObject<'_, '_> for QueueArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        read("queue", &value).map(Self)
    }
}

impl FromPyObject<'_, '_> for RunArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        read("run_id", &value).map(Self)
    }
}

/// Refuse a queue name that the engine would refuse.
#[pyfunction]
pub fn check_queue_name(_name: QueueArgument) {}

/// Refuse a run id that the engine would refuse.
#[pyfunction]
pub fn check_run_id(_run_id: RunArgument) {}

fn read<T: FromStr<Err = Error>>(name: &str, value: &Bound<'_, PyAny>) -> PyResult<T> {
    let text = value.cast::<PyString>();
    let text = text.map_err(|_| error::wrong_type(name, value, "give `str`"))?;
    text.to_str()?.parse().map_err(|refused| error::to_py(value.py(), &refused))
}
