//! Names of queues, runs, jobs and keys, from Python.

use std::str::FromStr;

use pyo3::prelude::*;
use taquba_engine::Error;
use taquba_engine::ids::{JobId, KvKey, QueueName, RunId};

use crate::{error, text};

/// An argument that names a queue.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueArgument(pub QueueName);

/// An argument that names a run.
pub struct RunArgument(pub RunId);

/// An argument that names a job.
pub struct JobArgument(pub JobId);

/// An argument that names a key.
pub struct KeyArgument(pub KvKey);

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

impl FromPyObject<'_, '_> for JobArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        read("job_id", &value).map(Self)
    }
}

impl FromPyObject<'_, '_> for KeyArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        read("key", &value).map(Self)
    }
}

/// Refuse a queue name that the engine would refuse.
#[pyfunction]
pub fn check_queue_name(_name: QueueArgument) {}

/// Refuse a run id that the engine would refuse.
#[pyfunction]
pub fn check_run_id(_run_id: RunArgument) {}

/// Refuse a key that the engine would refuse.
#[pyfunction]
pub fn check_key(_key: KeyArgument) {}

fn read<T: FromStr<Err = Error>>(name: &str, value: &Bound<'_, PyAny>) -> PyResult<T> {
    text::read(name, value)?.parse().map_err(|refused| error::to_py(value.py(), &refused))
}
