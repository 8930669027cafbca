//! Answers that are read from the rows: jobs, keys, and in `read/run.rs` runs and memos. The same for
//! an owner and for a reader.

mod run;

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use crate::command::{Attempt, AttemptEnd, JobInfo, JobPage, JobWork, KvPage, KvRange};
use crate::error::{Error, Result};
use crate::ids::KvKey;
use crate::limits::LIST_BYTES_MAX;
use crate::log::{Extent, Rows, ScanRange};
use crate::record::{
    Body, BodyWork, FORMAT, JobRow, Meta, Payload, PayloadFault, PayloadRef, STEP_KEY_PREFIX,
    Sequence, Undecodable, decode_value, keys,
};
use crate::state::JobView;

pub(crate) use run::{memo, memos, memos_of_run, outcome, result, run, run_row, runs};

/// Rows of a page that are in memory at once.
const READ_AT_ONCE: usize = 32;

/// What the store's own record says; `None` if the store is new.
pub(crate) async fn meta<R: Rows + ?Sized>(rows: &R, path: &str) -> Result<Option<Meta>> {
    let Some(value) = rows.get(keys::META.into()).await? else { return Ok(None) };
    let meta = Meta::decode(&value).map_err(|error| damaged(path, "the store record", &error))?;
    if meta.format != FORMAT {
        let (path, found) = (path.to_owned(), meta.format);
        return Err(Error::UnsupportedFormat { path, found, supported: FORMAT });
    }
    Ok(Some(meta))
}

/// What must only grow.
pub(crate) async fn sequence<R: Rows + ?Sized>(rows: &R, path: &str) -> Result<Sequence> {
    let Some(value) = rows.get(keys::SEQUENCE.into()).await? else {
        return Ok(Sequence::default());
    };
    Sequence::decode(&value).map_err(|error| damaged(path, "the sequence record", &error))
}

/// One job, and where its payload is if that is an object of its own.
pub(crate) async fn job(
    rows: &dyn Rows,
    path: &str,
    view: JobView,
) -> Result<(JobInfo, Option<PayloadRef>)> {
    let gone = Error::JobNotFound { job_id: view.job_id.to_string() };
    let Some(value) = rows.get(keys::job(view.job_id.row)).await? else { return Err(gone) };
    let stored = decode_job(path, view.job_id.row, &value)?;
    if stored.turn != view.job_id.turn {
        return Err(gone);
    }
    let payload = stored.body.payload.clone();
    let mut info = job_info(view, stored);
    match payload {
        Payload::Inline(data) => {
            info.payload = Some(data);
            Ok((info, None))
        }
        Payload::Object(object) => Ok((info, Some(object))),
    }
}

/// Jobs in the order of their ids; those that are gone meanwhile are left out. A page over large
/// payloads ends early.
pub(crate) async fn jobs(
    rows: &dyn Rows,
    path: &str,
    views: Vec<JobView>,
    next: Option<u64>,
) -> Result<JobPage> {
    let (mut page, mut size_bytes, mut last) = (JobPage::default(), 0, None);
    let mut views = views.into_iter().peekable();
    while views.peek().is_some() {
        if size_bytes >= LIST_BYTES_MAX {
            page.next = last;
            return Ok(page);
        }
        let some: Vec<JobView> = views.by_ref().take(READ_AT_ONCE).collect();
        last = some.last().map(|view| view.job_id.row);
        let wanted = some.iter().map(|view| keys::job(view.job_id.row)).collect();
        let mut found: BTreeMap<Bytes, Bytes> = rows.get_many(wanted).await?.into_iter().collect();
        size_bytes += found.values().map(Bytes::len).sum::<usize>();
        for view in some {
            let Some(value) = found.remove(&keys::job(view.job_id.row)) else { continue };
            let stored = decode_job(path, view.job_id.row, &value)?;
            if stored.turn == view.job_id.turn {
                page.jobs.push(job_info(view, stored));
            }
        }
    }
    Ok(JobPage { next, ..page })
}

/// What there is to know of a job but its payload.
pub(crate) fn job_info(view: JobView, stored: JobRow<Body>) -> JobInfo {
    let body = stored.body;
    let mut history = body.history;
    // The row may be newer than the view: then this delivery is in its history already.
    let last = history.last().map(|last| (last.number, last.started_at_ms));
    let is_open = last != Some((view.attempts, view.claimed_at_ms));
    if let Some(started_at_ms) = view.claimed_at_ms.filter(|_| is_open) {
        history.push(Attempt {
            number: view.attempts,
            started_at_ms: Some(started_at_ms),
            ended_at_ms: None,
            end: AttemptEnd::Open,
            error: None,
        });
    }
    let dedup_key = match &body.work {
        BodyWork::Step { run_id } => {
            Some(format!("{STEP_KEY_PREFIX}{run_id}:{}", view.job_id.turn).into())
        }
        BodyWork::Job | BodyWork::Notification { .. } => body.dedup_key,
    };
    JobInfo {
        job_id: view.job_id,
        queue: view.queue,
        state: view.state,
        work: match body.work {
            BodyWork::Job => JobWork::Plain,
            BodyWork::Step { run_id } => JobWork::Step(run_id),
            BodyWork::Notification { run_id, .. } => JobWork::Notification(run_id),
        },
        priority: stored.priority,
        attempts: view.attempts,
        max_attempts: stored.max_attempts,
        enqueued_at_ms: body.enqueued_at_ms,
        run_at_ms: (stored.run_at_ms > 0).then_some(stored.run_at_ms),
        ended_at_ms: stored.ended.map(|(_, at_ms)| at_ms),
        dedup_key,
        headers: body.headers,
        payload_bytes: body.payload.size_bytes(),
        payload: None,
        last_error: body.last_error,
        is_cancel_requested: view.is_cancel_requested,
        history,
    }
}

/// What was read of a payload object, if it is what was written.
pub(crate) async fn verified(
    object: PayloadRef,
    read: Result<Option<Bytes>>,
) -> Result<Bytes, PayloadFault> {
    let size_bytes = read.as_ref().map_or(0, |read| read.as_ref().map_or(0, Bytes::len));
    digested(size_bytes, move || verify(&object, read)).await
}

/// From this size on a digest takes so long, 0.1 ms or so, that who waits on the same thread would
/// notice; below it, handing it over takes about as long.
const HANDED_OVER_BYTES_MIN: usize = 64 * 1024;

/// Does work that digests so many bytes.
#[expect(clippy::disallowed_methods, reason = "the one place that leaves the threads of tasks")]
pub(crate) async fn digested<T: Send + 'static>(
    size_bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if size_bytes < HANDED_OVER_BYTES_MIN {
        return work();
    }
    tokio::task::spawn_blocking(work).await.expect("a digest does not panic")
}

fn verify(object: &PayloadRef, read: Result<Option<Bytes>>) -> Result<Bytes, PayloadFault> {
    match read {
        Ok(Some(data)) if object.matches(&data) => Ok(data),
        Ok(Some(data)) => Err(PayloadFault::Damaged(format!(
            "its {} bytes are not the {} that were written",
            data.len(),
            object.size_bytes
        ))),
        Ok(None) => Err(PayloadFault::Damaged("it is gone".into())),
        Err(error) => Err(PayloadFault::Unavailable(error.to_string())),
    }
}

/// The error of somebody who asked for a payload that cannot be had.
pub(crate) fn payload_error(path: &str, object: &PayloadRef, fault: PayloadFault) -> Error {
    let path = path.to_owned();
    let detail = |text: String| format!("payload object `payloads/{}`: {text}", object.name);
    match fault {
        PayloadFault::Damaged(text) => Error::Corrupted { path, detail: detail(text) },
        PayloadFault::Unavailable(text) => Error::StoreUnavailable { path, detail: detail(text) },
    }
}

/// What a key holds.
pub(crate) async fn value(rows: &dyn Rows, path: &str, key: &KvKey) -> Result<Option<Bytes>> {
    let stored = rows.get(keys::kv(key)).await?;
    stored.map(|stored| value_of(path, key, &stored)).transpose()
}

/// Keys in order.
pub(crate) async fn entries(rows: &dyn Rows, path: &str, range: KvRange) -> Result<KvPage> {
    let mut page = KvPage::default();
    let mut failed = None;
    let mut size_bytes = 0;
    let mut visit = |key: Bytes, stored: Bytes| {
        if page.entries.len() == range.count_max || size_bytes >= LIST_BYTES_MAX {
            page.next = page.entries.last().map(|(key, _)| key.clone());
            return ControlFlow::Break(());
        }
        let Some(key) = keys::kv_of(&key) else { return ControlFlow::Continue(()) };
        match value_of(path, &key, &stored) {
            Ok(value) => {
                size_bytes += value.len();
                page.entries.push((key, value));
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    rows.scan(scan_range(&range), &mut visit).await?;
    failed.map_or(Ok(page), Err)
}

fn scan_range(range: &KvRange) -> ScanRange {
    let tagged = |text: &str| {
        let mut key = Vec::with_capacity(1 + text.len());
        key.push(keys::KV);
        key.extend_from_slice(text.as_bytes());
        Bytes::from(key)
    };
    let mut first = tagged(&range.prefix);
    let mut last = behind(&first);
    if let Some(start) = &range.start {
        first = first.max(tagged(start));
    }
    if let Some(end) = &range.end {
        last = last.min(tagged(end));
    }
    let mut start = Bound::Included(first.clone());
    match &range.after {
        Some(after) if range.reverse => last = last.min(tagged(after.as_str())),
        Some(after) if tagged(after.as_str()) >= first => {
            start = Bound::Excluded(tagged(after.as_str()));
        }
        _ => {}
    }
    ScanRange { start, end: Bound::Excluded(last), reverse: range.reverse, extent: Extent::Page }
}

/// The first key behind all those that start with `prefix`, which is not empty.
fn behind(prefix: &Bytes) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    Bytes::from(end)
}

fn decode_job(path: &str, row: u64, value: &Bytes) -> Result<JobRow<Body>> {
    JobRow::decode(value).map_err(|error| damaged(path, &format!("job row {row}"), &error))
}

fn value_of(path: &str, key: &KvKey, stored: &Bytes) -> Result<Bytes> {
    let what = || format!("the value of key `{}`", crate::ids::clip(key.as_str()));
    decode_value(stored).map_err(|error| damaged(path, &what(), &error))
}

/// What is told of bytes that do not read.
pub(crate) fn damaged(path: &str, what: &str, error: &Undecodable) -> Error {
    Error::Corrupted { path: path.to_owned(), detail: format!("{what}: {}", error.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(prefix: &str) -> KvRange {
        let (start, end, after) = (None, None, None);
        KvRange { prefix: prefix.into(), start, end, reverse: false, after, count_max: 10 }
    }

    fn key(text: &str) -> Bytes {
        Bytes::from(format!("k{text}"))
    }

    #[test]
    fn a_prefix_ends_before_the_next_one() {
        let scan = scan_range(&range("a"));

        assert_eq!(scan.start, Bound::Included(key("a")));
        assert_eq!(scan.end, Bound::Excluded(key("b")));
    }

    #[test]
    fn no_prefix_is_the_whole_space_and_nothing_else() {
        let scan = scan_range(&range(""));

        assert_eq!(scan.start, Bound::Included(key("")));
        assert_eq!(scan.end, Bound::Excluded(Bytes::from_static(b"l")));
    }

    #[test]
    fn the_next_page_begins_behind_the_last_key_in_either_direction() {
        let after = Some("ab".parse().expect("a key"));
        let up = scan_range(&KvRange { after: after.clone(), ..range("a") });
        let down = scan_range(&KvRange { after, reverse: true, ..range("a") });

        assert_eq!(up.start, Bound::Excluded(key("ab")));
        assert_eq!(down.end, Bound::Excluded(key("ab")));
    }

    #[test]
    fn a_start_or_end_outside_the_prefix_does_not_widen_it() {
        let wide = KvRange { start: Some("0".into()), end: Some("z".into()), ..range("m") };
        let scan = scan_range(&wide);

        assert_eq!(scan.start, Bound::Included(key("m")));
        assert_eq!(scan.end, Bound::Excluded(key("n")));
    }
}
