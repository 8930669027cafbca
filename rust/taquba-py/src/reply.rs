//! The engine's answers, as Python values.

use std::sync::Arc;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use taquba_engine::command::{QueueStats, Reply, Stats};

use crate::claim::Claim;
use crate::line::Line;
use crate::run::RunOutcome;

/// The value that a call's future resolves to. Claims are settled over `line`.
pub fn to_py<'py>(py: Python<'py>, reply: Reply, line: &Arc<Line>) -> PyResult<Bound<'py, PyAny>> {
    match reply {
        Reply::Done => Ok(py.None().into_bound(py)),
        Reply::Enqueued(jobs) => {
            let ids = jobs.into_iter().map(|job| job.job_id.to_string());
            PyList::new(py, ids.collect::<Vec<_>>())?.into_bound_py_any(py)
        }
        Reply::Claimed(claims) => {
            let claims = claims.into_iter().map(|claim| Claim::pulled(claim, Arc::clone(line)));
            claims.collect::<Vec<_>>().into_bound_py_any(py)
        }
        Reply::Submitted(runs) => {
            let runs = runs.iter().map(|run| (run.run_id.as_str(), run.newly_submitted));
            runs.collect::<Vec<_>>().into_bound_py_any(py)
        }
        Reply::Outcome(outcome) => RunOutcome::from(outcome).into_bound_py_any(py),
        Reply::Subscribed(subscription) => subscription.into_bound_py_any(py),
        Reply::Stats(stats) => stats_dict(py, &stats)?.into_bound_py_any(py),
    }
}

/// The fields of `taquba.Stats`; `queues` holds those of `taquba.QueueStats` by name.
fn stats_dict<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let queues = PyDict::new(py);
    for queue in &stats.queues {
        queues.set_item(queue.queue.as_str(), queue_dict(py, queue)?)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("queues", queues)?;
    dict.set_item("quarantined_count", stats.quarantined_count)?;
    dict.set_item("commit_count", stats.commit_count)?;
    dict.set_item("row_count", stats.row_count)?;
    dict.set_item("put_count", stats.put_count)?;
    dict.set_item("put_bytes", stats.put_bytes)?;
    Ok(dict)
}

fn queue_dict<'py>(py: Python<'py>, queue: &QueueStats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("pending_count", queue.pending_count)?;
    dict.set_item("scheduled_count", queue.scheduled_count)?;
    dict.set_item("claimed_count", queue.claimed_count)?;
    dict.set_item("dead_count", queue.dead_count)?;
    dict.set_item("live_run_count", queue.live_run_count)?;
    dict.set_item("enqueued_total", queue.enqueued_total)?;
    dict.set_item("acked_total", queue.acked_total)?;
    dict.set_item("retried_total", queue.retried_total)?;
    dict.set_item("dead_total", queue.dead_total)?;
    Ok(dict)
}
