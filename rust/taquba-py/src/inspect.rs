//! What can be looked at: jobs, runs, keys, the owner, counts. The fields of Python's dataclasses.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use taquba_engine::command::{
    Attempt, JobInfo, JobPage, JobState, JobWork, KvPage, KvRange, MemoInfo, MemoMark, MemoPage,
    OwnerInfo, QueueStats, RunInfo, RunPage, RunState, RunStates, Stats, StepInfo,
};
use taquba_engine::ids::{KvKey, MemoKey};

use crate::clock::instant;
use crate::delivered::headers_dict;
use crate::{error, text};

/// How a cursor of keys begins: no other text is taken for one.
const KEY_CURSOR_PREFIX: &str = "after:";

/// How a cursor of runs begins, for the same reason.
const RUN_CURSOR_PREFIX: &str = "before:";

/// An argument that is a state's name; Python's enum has checked it.
pub struct StateArgument(pub JobState);

/// An argument that is names of states of runs; Python's enum has checked them.
pub struct RunStatesArgument(pub RunStates);

/// An argument that says where a page of jobs begins: what an earlier page gave.
pub struct JobCursor(pub u64);

/// The same for a page of keys.
pub struct KeyCursor(pub KvKey);

/// The same for a page of runs.
pub struct RunCursor(pub u64);

/// The same for a page of memos.
pub struct MemoCursor(pub MemoMark);

/// A range of keys, read by its attributes.
#[derive(FromPyObject)]
pub struct RangeArguments {
    prefix: String,
    start: Option<String>,
    end: Option<String>,
    reverse: bool,
    limit: usize,
}

impl FromPyObject<'_, '_> for StateArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let name: String = value.extract()?;
        let state = JobState::ALL.into_iter().find(|state| state.name() == name);
        state.map(Self).ok_or_else(|| PyValueError::new_err(name))
    }
}

impl FromPyObject<'_, '_> for RunStatesArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let names: Vec<PyBackedStr> = value.extract()?;
        let states = names.iter().map(|name| {
            let state = RunState::ALL.into_iter().find(|state| *state.name() == **name);
            state.ok_or_else(|| PyValueError::new_err(name.to_string()))
        });
        Ok(Self(states.collect::<PyResult<_>>()?))
    }
}

impl FromPyObject<'_, '_> for JobCursor {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let row = read_row(cursor_text(&value)?);
        row.map(Self).ok_or_else(|| bad_cursor(&value))
    }
}

impl FromPyObject<'_, '_> for RunCursor {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let row = cursor_text(&value)?.strip_prefix(RUN_CURSOR_PREFIX).and_then(read_row);
        row.map(Self).ok_or_else(|| bad_cursor(&value))
    }
}

impl FromPyObject<'_, '_> for KeyCursor {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let text = cursor_text(&value)?;
        let key = text.strip_prefix(KEY_CURSOR_PREFIX).and_then(|key| key.parse().ok());
        key.map(Self).ok_or_else(|| bad_cursor(&value))
    }
}

impl FromPyObject<'_, '_> for MemoCursor {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let mark = read_mark(cursor_text(&value)?);
        mark.map(Self).ok_or_else(|| bad_cursor(&value))
    }
}

impl RangeArguments {
    /// The engine's form.
    pub fn into_engine(self, cursor: Option<KeyCursor>) -> KvRange {
        KvRange {
            prefix: self.prefix,
            start: self.start,
            end: self.end,
            reverse: self.reverse,
            after: cursor.map(|cursor| cursor.0),
            count_max: self.limit,
        }
    }
}

/// The fields of `taquba.JobInfo`, and `history` with those of `taquba.Attempt`.
pub fn job<'py>(py: Python<'py>, job: &JobInfo) -> PyResult<Bound<'py, PyDict>> {
    let (kind, run_id) = match &job.work {
        JobWork::Plain => ("job", None),
        JobWork::Step(run_id) => ("step", Some(run_id.as_str())),
        JobWork::Notification(run_id) => ("notification", Some(run_id.as_str())),
    };
    let history = job.history.iter().map(|attempt| self::attempt(py, attempt));
    let dict = PyDict::new(py);
    dict.set_item("job_id", job.job_id.to_string())?;
    dict.set_item("queue", job.queue.as_str())?;
    dict.set_item("state", job.state.name())?;
    dict.set_item("kind", kind)?;
    dict.set_item("run_id", run_id)?;
    dict.set_item("priority", job.priority)?;
    dict.set_item("attempts", job.attempts)?;
    dict.set_item("max_attempts", job.max_attempts)?;
    dict.set_item("enqueued_at", instant(job.enqueued_at_ms))?;
    dict.set_item("run_at", job.run_at_ms.map(instant))?;
    dict.set_item("ended_at", job.ended_at_ms.map(instant))?;
    dict.set_item("dedup_key", job.dedup_key.as_deref())?;
    dict.set_item("headers", headers_dict(py, &job.headers)?)?;
    dict.set_item("payload_bytes", job.payload_bytes)?;
    dict.set_item("payload", job.payload.as_ref().map(|payload| PyBytes::new(py, payload)))?;
    dict.set_item("last_error", job.last_error.as_deref())?;
    dict.set_item("is_cancel_requested", job.is_cancel_requested)?;
    dict.set_item("history", PyList::new(py, history.collect::<PyResult<Vec<_>>>()?)?)?;
    Ok(dict)
}

/// The jobs of a page, and where the next one begins.
pub fn jobs<'py>(
    py: Python<'py>,
    page: &JobPage,
) -> PyResult<(Vec<Bound<'py, PyDict>>, Option<String>)> {
    let jobs = page.jobs.iter().map(|job| self::job(py, job)).collect::<PyResult<_>>()?;
    Ok((jobs, page.next.map(job_cursor)))
}

/// The same, and `history` with the fields of `taquba.StepRecord`.
pub fn run_with_steps<'py>(py: Python<'py>, run: &RunInfo) -> PyResult<Bound<'py, PyDict>> {
    let steps = run.steps.iter().map(|step| self::step(py, step));
    let dict = self::run(py, run)?;
    dict.set_item("history", PyList::new(py, steps.collect::<PyResult<Vec<_>>>()?)?)?;
    Ok(dict)
}

/// The fields of `taquba.RunStatus`.
fn run<'py>(py: Python<'py>, run: &RunInfo) -> PyResult<Bound<'py, PyDict>> {
    let live = run.live.as_ref();
    let dict = PyDict::new(py);
    dict.set_item("run_id", run.run_id.as_str())?;
    dict.set_item("queue", run.queue.as_str())?;
    dict.set_item("state", run.state.name())?;
    dict.set_item("step_number", run.step_number)?;
    dict.set_item("attempts", run.attempts)?;
    dict.set_item("max_attempts", live.map(|step| step.max_attempts))?;
    dict.set_item("priority", live.map(|step| step.priority))?;
    dict.set_item("headers", headers_dict(py, &run.headers)?)?;
    dict.set_item("submitted_at", instant(run.submitted_at_ms))?;
    dict.set_item("run_at", live.and_then(|step| step.run_at_ms).map(instant))?;
    dict.set_item("started_at", live.and_then(|step| step.started_at_ms).map(instant))?;
    dict.set_item("ended_at", run.ended_at_ms.map(instant))?;
    dict.set_item("last_error", live.and_then(|step| step.last_error.as_deref()))?;
    dict.set_item("error", run.error.as_deref())?;
    dict.set_item("job_id", live.map(|step| step.job_id.to_string()))?;
    Ok(dict)
}

/// The runs of a page, and where the next one begins.
pub fn runs<'py>(
    py: Python<'py>,
    page: &RunPage,
) -> PyResult<(Vec<Bound<'py, PyDict>>, Option<String>)> {
    let runs = page.runs.iter().map(|run| self::run(py, run)).collect::<PyResult<_>>()?;
    Ok((runs, page.next.map(|row| format!("{RUN_CURSOR_PREFIX}{}", job_cursor(row)))))
}

/// The fields of `taquba.MemoInfo` for each memo of a page, and where the next one begins.
pub fn memos<'py>(
    py: Python<'py>,
    page: &MemoPage,
) -> PyResult<(Vec<Bound<'py, PyDict>>, Option<String>)> {
    let memo = |memo: &MemoInfo| {
        let (step_number, key) = memo.mark;
        let dict = PyDict::new(py);
        dict.set_item("step_number", step_number)?;
        dict.set_item("key_sha256", key.to_string())?;
        dict.set_item("value_bytes", memo.value_bytes)?;
        dict.set_item("is_object", memo.is_object)?;
        Ok(dict)
    };
    let memos = page.memos.iter().map(memo).collect::<PyResult<_>>()?;
    let cursor = |(step_number, key): MemoMark| format!("{step_number}:{key}");
    Ok((memos, page.next.map(cursor)))
}

/// The entries of a page, and where the next one begins.
pub fn entries<'py>(
    py: Python<'py>,
    page: &KvPage,
) -> (Vec<(String, Bound<'py, PyBytes>)>, Option<String>) {
    let entries = page.entries.iter();
    let entries =
        entries.map(|(key, value)| (key.as_str().to_owned(), PyBytes::new(py, value))).collect();
    (entries, page.next.as_ref().map(|key| format!("{KEY_CURSOR_PREFIX}{}", key.as_str())))
}

/// The fields of `taquba.Owner`.
pub fn owner<'py>(py: Python<'py>, owner: &OwnerInfo) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("host", &owner.host)?;
    dict.set_item("pid", owner.pid)?;
    dict.set_item("since", instant(owner.since_ms))?;
    dict.set_item("last_seen", instant(owner.seen_ms))?;
    dict.set_item("is_alive", owner.is_alive)?;
    Ok(dict)
}

/// The fields of `taquba.Stats`; `queues` holds those of `taquba.QueueStats` by name.
pub fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let queues = PyDict::new(py);
    for queue in &stats.queues {
        queues.set_item(queue.queue.as_str(), queue_stats(py, queue)?)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("queues", queues)?;
    dict.set_item("quarantined_count", stats.quarantined_count)?;
    dict.set_item("commit_count", stats.commit_count)?;
    dict.set_item("row_count", stats.row_count)?;
    let store = &stats.store;
    dict.set_item("put_count", store.put_count)?;
    dict.set_item("put_bytes", store.put_bytes)?;
    dict.set_item("get_count", store.get_count)?;
    dict.set_item("get_bytes", store.get_bytes)?;
    dict.set_item("list_count", store.list_count)?;
    dict.set_item("delete_count", store.delete_count)?;
    Ok(dict)
}

fn queue_stats<'py>(py: Python<'py>, queue: &QueueStats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("pending_count", queue.pending_count)?;
    dict.set_item("scheduled_count", queue.scheduled_count)?;
    dict.set_item("claimed_count", queue.claimed_count)?;
    dict.set_item("done_count", queue.done_count)?;
    dict.set_item("dead_count", queue.dead_count)?;
    dict.set_item("live_run_count", queue.live_run_count)?;
    dict.set_item("enqueued_total", queue.enqueued_total)?;
    dict.set_item("acked_total", queue.acked_total)?;
    dict.set_item("retried_total", queue.retried_total)?;
    dict.set_item("dead_total", queue.dead_total)?;
    dict.set_item("cancelled_total", queue.cancelled_total)?;
    Ok(dict)
}

fn attempt<'py>(py: Python<'py>, attempt: &Attempt) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("number", attempt.number)?;
    dict.set_item("started_at", attempt.started_at_ms.map(instant))?;
    dict.set_item("ended_at", attempt.ended_at_ms.map(instant))?;
    dict.set_item("end", attempt.end.name())?;
    dict.set_item("error", attempt.error.as_deref())?;
    Ok(dict)
}

fn step<'py>(py: Python<'py>, step: &StepInfo) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("job_id", step.job_id.to_string())?;
    dict.set_item("step_number", step.job_id.turn)?;
    dict.set_item("ready_at", instant(step.ready_at_ms))?;
    dict.set_item("started_at", step.started_at_ms.map(instant))?;
    dict.set_item("ended_at", step.ended_at_ms.map(instant))?;
    dict.set_item("attempts", step.attempts)?;
    dict.set_item("error", step.error.as_deref())?;
    Ok(dict)
}

fn job_cursor(row: u64) -> String {
    format!("{row:016x}")
}

/// The number that a cursor names.
fn read_row(text: &str) -> Option<u64> {
    let row = u64::from_str_radix(text, 16).ok();
    // Only as it was printed: no sign, no capitals, no digit less.
    row.filter(|row| job_cursor(*row) == text)
}

/// The memo that a cursor names.
fn read_mark(text: &str) -> Option<MemoMark> {
    let (step_number, digest) = text.split_once(':')?;
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digest.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    let mark = (step_number.parse().ok()?, MemoKey::of_digest(bytes));
    // Only as it was printed, here too.
    (format!("{}:{}", mark.0, mark.1) == text).then_some(mark)
}

fn cursor_text<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    let text = value.cast::<PyString>().ok().and_then(|text| text.to_str().ok());
    text.ok_or_else(|| text::refuse("cursor", value, "give the `cursor` of the page before"))
}

fn bad_cursor(value: &Bound<'_, PyAny>) -> PyErr {
    let remedy = "give the `cursor` of the page before";
    error::invalid_argument(value.py(), "cursor", &text::shown(value), remedy)
}
