//! Scrubbing a store: asked by Python, told as the fields of its dataclass.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use taquba_engine::log::Access;
use taquba_engine::verify::{self, Problem, Report};

use crate::calls::Answer;
use crate::port::Port;
use crate::runtime::enter;
use crate::{inspect, store};

/// What a scrub has found.
struct Verified(Report);

/// Read all of a store, whoever owns it. Resolves to the fields of `VerifyReport`.
#[pyfunction]
pub fn verify_store(
    py: Python<'_>,
    future: Py<PyAny>,
    port: &Port,
    store: &Bound<'_, PyAny>,
    path: String,
    store_timeout: Duration,
) -> PyResult<bool> {
    enter(py, || {
        let target = store::target(store, Access::Read)?;
        port.attend(future, async move {
            verify::store(&target, &path, store_timeout).await.map(Verified)
        });
        Ok(false)
    })
}

impl Answer for Verified {
    fn into_py(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let report = &self.0;
        let problems = report.problems.iter().map(|problem| self::problem(py, problem));
        let dict = PyDict::new(py);
        dict.set_item("path", &report.path)?;
        dict.set_item("row_count", report.row_count)?;
        dict.set_item("row_bytes", report.row_bytes)?;
        dict.set_item("job_count", report.job_count)?;
        dict.set_item("run_count", report.run_count)?;
        dict.set_item("memo_count", report.memo_count)?;
        dict.set_item("key_count", report.key_count)?;
        dict.set_item("queue_count", report.queue_count)?;
        dict.set_item("quarantined_count", report.quarantined_count)?;
        dict.set_item("payload_object_count", report.payload_object_count)?;
        dict.set_item("payload_bytes", report.payload_bytes)?;
        dict.set_item("orphan_count", report.orphan_count)?;
        dict.set_item("object_count", report.object_count)?;
        dict.set_item("object_bytes", report.object_bytes)?;
        let owner = report.owner.as_ref().map(|owner| inspect::owner(py, owner));
        dict.set_item("owner", owner.transpose()?)?;
        dict.set_item("problems", PyList::new(py, problems.collect::<PyResult<Vec<_>>>()?)?)?;
        dict.set_item("problem_count", report.problem_count)?;
        dict.set_item("is_complete", report.is_complete)?;
        Ok(dict.into_any())
    }
}

fn problem<'py>(py: Python<'py>, problem: &Problem) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("kind", problem.kind.code())?;
    dict.set_item("object", &problem.object)?;
    dict.set_item("detail", &problem.detail)?;
    dict.set_item("remedy", problem.kind.remedy())?;
    Ok(dict)
}
