//! Payloads: `bytes` on the way in and out.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// From here on sharing Python's memory is cheaper than copying it; below, the shared handle costs
/// more than the copy, and its release waits for the interpreter.
const SHARED_BYTES_MIN: usize = 4 * 1024;

/// The engine's bytes for Python's: shared if large, copied if small.
pub fn to_engine(payload: &Bound<'_, PyBytes>) -> Bytes {
    let bytes = payload.as_bytes();
    if bytes.len() < SHARED_BYTES_MIN {
        return Bytes::copy_from_slice(bytes);
    }
    Bytes::from_owner(PyBackedBytes::from(payload.clone()))
}
