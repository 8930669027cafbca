//! Memos, as Python asks for them: of a step that is being delivered, or objects of a store.
//!
//! # Invariants
//!
//! 1. A scope does not keep its step: a step that is dropped is handed back, whoever holds its memo.
//! 2. What a store of memos is asked is done in full, on the threads of the runtime: cancelling the
//!    task that awaits it changes nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use taquba_engine::command::Command;
use taquba_engine::ids::{ClaimToken, JobId, MemoKey, RunId};
use taquba_engine::log::Access;
use taquba_engine::memo::{
    Cleared, Markers, MemoObjects, Reader, Sweep, TerminalMarker, check_size,
};
use taquba_engine::record::Payload;
use taquba_engine::{Error, Result};

use crate::calls::Answer;
use crate::line::Line;
use crate::name::RunArgument;
use crate::port::Port;
use crate::runtime::enter;
use crate::{error, payload, store};

/// What names one delivery of a step, without keeping that.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct MemoScope {
    line: Arc<Line>,
    token: ClaimToken,
    run_id: RunId,
    step_number: u32,
    job_id: JobId,
}

impl MemoScope {
    /// Of a delivery that came over a line.
    pub const fn new(
        line: Arc<Line>,
        token: ClaimToken,
        run_id: RunId,
        step_number: u32,
        job_id: JobId,
    ) -> Self {
        Self { line, token, run_id, step_number, job_id }
    }

    /// The delivery's number.
    pub const fn token(&self) -> ClaimToken {
        self.token
    }

    /// What it came over.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The error for using it when the delivery is over.
    pub fn claim_lost(&self) -> Error {
        Error::ClaimLost { job_id: self.job_id.to_string(), lease: Duration::ZERO }
    }
}

/// Read a memo of a run, live or ended, that is kept with it. Resolves to its bytes, or `None`.
#[pyfunction]
pub fn read_memo(
    py: Python<'_>,
    future: Py<PyAny>,
    port: &Port,
    run_id: RunArgument,
    step_number: u32,
    key: &[u8],
) -> PyResult<bool> {
    let (run_id, mark) = (run_id.0, (step_number, MemoKey::of(key)));
    enter(py, || Ok(port.ask(future, Command::ReadMemo { run_id, mark })))
}

#[pymethods]
impl MemoScope {
    /// The step's run.
    #[getter]
    fn run_id(&self) -> &str {
        self.run_id.as_str()
    }

    /// The step's number in its run.
    #[getter]
    const fn step_number(&self) -> u32 {
        self.step_number
    }

    /// Read a memo in the queue's log. Resolves to its bytes, or `None`.
    fn get(&self, py: Python<'_>, future: Py<PyAny>, port: &Port, key: &[u8]) -> PyResult<bool> {
        let (token, key) = (self.token, MemoKey::of(key));
        enter(py, || port.ask_for(py, self, future, Command::MemoGet { token, key }))
    }

    /// Write a memo to the queue's log. Resolves to `None` when it is durable.
    fn put(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        key: &[u8],
        value: &Bound<'_, PyBytes>,
    ) -> PyResult<bool> {
        enter(py, || {
            let size_bytes = value.as_bytes().len();
            check_size(size_bytes).map_err(|refused| error::to_py(py, &refused))?;
            let (token, key) = (self.token, MemoKey::of(key));
            let value = Payload::Inline(payload::to_engine(value));
            port.ask_for(py, self, future, Command::MemoPut { token, key, value })
        })
    }

    fn __repr__(&self) -> String {
        format!("MemoScope(run_id='{}', step_number={})", self.run_id, self.step_number)
    }
}

/// Memos and marks of ended runs, below one prefix of a store.
///
/// Its methods take the future of their answer and the port that brings it.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct MemoStore(Arc<MemoObjects>);

#[pymethods]
impl MemoStore {
    #[new]
    #[pyo3(signature = (store, prefix, *, fsync))]
    fn new(py: Python<'_>, store: &Bound<'_, PyAny>, prefix: &str, fsync: bool) -> PyResult<Self> {
        enter(py, || {
            let target = store::target(store, Access::Beside { fsync })?;
            let objects = MemoObjects::new(&target, prefix);
            let objects = objects.map_err(|refused| error::to_py(py, &refused))?;
            Ok(Self(Arc::new(objects)))
        })
    }

    /// What errors call it.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// Read a memo. Resolves to its bytes, or `None`.
    #[pyo3(signature = (future, port, run_id, step_number, key, *, by_step))]
    #[expect(clippy::too_many_arguments, reason = "what names a memo, and who reads it")]
    fn get(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        run_id: RunArgument,
        step_number: u32,
        key: &[u8],
        by_step: bool,
    ) -> PyResult<bool> {
        let key = MemoKey::of(key);
        let reader = if by_step { Reader::Step } else { Reader::Other };
        self.ask(py, future, port, async move |objects| {
            objects.get(&run_id.0, step_number, &key, reader).await.map(Found::Value)
        })
    }

    /// Write a memo. Resolves to `None` when it is durable.
    #[expect(clippy::too_many_arguments, reason = "what names a memo, and what it holds")]
    fn put(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        run_id: RunArgument,
        step_number: u32,
        key: &[u8],
        value: &Bound<'_, PyBytes>,
    ) -> PyResult<bool> {
        let (key, value) = (MemoKey::of(key), payload::to_engine(value));
        self.ask(py, future, port, async move |objects| {
            objects.put(&run_id.0, step_number, &key, value).await.map(|()| Found::Done)
        })
    }

    /// Delete the memos of a run. Resolves to how many were, and to the place and the error of each
    /// that was not.
    fn clear(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        run_id: RunArgument,
    ) -> PyResult<bool> {
        self.ask(py, future, port, async move |objects| {
            objects.clear_run(&run_id.0).await.map(Found::Cleared)
        })
    }

    /// Look for what may go of an ended run, by the last mark of its end. Resolves to a sweep, or to
    /// `None` if there is nothing to do here.
    fn begin_sweep(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        run_id: RunArgument,
        terminal_at_ms: u64,
        due_ms: u64,
    ) -> PyResult<bool> {
        let marker = TerminalMarker { terminal_at_ms, run_id: run_id.0 };
        self.ask(py, future, port, async move |objects| {
            objects.begin_sweep(&marker, due_ms).await.map(Found::Sweep)
        })
    }

    /// Delete what a sweep has found. Resolves as `clear`, with how many were left alone behind.
    fn finish_sweep(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        sweep: &MemoSweep,
    ) -> PyResult<bool> {
        let sweep = sweep.take();
        self.ask(py, future, port, async move |objects| {
            let cleared = match sweep {
                Some(sweep) => objects.finish_sweep(sweep).await,
                None => Cleared::default(),
            };
            Ok(Found::Swept(cleared))
        })
    }

    /// Mark that a run has ended. Resolves to `None` when it is durable.
    fn write_marker(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        run_id: RunArgument,
        terminal_at_ms: u64,
    ) -> PyResult<bool> {
        let marker = TerminalMarker { terminal_at_ms, run_id: run_id.0 };
        self.ask(py, future, port, async move |objects| {
            objects.write_marker(&marker).await.map(|()| Found::Done)
        })
    }

    /// Read all marks. Resolves to run and instant of each, oldest first, and to the places of what
    /// is none.
    fn list_markers(&self, py: Python<'_>, future: Py<PyAny>, port: &Port) -> PyResult<bool> {
        self.ask(py, future, port, async move |objects| {
            objects.list_markers().await.map(Found::Markers)
        })
    }

    /// Delete a mark. Resolves to `None`.
    fn delete_marker(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        run_id: RunArgument,
        terminal_at_ms: u64,
    ) -> PyResult<bool> {
        let marker = TerminalMarker { terminal_at_ms, run_id: run_id.0 };
        self.ask(py, future, port, async move |objects| {
            objects.delete_marker(&marker).await.map(|()| Found::Done)
        })
    }
}

impl MemoStore {
    /// `false`: nothing is left to flush.
    fn ask<W>(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        port: &Port,
        work: impl FnOnce(Arc<MemoObjects>) -> W,
    ) -> PyResult<bool>
    where
        W: Future<Output = Result<Found>> + Send + 'static,
    {
        enter(py, || {
            port.attend(future, work(Arc::clone(&self.0)));
            Ok(false)
        })
    }
}

/// What may go of a run's memos. Until it is finished or closed nobody else sweeps that run.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct MemoSweep(Mutex<Option<Sweep>>);

#[pymethods]
impl MemoSweep {
    /// Leave the memos alone. Does nothing to one that is finished.
    fn close(&self) {
        drop(self.take());
    }
}

impl MemoSweep {
    /// Nothing, if it is finished already.
    fn take(&self) -> Option<Sweep> {
        self.0.lock().take()
    }
}

/// What a store of memos answers.
pub enum Found {
    /// It is done.
    Done,
    /// A value, if there is one.
    Value(Option<Bytes>),
    /// What was deleted.
    Cleared(Cleared),
    /// What may go, if there is something to do.
    Sweep(Option<Sweep>),
    /// What was deleted, and what was left alone.
    Swept(Cleared),
    /// Marks.
    Markers(Markers),
}

impl Answer for Found {
    fn into_py(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match *self {
            Self::Done => Ok(py.None().into_bound(py)),
            Self::Value(value) => value.map(|value| PyBytes::new(py, &value)).into_bound_py_any(py),
            Self::Cleared(cleared) => (cleared.count, failures(&cleared)).into_bound_py_any(py),
            Self::Sweep(sweep) => {
                sweep.map(|sweep| MemoSweep(Mutex::new(Some(sweep)))).into_bound_py_any(py)
            }
            Self::Swept(cleared) => {
                (cleared.count, failures(&cleared), cleared.kept_count).into_bound_py_any(py)
            }
            Self::Markers(found) => {
                let markers = found.markers.iter();
                let markers = markers.map(|marker| (marker.run_id.as_str(), marker.terminal_at_ms));
                (markers.collect::<Vec<_>>(), found.skipped).into_bound_py_any(py)
            }
        }
    }
}

fn failures(cleared: &Cleared) -> Vec<(&str, String)> {
    cleared.failed.iter().map(|(at, error)| (at.as_str(), error.to_string())).collect()
}
