//! Durations: `float` seconds or `timedelta` in, `timedelta` out.

use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyInt};
use taquba_engine::limits::DURATION_MAX;

use crate::{error, text};

/// Read a duration, whichever way it was given.
///
/// Args:
///     name: The argument's public name, for the error.
///     value: `float` seconds or a `timedelta`.
#[pyfunction]
pub fn duration(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    read(value).ok_or_else(|| refuse(name, value))
}

fn read(value: &Bound<'_, PyAny>) -> Option<Duration> {
    if value.is_instance_of::<PyDelta>() {
        return value.extract().ok().filter(is_in_bounds);
    }
    Duration::try_from_secs_f64(seconds(value)?).ok().filter(is_in_bounds)
}

/// The number, unless it is a truth value: those are a slip.
fn seconds(value: &Bound<'_, PyAny>) -> Option<f64> {
    if value.is_instance_of::<PyBool>() {
        return None;
    }
    value.extract().ok()
}

fn is_in_bounds(duration: &Duration) -> bool {
    *duration <= DURATION_MAX
}

fn refuse(name: &str, value: &Bound<'_, PyAny>) -> PyErr {
    if !is_number(value) {
        return error::wrong_type(name, value, "give seconds as `float`, or a `timedelta`");
    }
    let given = given(value).unwrap_or_else(|_| text::shown(value));
    let remedy = format!("give 0 to {} seconds (100 years)", DURATION_MAX.as_secs());
    error::invalid_argument(value.py(), name, &given, &remedy)
}

/// Whether it is a duration of any size. A number may be too large for a `float`.
fn is_number(value: &Bound<'_, PyAny>) -> bool {
    let is_large = value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>();
    is_large || value.is_instance_of::<PyDelta>() || seconds(value).is_some()
}

/// What was given, in seconds.
fn given(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if value.is_instance_of::<PyDelta>() {
        let seconds = value.call_method0(intern!(value.py(), "total_seconds"))?;
        return Ok(seconds.repr()?.to_string());
    }
    Ok(text::shown(value))
}
