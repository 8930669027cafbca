//! Text from Python: `str` may hold what UTF-8 cannot, and the engine's text is UTF-8.
//!
//! # Invariants
//!
//! 1. What names something is refused if it is not UTF-8, with the argument's name.
//! 2. What only says why is escaped instead: a settlement must not fail over its reason.
//! 3. What an error shows of an argument is short, whatever was given.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

use crate::error;

/// How much of an argument an error shows, in characters; as the engine's errors do.
const SHOWN_MAX: usize = 80;

/// An argument that says why something failed.
pub struct Reason(pub String);

impl FromPyObject<'_, '_> for Reason {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let text = value.cast::<PyString>();
        let text = text.map_err(|_| error::wrong_type("error", &value, "give `str`"))?;
        escape(&text).map(Self)
    }
}

/// Refuse an argument that is not text, or is none that UTF-8 can encode.
///
/// Args:
///     name: The argument's public name, for the error.
///     value: What was given for it.
#[pyfunction]
pub fn check_text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    read(name, value).map(|_| ())
}

/// What an error shows of a value: its `repr`, shortened.
///
/// Args:
///     value: Anything.
#[pyfunction]
pub fn shown(value: &Bound<'_, PyAny>) -> String {
    match value.repr() {
        Ok(repr) => clip(&repr.to_string_lossy()),
        Err(_) => unprintable(value),
    }
}

/// Reads the text of an argument.
pub fn read<'a>(name: &str, value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    let text = value.cast::<PyString>().map_err(|_| refuse(name, value, "give `str`"))?;
    text.to_str().map_err(|_| refuse(name, value, "give `str`"))
}

/// The exception for an argument that could not be read as text.
///
/// `remedy` is for what is no text at all.
pub fn refuse(name: &str, value: &Bound<'_, PyAny>, remedy: &str) -> PyErr {
    if !value.is_instance_of::<PyString>() {
        return error::wrong_type(name, value, remedy);
    }
    let remedy = "it contains a lone surrogate, which UTF-8 cannot encode; remove it, or replace \
                  it with `.encode(errors=\"backslashreplace\").decode()`";
    error::invalid_argument(value.py(), name, &shown(value), remedy)
}

/// The text, with what UTF-8 cannot encode as `\udXXX`.
pub fn escape(text: &Bound<'_, PyString>) -> PyResult<String> {
    if let Ok(text) = text.to_str() {
        return Ok(text.to_owned());
    }
    let py = text.py();
    let arguments = (intern!(py, "utf-8"), intern!(py, "backslashreplace"));
    let escaped = text.call_method1(intern!(py, "encode"), arguments)?;
    escaped.call_method0(intern!(py, "decode"))?.extract()
}

/// Python refuses to write out a number of more than 4,300 digits.
fn unprintable(value: &Bound<'_, PyAny>) -> String {
    let bits = value.cast::<PyInt>().ok().and_then(|number| {
        number.call_method0(intern!(value.py(), "bit_length")).ok()?.extract::<u64>().ok()
    });
    bits.map_or_else(|| "unprintable".to_owned(), |bits| format!("a number of {bits} bits"))
}

fn clip(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}
