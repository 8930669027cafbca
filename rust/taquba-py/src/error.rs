//! Errors: the engine's enum and Python's classes.
//!
//! The classes are in `taquba/exceptions.py`, found by the error's code. The table below names
//! every variant and field, without a catch-all: a new variant breaks this build until it is here,
//! and a test of the codes until it has a class.

use std::any::Any;

use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyDict};
use taquba_engine::Error;
use taquba_engine::error::Recovery;

/// Raised by the binding alone: the engine does not know of processes.
const FORKED_CODE: &str = "forked";

/// Raised by the binding alone: the engine's arguments have types.
const TYPE_CODE: &str = "invalid-type";

/// Raised in Python alone: it checks signatures.
const WEBHOOK_CODE: &str = "webhook-verification";

macro_rules! variants {
    ($($variant:ident { $($field:ident),+ }),+ $(,)?) => {
        /// The fields of an error, as the keyword arguments of its class.
        fn fields<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyDict>> {
            let fields = PyDict::new(py);
            match error {
                $(Error::$variant { $($field),+ } => {
                    $(fields.set_item(stringify!($field), $field)?;)+
                })+
            }
            Ok(fields)
        }

        /// One error of each variant.
        fn samples() -> Vec<Error> {
            vec![$(Error::$variant { $($field: Default::default()),+ }),+]
        }
    };
}

variants! {
    InvalidQueueName { name },
    TooManyQueues { name },
    InvalidRunId { run_id },
    InvalidJobId { job_id },
    InvalidArgument { name, value, remedy },
    PayloadTooLarge { size_bytes },
    ResultTooLarge { size_bytes },
    InvalidKey { size_bytes },
    ValueTooLarge { size_bytes },
    TooManyEffects { count },
    HeadersTooLarge { count, size_bytes },
    ReservedHeader { key },
    InvalidDedupKey { size_bytes },
    BatchTooLarge { count },
    InputMismatch { run_id },
    JobNotFound { job_id },
    WrongJobState { job_id, state, remedy },
    RunNotFound { run_id },
    ClaimLost { job_id, lease },
    Fenced { path },
    StoreOwned { path, host, pid, since },
    ReadOnly { path, call },
    PermissionDenied { path, detail },
    StoreNotFound { path, detail },
    StoreUnavailable { path, detail },
    InvalidStore { location, remedy },
    Corrupted { path, detail },
    MemoCorrupted { place, detail },
    MemoTooLarge { size_bytes },
    UnsupportedFormat { path, found, supported },
    Closed { path },
    Internal { detail },
}

/// Every code with what to do about it, for the test that compares both sides.
pub fn codes(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let codes = PyDict::new(py);
    for error in samples() {
        codes.set_item(error.code(), recovery_name(error.recovery()))?;
    }
    codes.set_item(FORKED_CODE, recovery_name(Recovery::Reopen))?;
    codes.set_item(TYPE_CODE, recovery_name(Recovery::FixInput))?;
    codes.set_item(WEBHOOK_CODE, recovery_name(Recovery::FixInput))?;
    Ok(codes)
}

/// The exception for an error.
pub fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    let built =
        fields(py, error).and_then(|fields| build(py, error.code(), error.to_string(), &fields));
    built.unwrap_or_else(|failure| failure)
}

/// The exception for an argument outside its bounds.
pub fn invalid_argument(py: Python<'_>, name: &str, value: &str, remedy: &str) -> PyErr {
    refuse(py, "invalid-argument", name, value, remedy)
}

/// The exception for an argument of another type than asked for.
pub fn wrong_type(name: &str, value: &Bound<'_, PyAny>, remedy: &str) -> PyErr {
    let mut name_of_type = type_name(value);
    // A namesake of what is asked for needs its full name.
    if remedy.contains(&format!("`{name_of_type}`")) {
        let full = value.get_type().fully_qualified_name();
        name_of_type = full.map_or(name_of_type, |full| full.to_string());
    }
    let given = format!("of type `{name_of_type}`");
    refuse(value.py(), TYPE_CODE, name, &given, remedy)
}

/// The name of a value's type.
pub fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "unknown".to_owned(), |name| name.to_string())
}

/// The exception for a call in a forked child.
pub fn forked(py: Python<'_>) -> PyErr {
    let message = "taquba was in use before this process was forked, and its threads stayed in the \
                   parent: start processes with `spawn` or `forkserver`, or fork before the first \
                   queue is opened";
    let built = build(py, FORKED_CODE, message.to_owned(), &PyDict::new(py));
    built.unwrap_or_else(|failure| failure)
}

/// The exception for a panic that was caught at the door.
pub fn panicked(py: Python<'_>, panic: &(dyn Any + Send)) -> PyErr {
    to_py(py, &Error::Internal { detail: panic_text(panic) })
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned())
}

const fn recovery_name(recovery: Recovery) -> &'static str {
    match recovery {
        Recovery::Retry => "retry",
        Recovery::FixInput => "fix-input",
        Recovery::Reopen => "reopen",
        Recovery::Drop => "drop",
    }
}

fn refuse(py: Python<'_>, code: &str, name: &str, value: &str, remedy: &str) -> PyErr {
    let built = [("name", name), ("value", value), ("remedy", remedy)]
        .into_py_dict(py)
        .and_then(|fields| build(py, code, format!("`{name}` is {value}: {remedy}"), &fields));
    built.unwrap_or_else(|failure| failure)
}

fn build(
    py: Python<'_>,
    code: &str,
    message: String,
    fields: &Bound<'_, PyDict>,
) -> PyResult<PyErr> {
    let class = classes(py)?.get_item(code)?.ok_or_else(|| PyKeyError::new_err(code.to_owned()))?;
    Ok(PyErr::from_value(class.call((message,), Some(fields))?))
}

fn classes(py: Python<'_>) -> PyResult<&Bound<'_, PyDict>> {
    static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let classes = CLASSES.get_or_try_init(py, || {
        let module = py.import(intern!(py, "taquba.exceptions"))?;
        let classes = module.getattr(intern!(py, "BY_CODE"))?;
        Ok::<_, PyErr>(classes.cast_into::<PyDict>()?.unbind())
    })?;
    Ok(classes.bind(py))
}
