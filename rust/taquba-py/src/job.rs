//! New jobs and their headers, from Python.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyDict};
use taquba_engine::command::{DedupScope, NewJob, Start};
use taquba_engine::record::{Headers, Payload};

use crate::{error, payload, text};

/// A `taquba.NewJob`, read by its attributes.
#[derive(FromPyObject)]
pub struct JobArguments<'py> {
    payload: Bound<'py, PyBytes>,
    options: EnqueueArguments<'py>,
}

/// A `taquba.EnqueueOptions`, read by its attributes; it was checked when it was made.
#[derive(FromPyObject)]
pub struct EnqueueArguments<'py> {
    priority: Option<u32>,
    run_at: Option<SystemTime>,
    delay: Option<Duration>,
    dedup_key: Option<String>,
    dedup_scope: PyBackedStr,
    headers: Bound<'py, PyDict>,
    max_attempts: Option<u32>,
}

impl JobArguments<'_> {
    /// The engine's form.
    pub fn to_engine(&self, py: Python<'_>) -> PyResult<NewJob> {
        let options = &self.options;
        Ok(NewJob {
            payload: Payload::Inline(payload::to_engine(&self.payload)),
            headers: headers(py, &options.headers)?,
            priority: options.priority,
            start: start(options.run_at, options.delay),
            dedup_key: options.dedup_key.clone(),
            dedup_scope: match &*options.dedup_scope {
                "settled" => DedupScope::Settled,
                _ => DedupScope::Waiting,
            },
            max_attempts: options.max_attempts,
        })
    }
}

/// When a job may be claimed.
pub fn start(run_at: Option<SystemTime>, delay: Option<Duration>) -> Start {
    match (run_at, delay) {
        (Some(instant), _) => Start::AtMs(epoch_ms(instant)),
        (None, Some(delay)) => Start::After(delay),
        (None, None) => Start::Now,
    }
}

/// Headers, from a dictionary of text.
pub fn headers(py: Python<'_>, dict: &Bound<'_, PyDict>) -> PyResult<Headers> {
    if dict.is_empty() {
        return Ok(Headers::default());
    }
    let pairs = dict.iter().map(|(key, value)| Ok((header(&key)?, header(&value)?)));
    let pairs = pairs.collect::<PyResult<Vec<_>>>()?;
    Headers::new(pairs.iter().map(|(key, value)| (&**key, &**value)))
        .map_err(|refused| error::to_py(py, &refused))
}

/// Refuse headers that the engine would refuse.
#[pyfunction]
pub fn check_headers(py: Python<'_>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
    let dict = headers
        .cast::<PyDict>()
        .map_err(|_| error::wrong_type("headers", headers, "give a `dict` of `str` to `str`"))?;
    self::headers(py, dict).map(|_| ())
}

fn header(value: &Bound<'_, PyAny>) -> PyResult<PyBackedStr> {
    let text = value.extract();
    text.map_err(|_| text::refuse("headers", value, "give a `dict` of `str` to `str`"))
}

/// The first whole millisecond that is not before an instant: no job may come early.
fn epoch_ms(instant: SystemTime) -> u64 {
    let since = instant.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
