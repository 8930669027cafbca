//! Runs: what is submitted, and how it ended.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict};
use taquba_engine::command::{
    NewRun, RunOutcome as EngineOutcome, RunState, TerminalStatus, TerminalStatuses,
};
use taquba_engine::ids::RunId;
use taquba_engine::record::{Headers, Payload};

use crate::delivered::headers_dict;
use crate::name::RunArgument;
use crate::text::Reason;
use crate::{codec, error, job, payload};

/// Every way in which a run may end.
const STATUSES: [TerminalStatus; 3] =
    [TerminalStatus::Succeeded, TerminalStatus::Failed, TerminalStatus::Cancelled];

/// A `taquba.workflow.RunSpec`, read by its attributes; it was checked when it was made.
#[derive(FromPyObject)]
pub struct RunArguments<'py> {
    input: Bound<'py, PyBytes>,
    headers: Bound<'py, PyDict>,
    priority: Option<u32>,
    max_attempts: Option<u32>,
    run_at: Option<SystemTime>,
}

/// What a runtime adds to each of its runs.
#[derive(Clone, Copy)]
pub struct RunTerms {
    /// Of which ends a hook is to be told.
    pub observed: TerminalStatuses,
    /// How long the end stays known.
    pub retention: Option<Duration>,
    /// How long its memos are kept after its end.
    pub memo_retention: Option<Duration>,
}

/// An argument that is wire names of ends; Python's enum has checked them.
pub struct StatusesArgument(pub TerminalStatuses);

impl FromPyObject<'_, '_> for StatusesArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let names: Vec<PyBackedStr> = value.extract()?;
        let statuses = names.iter().map(|name| {
            let status =
                STATUSES.into_iter().find(|status| *RunState::from(*status).name() == **name);
            status.ok_or_else(|| PyValueError::new_err(name.to_string()))
        });
        Ok(Self(statuses.collect::<PyResult<_>>()?))
    }
}

impl RunArguments<'_> {
    /// The engine's form.
    pub fn to_engine(&self, py: Python<'_>, run_id: RunId, terms: RunTerms) -> PyResult<NewRun> {
        Ok(NewRun {
            run_id,
            input: Payload::Inline(payload::to_engine(&self.input)),
            headers: job::headers(py, &self.headers)?,
            priority: self.priority,
            start: job::start(self.run_at, None),
            max_attempts: self.max_attempts,
            observed: terms.observed,
            retention: terms.retention,
            memo_retention: terms.memo_retention,
        })
    }
}

/// How a run ended.
#[pyclass(frozen, eq, module = "taquba.workflow")]
#[derive(PartialEq)]
pub struct RunOutcome(Arc<EngineOutcome>);

impl From<Arc<EngineOutcome>> for RunOutcome {
    fn from(outcome: Arc<EngineOutcome>) -> Self {
        Self(outcome)
    }
}

#[pymethods]
impl RunOutcome {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str, &'static str, &'static str) =
        ("run_id", "status", "result", "error");

    #[new]
    #[pyo3(signature = (run_id, status, *, result=None, error=None, headers=None, final_step=0))]
    fn new(
        py: Python<'_>,
        run_id: RunArgument,
        status: &Bound<'_, PyAny>,
        result: Option<&Bound<'_, PyAny>>,
        error: Option<Reason>,
        headers: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = step_number)] final_step: u32,
    ) -> PyResult<Self> {
        Ok(Self(Arc::new(EngineOutcome {
            run_id: run_id.0,
            status: status_from_py(status)?,
            result: result.map(result_from_py).transpose()?,
            error: error.map(|error| error.0),
            headers: headers.map(|dict| headers_from_py(py, dict)).transpose()?.unwrap_or_default(),
            final_step,
        })))
    }

    /// The run.
    #[getter]
    fn run_id(&self) -> &str {
        self.0.run_id.as_str()
    }

    /// `Succeeded`, `Failed` or `Cancelled`.
    #[getter]
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        statuses(py)?.getattr(py, status_name(self.0.status)).map(|status| status.into_bound(py))
    }

    /// What the run produced, if it succeeded.
    #[getter]
    fn result<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.result.as_ref().map(|result: &Bytes| PyBytes::new(py, result))
    }

    /// The reason or the last error, if it did not.
    #[getter]
    fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }

    /// The submission's headers.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        headers_dict(py, &self.0.headers)
    }

    /// The number of the step that ended the run.
    #[getter]
    fn final_step(&self) -> u32 {
        self.0.final_step
    }

    /// The result of a run that succeeded, read as JSON of a type.
    #[pyo3(signature = (kind, /))]
    fn load<'py>(&self, py: Python<'py>, kind: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Some(result) = self.result(py) else {
            let remedy = "only a run that succeeded has a result; look at `status` and `error`";
            return Err(error::invalid_argument(py, "result", "`None`", remedy));
        };
        codec::decode(&result, kind)
    }

    fn __repr__(&self) -> String {
        let result = self
            .0
            .result
            .as_ref()
            .map_or_else(|| "None".to_owned(), |result| format!("<{} bytes>", result.len()));
        let error = self.0.error.as_ref().map_or_else(
            || "None".to_owned(),
            |error| format!("<{} characters>", error.chars().count()),
        );
        format!(
            "RunOutcome(run_id='{}', status={}, result={result}, error={error}, final_step={})",
            self.0.run_id,
            status_name(self.0.status),
            self.0.final_step
        )
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.0.run_id.as_str().into_pyobject(py)?.hash()
    }
}

/// The Python enum `TerminalStatus`.
fn statuses(py: Python<'_>) -> PyResult<&'static Py<PyAny>> {
    static STATUSES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    STATUSES.get_or_try_init(py, || {
        let module = py.import(intern!(py, "taquba.workflow._status"))?;
        module.getattr(intern!(py, "TerminalStatus")).map(Bound::unbind)
    })
}

const fn status_name(status: TerminalStatus) -> &'static str {
    match status {
        TerminalStatus::Succeeded => "Succeeded",
        TerminalStatus::Failed => "Failed",
        TerminalStatus::Cancelled => "Cancelled",
    }
}

/// Reads an argument that numbers a step.
fn step_number(value: &Bound<'_, PyAny>) -> PyResult<u32> {
    let number = if value.is_instance_of::<PyBool>() { None } else { value.extract().ok() };
    number.ok_or_else(|| error::wrong_type("final_step", value, "give `int`, 0 to 4,294,967,295"))
}

fn result_from_py(result: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let bytes = result.cast::<PyBytes>();
    let bytes = bytes.map_err(|_| error::wrong_type("result", result, "give `bytes`"))?;
    Ok(payload::to_engine(bytes))
}

fn headers_from_py(py: Python<'_>, headers: &Bound<'_, PyAny>) -> PyResult<Headers> {
    let remedy = "give a `dict` of `str` to `str`";
    let dict = headers.cast::<PyDict>();
    job::headers(py, dict.map_err(|_| error::wrong_type("headers", headers, remedy))?)
}

fn status_from_py(status: &Bound<'_, PyAny>) -> PyResult<TerminalStatus> {
    let statuses = statuses(status.py())?.bind(status.py());
    for candidate in STATUSES {
        if statuses.getattr(status_name(candidate))?.is(status) {
            return Ok(candidate);
        }
    }
    Err(error::wrong_type("status", status, "give a `TerminalStatus`"))
}
