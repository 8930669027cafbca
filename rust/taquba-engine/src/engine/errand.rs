//! Errands: what the loop has done beside it, and what comes back.

use std::sync::Arc;

use bytes::Bytes;

use super::Request;
use super::inbox::Cost;
use super::read;
use crate::command::{JobInfo, Reply};
use crate::error::Result;
use crate::ids::KvKey;
use crate::log::Log;
use crate::record::{PayloadFault, PayloadName, PayloadRef, keys};
use crate::state::{OutletId, Query};

/// What came back.
pub(super) enum Errand {
    /// The rows of jobs whose bodies are needed.
    Bodies(Vec<u64>, Result<Vec<(Bytes, Bytes)>>),
    /// The payload object of a granted job.
    Object(u64, PayloadRef, Result<Bytes, PayloadFault>),
    /// The stored value of a key that somebody compares.
    Value(KvKey, u64, Result<Option<Bytes>>),
    /// The answer to the query with this number.
    Answer(u64, Result<Reply>),
    /// A request whose payloads are objects now.
    Uploaded(Box<Uploaded>),
    /// Objects were deleted, or are left for the next sweep.
    Deleted,
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
    let read = log.get_payload(object.name).await;
    Errand::Object(row, object, read::verified(object, read).await)
}

pub(super) async fn value(log: Arc<dyn Log>, path: String, key: KvKey, number: u64) -> Errand {
    let read = read::value(log.as_ref(), &path, &key).await;
    Errand::Value(key, number, read)
}

pub(super) async fn answer(log: Arc<dyn Log>, path: String, number: u64, query: Query) -> Errand {
    let rows = log.as_ref();
    let answer = match query {
        Query::Run(run_id) => read::run(rows, &path, &run_id).await,
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
        let read = log.get_payload(object.name).await;
        let verified = read::verified(object, read).await;
        info.payload = Some(verified.map_err(|fault| read::payload_error(path, &object, fault))?);
    }
    Ok(Reply::Job(Box::new(info)))
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
    let named: std::collections::BTreeSet<_> = named.into_iter().collect();
    match log.list_payloads().await {
        Ok(found) => {
            let is_orphan = |name: &PayloadName| name.epoch < epoch && !named.contains(name);
            delete(log, found.into_iter().filter(is_orphan).collect()).await
        }
        Err(error) => {
            tracing::warn!(%error, "payload objects were not swept");
            Errand::Deleted
        }
    }
}
