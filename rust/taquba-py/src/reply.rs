//! The engine's answers, as Python values.

use std::sync::Arc;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use taquba_engine::command::{Claim as EngineClaim, JobCancelled, Reply, Work};

use crate::claim::Claim;
use crate::inspect;
use crate::line::Line;
use crate::measured;
use crate::notification::Notification;
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
            let claims = claims.into_iter().map(|claim| claimed(py, claim, line));
            claims.collect::<PyResult<Vec<_>>>()?.into_bound_py_any(py)
        }
        Reply::Submitted(runs) => {
            let runs = runs.iter().map(|run| (run.run_id.as_str(), run.newly_submitted));
            runs.collect::<Vec<_>>().into_bound_py_any(py)
        }
        Reply::Outcome(outcome) => RunOutcome::from(outcome).into_bound_py_any(py),
        Reply::RunCancelled(will_be) => will_be.into_bound_py_any(py),
        Reply::Run(run) => inspect::run_with_steps(py, &run)?.into_bound_py_any(py),
        Reply::Runs(page) => inspect::runs(py, &page)?.into_bound_py_any(py),
        Reply::Memos(page) => inspect::memos(py, &page)?.into_bound_py_any(py),
        Reply::Metrics(metrics) => measured::metrics(py, &metrics)?.into_bound_py_any(py),
        Reply::Subscribed(subscription) => subscription.into_bound_py_any(py),
        Reply::JobCancelled(became) => cancelled_name(became).into_bound_py_any(py),
        Reply::Purged(count) => count.into_bound_py_any(py),
        Reply::Written(was_written) => was_written.into_bound_py_any(py),
        Reply::Value(value) => value.map(|value| PyBytes::new(py, &value)).into_bound_py_any(py),
        Reply::Stats(stats) => inspect::stats(py, &stats)?.into_bound_py_any(py),
        Reply::Job(job) => inspect::job(py, &job)?.into_bound_py_any(py),
        Reply::Jobs(page) => inspect::jobs(py, &page)?.into_bound_py_any(py),
        Reply::Entries(page) => inspect::entries(py, &page).into_bound_py_any(py),
        Reply::Owner(owner) => {
            let owner = owner.map(|owner| inspect::owner(py, &owner)).transpose()?;
            owner.into_bound_py_any(py)
        }
    }
}

/// What a call has claimed. A claim that the engine keeps is the notification for a canceller, who
/// tells the hook; every other one has a lease.
fn claimed(py: Python<'_>, mut claim: EngineClaim, line: &Arc<Line>) -> PyResult<Py<PyAny>> {
    let line = Arc::clone(line);
    if claim.lease.is_none()
        && let Work::Notification(outcome) = &claim.work
    {
        let outcome = Arc::clone(outcome);
        claim.work = Work::Job;
        return Notification::new(claim, outcome, line).into_py_any(py);
    }
    Claim::pulled(claim, line).into_py_any(py)
}

/// The value of Python's enum `JobCancelled`.
const fn cancelled_name(became: JobCancelled) -> &'static str {
    match became {
        JobCancelled::Removed => "removed",
        JobCancelled::Requested => "requested",
    }
}
