//! Typed values: JSON of a type, by way of `taquba._codec`.
//!
//! # Invariants
//!
//! 1. `bytes` are never changed: what a user has encoded is what is stored.
//! 2. Nothing is imported before a value that is not `bytes` is met.

use bytes::Bytes;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyModule};

use crate::payload;

/// The bytes of a payload: its own, or those of its JSON.
pub fn encode(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(payload::to_engine(bytes));
    }
    let py = value.py();
    let encoded = module(py)?.call_method1(intern!(py, "encode"), (name, value))?;
    Ok(payload::to_engine(encoded.cast::<PyBytes>()?))
}

/// The value of a type that JSON holds.
pub fn decode<'py>(
    json: &Bound<'py, PyBytes>,
    kind: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = json.py();
    module(py)?.call_method1(intern!(py, "decode"), (json, kind))
}

fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE
        .get_or_try_init(py, || py.import(intern!(py, "taquba._codec")).map(Bound::unbind))?;
    Ok(module.bind(py))
}
