//! A store, asked directly by `taquba doctor`: converts, and decides nothing.
//!
//! # Invariants
//!
//! 1. A request goes on when the task that awaits it is cancelled, and ends within the probe's time.

use std::collections::BTreeMap;
use std::time::Duration;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use taquba_engine::log::{Access, ObjectVersion, Probe, ReadIf, Said, Shown, WriteIf};

use crate::calls::Answer;
use crate::port::Port;
use crate::runtime::enter;
use crate::{error, payload, store};

/// Requests to the objects below one prefix of a store.
///
/// Its methods take the future of their answer and the port that brings it. Each resolves to a code,
/// a text and the objects: `"ok"`, nothing and what the store shows, or why it refused and nothing.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct StoreProbe(Probe);

/// What the store said.
struct Heard(Said);

#[pymethods]
impl StoreProbe {
    #[new]
    #[pyo3(signature = (store, prefix, *, timeout))]
    fn new(
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        prefix: &str,
        timeout: Duration,
    ) -> PyResult<Self> {
        enter(py, || {
            let target = store::target(store, Access::Beside { fsync: true })?;
            let probe = Probe::new(&target, prefix, timeout);
            probe.map(Self).map_err(|refused| error::to_py(py, &refused))
        })
    }

    /// Write an object: in any case, if `version` is absent; if there is none, if `version` is two
    /// times nothing; else if the object is still that one.
    #[expect(clippy::too_many_arguments, reason = "the parts of a request")]
    fn put(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        name: String,
        body: &Bound<'_, PyBytes>,
        version: Option<(Option<String>, Option<String>)>,
        metadata: BTreeMap<String, String>,
    ) -> PyResult<bool> {
        let body = payload::to_engine(body);
        let condition = match version {
            None => WriteIf::Always,
            Some((None, None)) => WriteIf::Absent,
            Some((e_tag, version)) => WriteIf::Unchanged(ObjectVersion { e_tag, version }),
        };
        self.ask(py, future, port, async move |probe| {
            probe.put(&name, body, condition, metadata).await
        })
    }

    /// Write an object as a multipart upload, or give that up before its end.
    fn upload(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        name: String,
        body: &Bound<'_, PyBytes>,
        is_completed: bool,
    ) -> PyResult<bool> {
        let body = payload::to_engine(body);
        self.ask(py, future, port, async move |probe| probe.upload(&name, body, is_completed).await)
    }

    /// Read an object: from the first to before the second byte of `bytes_of`, if its entity tag is
    /// `matches`, if it is not `differs`.
    #[expect(clippy::too_many_arguments, reason = "the parts of a request")]
    fn get(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        name: String,
        bytes_of: Option<(u64, u64)>,
        matches: Option<String>,
        differs: Option<String>,
    ) -> PyResult<bool> {
        let condition = ReadIf { range: bytes_of, matches, differs };
        self.ask(py, future, port, async move |probe| probe.get(&name, condition).await)
    }

    /// List what is below a directory, 1,000 objects at most.
    fn list(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        directory: String,
    ) -> PyResult<bool> {
        self.ask(py, future, port, async move |probe| probe.list(&directory).await)
    }

    /// Delete an object.
    fn delete(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        name: String,
    ) -> PyResult<bool> {
        self.ask(py, future, port, async move |probe| probe.delete(&name).await)
    }
}

impl StoreProbe {
    /// `false`: nothing is left to flush.
    fn ask<W>(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        request: impl FnOnce(Probe) -> W,
    ) -> PyResult<bool>
    where
        W: Future<Output = Said> + Send + 'static,
    {
        enter(py, || {
            let said = request(self.0.clone());
            port.attend(future, async move { Ok(Heard(said.await)) });
            Ok(false)
        })
    }
}

impl Answer for Heard {
    fn into_py(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let (code, detail, shown) = match self.0 {
            Ok(shown) => ("ok", String::new(), shown),
            Err(refusal) => (refusal.code, refusal.detail, Vec::new()),
        };
        let shown = shown.into_iter().map(|each| object(py, each)).collect::<PyResult<Vec<_>>>()?;
        (code, detail, PyList::new(py, shown)?).into_bound_py_any(py)
    }
}

fn object(py: Python<'_>, shown: Shown) -> PyResult<Bound<'_, PyAny>> {
    let Shown { name, size_bytes, modified_at_ms, version, metadata, body } = shown;
    let ObjectVersion { e_tag, version } = version;
    let body = PyBytes::new(py, &body);
    (name, size_bytes, modified_at_ms, e_tag, version, metadata, body).into_bound_py_any(py)
}
