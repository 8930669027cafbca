//! What a step may return.
//!
//! # Invariants
//!
//! 1. The five outcomes are the only ones: anything else a runner returns is malformed, and
//!    [`verdict`] says so instead of raising, because the run has to end.
//! 2. A payload or result that is not `bytes` is encoded when the outcome is made, so what cannot be
//!    is refused inside the runner.
//! 3. `repr` shows sizes, never content: payloads and reasons may hold secrets.

use std::time::Duration;

use bytes::Bytes;
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};
use taquba_engine::command::{StepOutcome as EngineOutcome, Verdict};
use taquba_engine::record::Payload;

use crate::duration::duration;
use crate::{codec, error, text};

/// What a step returns: one of `Continue`, `ContinueAfter`, `Succeed`, `Fail`, `Cancel`.
#[pyclass(frozen, subclass, module = "taquba.workflow")]
pub struct StepOutcome;

/// Go on with the next step at once: it gets `payload`.
#[pyclass(frozen, eq, hash, extends = StepOutcome, module = "taquba.workflow")]
#[derive(PartialEq, Hash)]
pub struct Continue {
    payload: Bytes,
}

/// Go on with the next step, `delay` after this outcome's commit: it gets `payload`.
#[pyclass(frozen, eq, hash, extends = StepOutcome, module = "taquba.workflow")]
#[derive(PartialEq, Hash)]
pub struct ContinueAfter {
    payload: Bytes,
    delay: Duration,
}

/// End the run: it is done and produced `result`.
#[pyclass(frozen, eq, hash, extends = StepOutcome, module = "taquba.workflow")]
#[derive(PartialEq, Hash)]
pub struct Succeed {
    result: Bytes,
}

/// End the run: it gives up, because of `reason`.
#[pyclass(frozen, eq, hash, extends = StepOutcome, module = "taquba.workflow")]
#[derive(PartialEq, Hash)]
pub struct Fail {
    reason: String,
}

/// End the run: it stops on purpose, because of `reason`.
#[pyclass(frozen, eq, hash, extends = StepOutcome, module = "taquba.workflow")]
#[derive(PartialEq, Hash)]
pub struct Cancel {
    reason: String,
}

#[pymethods]
impl Continue {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str,) = ("payload",);

    #[new]
    fn new(payload: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        Ok(outcome(Self { payload: codec::encode("payload", payload)? }))
    }

    /// What the next step receives.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.payload)
    }

    fn __repr__(&self) -> String {
        format!("Continue(<{} bytes>)", self.payload.len())
    }
}

#[pymethods]
impl ContinueAfter {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str) = ("payload", "delay");

    #[new]
    fn new(
        payload: &Bound<'_, PyAny>,
        delay: &Bound<'_, PyAny>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let payload = codec::encode("payload", payload)?;
        Ok(outcome(Self { payload, delay: duration("delay", delay)? }))
    }

    /// What the next step receives.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.payload)
    }

    /// How long after this outcome's commit the next step may start.
    #[getter]
    fn delay(&self) -> Duration {
        self.delay
    }

    fn __repr__(&self) -> String {
        format!("ContinueAfter(<{} bytes>, delay={:?})", self.payload.len(), self.delay)
    }
}

#[pymethods]
impl Succeed {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str,) = ("result",);

    #[new]
    fn new(result: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        Ok(outcome(Self { result: codec::encode("result", result)? }))
    }

    /// What the run produced.
    #[getter]
    fn result<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.result)
    }

    fn __repr__(&self) -> String {
        format!("Succeed(<{} bytes>)", self.result.len())
    }
}

#[pymethods]
impl Fail {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str,) = ("reason",);

    #[new]
    fn new(reason: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        Ok(outcome(Self { reason: expect_text(reason)? }))
    }

    /// Why the run gives up.
    #[getter]
    fn reason(&self) -> &str {
        &self.reason
    }

    fn __repr__(&self) -> String {
        format!("Fail(<{} characters>)", self.reason.chars().count())
    }
}

#[pymethods]
impl Cancel {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str,) = ("reason",);

    #[new]
    fn new(reason: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        Ok(outcome(Self { reason: expect_text(reason)? }))
    }

    /// Why the run stops.
    #[getter]
    fn reason(&self) -> &str {
        &self.reason
    }

    fn __repr__(&self) -> String {
        format!("Cancel(<{} characters>)", self.reason.chars().count())
    }
}

/// How a delivery ends whose runner returned `outcome`.
pub fn verdict(outcome: &Bound<'_, PyAny>) -> Verdict {
    read(outcome).map_or_else(|| malformed(outcome), Verdict::Step)
}

fn read(outcome: &Bound<'_, PyAny>) -> Option<EngineOutcome> {
    if let Ok(outcome) = outcome.cast_exact::<Continue>() {
        let payload = Payload::Inline(outcome.get().payload.clone());
        return Some(EngineOutcome::Continue { payload });
    }
    if let Ok(outcome) = outcome.cast_exact::<Succeed>() {
        return Some(EngineOutcome::Succeed { result: outcome.get().result.clone() });
    }
    if let Ok(outcome) = outcome.cast_exact::<ContinueAfter>() {
        let ContinueAfter { payload, delay } = outcome.get();
        let (payload, delay) = (Payload::Inline(payload.clone()), *delay);
        return Some(EngineOutcome::ContinueAfter { payload, delay });
    }
    if let Ok(outcome) = outcome.cast_exact::<Fail>() {
        return Some(EngineOutcome::Fail { reason: outcome.get().reason.clone() });
    }
    let outcome = outcome.cast_exact::<Cancel>().ok()?;
    Some(EngineOutcome::Cancel { reason: outcome.get().reason.clone() })
}

fn malformed(outcome: &Bound<'_, PyAny>) -> Verdict {
    let reason = format!(
        "the runner returned `{}`, which is no outcome: return `Continue`, `ContinueAfter`, \
         `Succeed`, `Fail` or `Cancel`",
        error::type_name(outcome)
    );
    Verdict::DeadLetter { reason }
}

/// Makes the outcomes attributes of their base: `StepOutcome.Continue` and so on.
pub fn link_classes(py: Python<'_>) -> PyResult<()> {
    let base = PyType::new::<StepOutcome>(py);
    base.setattr("Continue", PyType::new::<Continue>(py))?;
    base.setattr("ContinueAfter", PyType::new::<ContinueAfter>(py))?;
    base.setattr("Succeed", PyType::new::<Succeed>(py))?;
    base.setattr("Fail", PyType::new::<Fail>(py))?;
    base.setattr("Cancel", PyType::new::<Cancel>(py))
}

fn outcome<T: PyClass<BaseType = StepOutcome>>(class: T) -> PyClassInitializer<T> {
    PyClassInitializer::from(StepOutcome).add_subclass(class)
}

fn expect_text(reason: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = reason.cast::<PyString>();
    let text = text.map_err(|_| error::wrong_type("reason", reason, "give `str`"))?;
    text::escape(text)
}
