//! Errands: what the loop has done beside it, and what comes back.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::Request;
use super::inbox::Cost;
use super::read;
use crate::command::{JobInfo, Reply};
use crate::error::{Error, Result};
use crate::ids::KvKey;
use crate::log::{Log, ScanRange};
use crate::record::{Payload, PayloadFault, PayloadName, PayloadRef, keys};
use crate::state::{FoundMemos, MemoPlace, OutletId, Query};

/// Runs whose memos are looked for at once.
const SWEEPS_MAX: usize = 8;

/// What came back.
pub(super) enum Errand {
    /// The rows of jobs whose bodies are needed.
    Bodies(Vec<u64>, Result<Vec<(Bytes, Bytes)>>),
    /// The payload object of a granted job.
    Object(u64, PayloadRef, Result<Bytes, PayloadFault>),
    /// The stored value of a key that somebody compares.
    Value(KvKey, u64, Result<Option<Bytes>>),
    /// The memos of the run that was submitted under this row.
    Memos(u64, Result<FoundMemos>),
    /// The answer to the query with this number.
    Answer(u64, Result<Reply>),
    /// A request whose payloads are objects now.
    Uploaded(Box<Uploaded>),
    /// Objects were deleted, or are left for the next sweep.
    Deleted,
}

/// Sweeps of memos that are due: so many at once that other errands get their turn.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    due: VecDeque<u64>,
    under_way_count: usize,
}

impl Sweeps {
    pub fn add(&mut self, rows: Vec<u64>) {
        self.due.extend(rows);
    }

    /// Takes the next one, if it may begin.
    pub fn begin(&mut self) -> Option<u64> {
        if self.under_way_count == SWEEPS_MAX {
            return None;
        }
        let row = self.due.pop_front()?;
        self.under_way_count += 1;
        Some(row)
    }

    pub fn end(&mut self) {
        self.under_way_count -= 1;
    }
}

/// A request, and what was uploaded for it.
pub(super) struct Uploaded {
    pub outlet: OutletId,
    pub request: Request,
    pub cost: Cost,
    pub names: Vec<PayloadName>,
    pub result: Result<Vec<PayloadRef>>,
}

pub(super) async fn bodies(log: Arc<dyn Log>, rows: Vec<u64>) -> Errand {
    let read = log.get_many(rows.iter().copied().map(keys::job).collect()).await;
    Errand::Bodies(rows, read)
}

pub(super) async fn object(log: Arc<dyn Log>, row: u64, object: PayloadRef) -> Errand {
    let read = read_object(log.as_ref(), object).await;
    Errand::Object(row, object, read)
}

pub(super) async fn value(log: Arc<dyn Log>, path: String, key: KvKey, number: u64) -> Errand {
    let read = read::value(log.as_ref(), &path, &key).await;
    Errand::Value(key, number, read)
}

pub(super) async fn answer(log: Arc<dyn Log>, path: String, number: u64, query: Query) -> Errand {
    let rows = log.as_ref();
    let answer = match query {
        Query::Outcome(run_id) => read::outcome(rows, &path, &run_id).await,
        Query::Run(view) => {
            read::run(rows, &path, view).await.map(|info| Reply::Run(Box::new(info)))
        }
        Query::Runs(views, next) => read::runs(rows, &path, views, next).await.map(Reply::Runs),
        Query::Result(run_id) => read::result(rows, &path, &run_id).await.map(Reply::Value),
        Query::Memos(row, after, count_max) => {
            read::memos(rows, &path, row, after, count_max).await.map(Reply::Memos)
        }
        Query::Memo(place) => memo(rows, &path, place).await.map(Reply::Value),
        Query::Job(view) => match read::job(rows, &path, view).await {
            Ok((info, object)) => with_payload(rows, &path, info, object).await,
            Err(error) => Err(error),
        },
        Query::Jobs(views, next) => read::jobs(rows, &path, views, next).await.map(Reply::Jobs),
        Query::Value(key) => read::value(rows, &path, &key).await.map(Reply::Value),
        Query::Range(range) => read::entries(rows, &path, range).await.map(Reply::Entries),
        Query::Owner => rows.owner().await.map(Reply::Owner),
    };
    Errand::Answer(number, answer)
}

async fn with_payload(
    log: &dyn Log,
    path: &str,
    mut info: JobInfo,
    object: Option<PayloadRef>,
) -> Result<Reply> {
    if let Some(object) = object {
        let read = read_object(log, object).await;
        info.payload = Some(read.map_err(|fault| read::payload_error(path, &object, fault))?);
    }
    Ok(Reply::Job(Box::new(info)))
}

/// What a memo holds. Its object may go while it is read, if the memo is written anew.
async fn memo(log: &dyn Log, path: &str, place: MemoPlace) -> Result<Option<Bytes>> {
    let mut memo = read::memo(log, path, &place).await?;
    loop {
        let object = match memo {
            None => return Ok(None),
            Some(Payload::Inline(value)) => return Ok(Some(value)),
            Some(Payload::Object(object)) => object,
        };
        let fault = match read_object(log, object).await {
            Ok(value) => return Ok(Some(value)),
            Err(fault) => fault,
        };
        memo = read::memo(log, path, &place).await?;
        if memo == Some(Payload::Object(object)) {
            return Err(memo_error(path, &object, fault));
        }
    }
}

fn memo_error(path: &str, object: &PayloadRef, fault: PayloadFault) -> Error {
    match fault {
        PayloadFault::Damaged(detail) => Error::MemoCorrupted {
            place: format!("memo object `payloads/{}` in the store at `{path}`", object.name),
            detail,
        },
        PayloadFault::Unavailable(_) => read::payload_error(path, object, fault),
    }
}

/// Reads an object. What is damaged is read once more: it may have been damaged on its way.
async fn read_object(log: &dyn Log, object: PayloadRef) -> Result<Bytes, PayloadFault> {
    let read = log.get_payload(object.name).await;
    match read::verified(object, read).await {
        Err(PayloadFault::Damaged(_)) => {
            let again = log.get_payload(object.name).await;
            read::verified(object, again).await
        }
        verified => verified,
    }
}

/// Finds the memos of a run that has ended.
pub(super) async fn memos(log: Arc<dyn Log>, row: u64) -> Errand {
    let found = read::memos_of_run(log.as_ref(), row).await;
    Errand::Memos(row, found)
}

/// Deletes objects that no row names. One that resists is swept at the next open.
pub(super) async fn delete(log: Arc<dyn Log>, names: Vec<PayloadName>) -> Errand {
    for name in names {
        if let Err(error) = log.delete_payload(name).await {
            tracing::warn!(%name, %error, "a payload object stays until the next open");
        }
    }
    Errand::Deleted
}

/// Deletes what earlier owners uploaded and no row names.
pub(super) async fn sweep(log: Arc<dyn Log>, epoch: u32, named: Vec<PayloadName>) -> Errand {
    match objects_and_names(log.as_ref(), named).await {
        Ok((found, named)) => {
            let is_orphan = |name: &PayloadName| name.epoch < epoch && !named.contains(name);
            delete(log, found.into_iter().filter(is_orphan).collect()).await
        }
        Err(error) => {
            tracing::warn!(%error, "payload objects were not swept");
            Errand::Deleted
        }
    }
}

/// All payload objects that are there, and those that rows name, memos' rows among them.
async fn objects_and_names(
    log: &dyn Log,
    named: Vec<PayloadName>,
) -> Result<(Vec<PayloadName>, BTreeSet<PayloadName>)> {
    let found = log.list_payloads().await?;
    let mut named: BTreeSet<_> = named.into_iter().collect();
    if !found.is_empty() {
        let mut visit = |key: Bytes, _: Bytes| {
            named.extend(keys::memo_object_name_of(&key));
            ControlFlow::Continue(())
        };
        log.scan(ScanRange::of_tag(keys::MEMO_OBJECT), &mut visit).await?;
    }
    Ok((found, named))
}

/// Who has lost the store gives out nothing more, and does not wait for a commit to hear it.
pub(super) fn lost_store<T>(read: &Result<T>) -> Result<()> {
    match read {
        Err(error @ Error::Fenced { .. }) => Err(error.clone()),
        _ => Ok(()),
    }
}
