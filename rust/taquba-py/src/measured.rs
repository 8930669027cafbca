//! What is measured, as the fields of Python's dataclasses: durations in seconds.

#![expect(clippy::cast_precision_loss, reason = "exact up to 2^53: 285 years of microseconds")]

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use taquba_engine::metrics::{Histogram, Metrics, QueueMeasures, StorageMetric, StorageValue};

use crate::inspect;

/// Milliseconds of a second.
const MS: f64 = 1e3;

/// Microseconds of a second.
const US: f64 = 1e6;

/// The fields of `taquba.Metrics`, with those of `taquba.Histogram` as a tuple of three.
pub fn metrics<'py>(py: Python<'py>, metrics: &Metrics) -> PyResult<Bound<'py, PyDict>> {
    let queues = PyDict::new(py);
    for (name, measures) in &metrics.queues {
        queues.set_item(name.as_str(), queue(py, measures)?)?;
    }
    let storage = metrics.store.storage.iter().map(|metric| storage(py, metric));
    let dict = PyDict::new(py);
    dict.set_item("stats", inspect::stats(py, &metrics.stats)?)?;
    dict.set_item("queues", queues)?;
    dict.set_item("commit_seconds", histogram(py, &metrics.commits.us, US)?)?;
    dict.set_item("commit_rows", histogram(py, &metrics.commits.rows, 1.0)?)?;
    dict.set_item("commit_bytes", histogram(py, &metrics.commits.bytes, 1.0)?)?;
    dict.set_item("put_seconds", histogram(py, &metrics.store.put_us, US)?)?;
    dict.set_item("get_seconds", histogram(py, &metrics.store.get_us, US)?)?;
    dict.set_item("body_bytes", metrics.body_bytes)?;
    dict.set_item("upload_count", metrics.upload_count)?;
    dict.set_item("storage", storage.collect::<PyResult<Vec<_>>>()?)?;
    Ok(dict)
}

fn queue<'py>(py: Python<'py>, measures: &QueueMeasures) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("claimed_total", measures.claimed_total)?;
    dict.set_item("expired_total", measures.expired_total)?;
    dict.set_item("wait_seconds", histogram(py, &measures.wait_ms, MS)?)?;
    dict.set_item("run_seconds", histogram(py, &measures.run_ms, MS)?)?;
    Ok(dict)
}

fn storage<'py>(py: Python<'py>, metric: &StorageMetric) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &metric.name)?;
    dict.set_item("labels", PyTuple::new(py, &metric.labels)?)?;
    let (kind, value, histogram) = match &metric.value {
        StorageValue::Counter(count) => ("counter", *count as f64, None),
        StorageValue::Gauge(value) => ("gauge", *value as f64, None),
        StorageValue::Histogram { bounds, counts, sum } => {
            ("histogram", *sum, Some((PyTuple::new(py, bounds)?, PyTuple::new(py, counts)?, *sum)))
        }
    };
    dict.set_item("kind", kind)?;
    dict.set_item("value", value)?;
    dict.set_item("histogram", histogram)?;
    Ok(dict)
}

/// Bounds, counts, sum. `unit` is how many make one of what Python counts in.
fn histogram<'py>(
    py: Python<'py>,
    histogram: &Histogram,
    unit: f64,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyTuple>, f64)> {
    let bounds = histogram.bounds().iter().map(|bound| *bound as f64 / unit);
    Ok((
        PyTuple::new(py, bounds.collect::<Vec<_>>())?,
        PyTuple::new(py, histogram.counts())?,
        histogram.sum() as f64 / unit,
    ))
}
