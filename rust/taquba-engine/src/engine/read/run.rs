//! Runs and their memos, read from the rows.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;

use super::{READ_AT_ONCE, behind, damaged, decode_job};
use crate::command::{
    LiveStep, MemoInfo, MemoMark, MemoPage, Reply, RunInfo, RunPage, RunState, StepInfo,
};
use crate::error::{Error, Result};
use crate::ids::{JobId, RunId};
use crate::limits::{LIST_BYTES_MAX, MEMO_SWEEP_COUNT_MAX};
use crate::log::{Extent, Rows, ScanRange};
use crate::record::{
    Body, JobRow, PastStep, Payload, RunRow, Trail, Undecodable, decode_memo, keys,
};
use crate::state::{FoundMemos, MemoPlace, RunView};

/// A run's row.
pub(crate) async fn run_row<R: Rows + ?Sized>(
    rows: &R,
    path: &str,
    run_id: &RunId,
) -> Result<RunRow> {
    let Some(value) = rows.get(keys::run(run_id)).await? else {
        return Err(Error::RunNotFound { run_id: run_id.to_string() });
    };
    decode_run(path, run_id, &value)
}

fn decode_run(path: &str, run_id: &RunId, value: &Bytes) -> Result<RunRow> {
    RunRow::decode(value)
        .map_err(|error| damaged(path, &format!("the record of run `{run_id}`"), &error))
}

/// How a run ended.
pub(crate) async fn outcome(rows: &dyn Rows, path: &str, run_id: &RunId) -> Result<Reply> {
    let stored = run_row(rows, path, run_id).await?;
    let ended = stored.ended.ok_or_else(|| Error::RunNotFound { run_id: run_id.to_string() })?;
    Ok(Reply::Outcome(Arc::new(ended.outcome(run_id))))
}

/// One run.
pub(crate) async fn run(rows: &dyn Rows, path: &str, view: RunView) -> Result<RunInfo> {
    let value = rows.get(key_of(&view)).await?;
    run_info(rows, path, view, value).await
}

/// Runs in the order asked for; those that are gone meanwhile are left out. A page over large results
/// ends early.
pub(crate) async fn runs(
    rows: &dyn Rows,
    path: &str,
    mut views: Vec<RunView>,
    next: Option<u64>,
) -> Result<RunPage> {
    let (mut page, mut size_bytes) = (RunPage::default(), 0);
    while !views.is_empty() {
        if size_bytes >= LIST_BYTES_MAX {
            page.next = views.first().map(|view| view.row + 1);
            return Ok(page);
        }
        let rest = views.split_off(views.len().min(READ_AT_ONCE));
        let some = std::mem::replace(&mut views, rest);
        let wanted = some.iter().map(key_of).collect();
        let mut found: BTreeMap<Bytes, Bytes> = rows.get_many(wanted).await?.into_iter().collect();
        size_bytes += found.values().map(Bytes::len).sum::<usize>();
        for view in some {
            let value = found.remove(&key_of(&view));
            match run_info(rows, path, view, value).await {
                Ok(info) => page.runs.push(info),
                Err(Error::RunNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(RunPage { next, ..page })
}

/// The row that says most of a run.
fn key_of(view: &RunView) -> Bytes {
    match &view.step {
        Some(step) => keys::job(step.job_id.row),
        None => keys::run(&view.run_id),
    }
}

/// One run, with what that row held.
async fn run_info(
    rows: &dyn Rows,
    path: &str,
    view: RunView,
    value: Option<Bytes>,
) -> Result<RunInfo> {
    match (&view.step, value) {
        (Some(step), Some(value)) => {
            let stored = decode_job(path, step.job_id.row, &value)?;
            Ok(live_run_info(view, stored))
        }
        (None, Some(value)) => {
            let stored = decode_run(path, &view.run_id, &value)?;
            ended_run_info(view, stored)
        }
        // Its step is gone: it has ended since somebody asked.
        (_, None) => {
            let stored = run_row(rows, path, &view.run_id).await?;
            ended_run_info(view, stored)
        }
    }
}

/// What there is to know of a live run. Its row may be about a later step by now: what holds for all
/// of them is taken from it, and what belongs to one only if it is that one.
fn live_run_info(view: RunView, stored: JobRow<Body>) -> RunInfo {
    let step = view.step.expect("the caller looked");
    let is_current = stored.turn == step.job_id.turn;
    let row = step.job_id.row;
    let mut steps = steps_of(row, stored.turn, &stored.body.trail);
    let under_way_ms = step.claimed_at_ms.filter(|_| is_current);
    steps.push(StepInfo {
        job_id: JobId { row, turn: stored.turn },
        ready_at_ms: stored.body.enqueued_at_ms,
        started_at_ms: stored.body.first_began_at_ms(under_way_ms),
        ended_at_ms: None,
        attempts: if is_current { step.attempts } else { stored.attempts },
        error: stored.body.last_error.clone(),
    });
    RunInfo {
        run_id: view.run_id,
        queue: view.queue,
        state: RunState::of_step(step.state, step.is_cancel_requested),
        step_number: step.job_id.turn,
        attempts: step.attempts,
        submitted_at_ms: view.submitted_at_ms,
        headers: stored.body.headers,
        live: Some(LiveStep {
            job_id: step.job_id,
            max_attempts: step.max_attempts,
            priority: stored.priority,
            run_at_ms: Some(stored.run_at_ms).filter(|at_ms| is_current && *at_ms > 0),
            started_at_ms: step.claimed_at_ms,
            last_error: stored.body.last_error.filter(|_| is_current),
        }),
        ended_at_ms: None,
        error: None,
        steps,
    }
}

fn ended_run_info(view: RunView, stored: RunRow) -> Result<RunInfo> {
    // A live one has taken over its id since somebody asked: the one that was asked for is forgotten.
    let gone = || Error::RunNotFound { run_id: view.run_id.to_string() };
    let ended = stored.ended.filter(|_| stored.row == view.row).ok_or_else(gone)?;
    let steps = steps_of(view.row, ended.final_step.saturating_add(1), &ended.trail);
    Ok(RunInfo {
        run_id: view.run_id,
        queue: view.queue,
        state: ended.status.into(),
        step_number: ended.final_step,
        attempts: ended.attempts,
        submitted_at_ms: view.submitted_at_ms,
        headers: ended.headers,
        live: None,
        ended_at_ms: Some(ended.at_ms),
        error: ended.error,
        steps,
    })
}

/// The steps of a trail that ends before the step of this number. One that does not read hides nothing else
/// of its run.
fn steps_of(row: u64, next_turn: u32, trail: &Trail) -> Vec<StepInfo> {
    let trail = trail.steps().unwrap_or_else(|error| {
        tracing::warn!(row, error = error.0, "the steps behind a run do not read");
        Vec::new()
    });
    let step = |(past, turn): (PastStep, u32)| StepInfo {
        job_id: JobId { row, turn },
        ready_at_ms: past.ready_at_ms,
        started_at_ms: past.began_after_ms.map(|ms| past.ready_at_ms.saturating_add(ms)),
        ended_at_ms: Some(past.ready_at_ms.saturating_add(past.ended_after_ms)),
        attempts: past.attempts,
        error: past.error,
    };
    let count = u32::try_from(trail.len()).expect("a row has fewer than 2^32 steps");
    trail.into_iter().zip(next_turn.saturating_sub(count)..).map(step).collect()
}

/// The result of a run that succeeded.
pub(crate) async fn result<R: Rows + ?Sized>(
    rows: &R,
    path: &str,
    run_id: &RunId,
) -> Result<Option<Bytes>> {
    let stored = run_row(rows, path, run_id).await?;
    Ok(stored.ended.and_then(|ended| ended.result))
}

/// Memos of the run that was submitted under this row.
pub(crate) async fn memos<R: Rows + ?Sized>(
    rows: &R,
    path: &str,
    row: u64,
    after: Option<MemoMark>,
    count_max: usize,
) -> Result<MemoPage> {
    let prefix = keys::memos_of(row);
    let end = Bound::Excluded(behind(&prefix));
    let start = match &after {
        Some((step_number, key)) => Bound::Excluded(keys::memo(row, *step_number, key)),
        None => Bound::Included(prefix),
    };
    let (mut page, mut failed) = (MemoPage::default(), None);
    let mut visit = |key: Bytes, stored: Bytes| {
        if page.memos.len() == count_max {
            page.next = page.memos.last().map(|memo| memo.mark);
            return ControlFlow::Break(());
        }
        let Some(mark) = keys::memo_mark_of(&key) else { return ControlFlow::Continue(()) };
        match decode_memo(&stored) {
            Ok(value) => {
                let is_object = value.object().is_some();
                page.memos.push(MemoInfo { mark, value_bytes: value.size_bytes(), is_object });
                ControlFlow::Continue(())
            }
            Err(error) => {
                let place = MemoPlace { row, step_number: mark.0, key: mark.1 };
                failed = Some(memo_corrupted(path, &place, error));
                ControlFlow::Break(())
            }
        }
    };
    let range = ScanRange { start, end, reverse: false, extent: Extent::Page };
    rows.scan(range, &mut visit).await?;
    failed.map_or(Ok(page), Err)
}

/// What a memo holds, and where that is if it is an object of its own.
pub(crate) async fn memo(
    rows: &dyn Rows,
    path: &str,
    place: &MemoPlace,
) -> Result<Option<Payload>> {
    let MemoPlace { row, step_number, key } = place;
    let Some(stored) = rows.get(keys::memo(*row, *step_number, key)).await? else {
        return Ok(None);
    };
    decode_memo(&stored).map(Some).map_err(|error| memo_corrupted(path, place, error))
}

fn memo_corrupted(path: &str, place: &MemoPlace, error: Undecodable) -> Error {
    let MemoPlace { step_number, key, .. } = place;
    Error::MemoCorrupted {
        place: format!("memo `{key}` of step {step_number} in the store at `{path}`"),
        detail: error.0,
    }
}

/// Rows of a run's memos, and the objects that they name: a bounded number.
pub(crate) async fn memos_of_run(rows: &dyn Rows, row: u64) -> Result<FoundMemos> {
    let mut found = FoundMemos { is_all: true, ..FoundMemos::default() };
    let mut count = 0;
    for prefix in [keys::memos_of(row), keys::memo_objects_of(row)] {
        let mut visit = |key: Bytes, _: Bytes| {
            if count == MEMO_SWEEP_COUNT_MAX {
                found.is_all = false;
                return ControlFlow::Break(());
            }
            count += 1;
            match keys::memo_object_name_of(&key) {
                Some(name) if key[0] == keys::MEMO_OBJECT => found.objects.push(name),
                _ => found.keys.push(key),
            }
            ControlFlow::Continue(())
        };
        let end = Bound::Excluded(behind(&prefix));
        let start = Bound::Included(prefix);
        rows.scan(ScanRange { start, end, reverse: false, extent: Extent::Page }, &mut visit)
            .await?;
    }
    Ok(found)
}
