//! Payload objects: those that rows name are there and are what was written.
//!
//! # Invariants
//!
//! 1. Objects that nobody names are counted and are no problem: an upload comes before its row.
//! 2. An object that is missing is told only if its row names it after that was seen: an owner deletes
//!    the row first.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use bytes::Bytes;

use super::census::name_of;
use super::report::{ProblemKind, Report};
use crate::engine::read;
use crate::error::{Error, Result};
use crate::log::{Log, Rows, Scrubber};
use crate::record::{JobRow, PayloadFault, PayloadName, PayloadRef, decode_memo, keys};

/// Payload objects, to be read.
#[async_trait]
pub trait Payloads: Send + Sync {
    /// Reads one; `None` if it is not there.
    async fn get_payload(&self, name: PayloadName) -> Result<Option<Bytes>>;

    /// The names of all.
    async fn list_payloads(&self) -> Result<Vec<PayloadName>>;
}

#[async_trait]
impl<L: Log + ?Sized> Payloads for L {
    async fn get_payload(&self, name: PayloadName) -> Result<Option<Bytes>> {
        Log::get_payload(self, name).await
    }

    async fn list_payloads(&self) -> Result<Vec<PayloadName>> {
        Log::list_payloads(self).await
    }
}

#[async_trait]
impl Payloads for Scrubber {
    async fn get_payload(&self, name: PayloadName) -> Result<Option<Bytes>> {
        Self::get_payload(self, name).await
    }

    async fn list_payloads(&self) -> Result<Vec<PayloadName>> {
        Self::list_payloads(self).await
    }
}

/// Which row names an object.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Job { row: u64, turn: u32 },
    Memo { key: Bytes },
}

impl Origin {
    fn key(&self) -> Bytes {
        match self {
            Self::Job { row, .. } => keys::job(*row),
            Self::Memo { key } => key.clone(),
        }
    }
}

/// Objects that rows name.
#[derive(Default)]
pub(super) struct Named {
    refs: BTreeMap<PayloadName, (PayloadRef, Origin)>,
    /// Objects of memos, by the row of their run, that have no row of their own yet.
    unlisted: BTreeMap<(u64, PayloadName), Bytes>,
    /// Objects that some memo named, and may not any more.
    listed: BTreeSet<PayloadName>,
}

impl Named {
    pub fn add(&mut self, origin: Origin, object: PayloadRef, report: &mut Report) {
        if let Origin::Memo { key } = &origin {
            let run = key.get(..9).and_then(keys::row_of).unwrap_or_default();
            self.unlisted.insert((run, object.name), key.clone());
        }
        if let Some((_, other)) = self.refs.get(&object.name) {
            let detail = format!(
                "payload object `{}` is named by {} too",
                object.name,
                name_of(&other.key())
            );
            report.add(ProblemKind::PayloadShared, name_of(&origin.key()), detail);
            return;
        }
        self.refs.insert(object.name, (object, origin));
    }

    /// A row that says that a memo of that run names the object.
    pub fn add_listed(&mut self, row: u64, name: PayloadName) {
        self.unlisted.remove(&(row, name));
        self.listed.insert(name);
    }

    /// All rows were there.
    pub fn end_rows(&self, report: &mut Report) {
        for ((_, name), key) in &self.unlisted {
            let detail = format!("nothing says that it names payload object `{name}`");
            report.add(ProblemKind::Memo, name_of(key), detail);
        }
    }

    /// Reads every object. What is damaged or gone is not told yet: its row may have gone as well.
    pub async fn look_at(&self, payloads: &dyn Payloads, report: &mut Report) -> Vec<Suspect> {
        let mut suspects = Vec::new();
        for (object, origin) in self.refs.values() {
            let read = payloads.get_payload(object.name).await;
            let kind = match &read {
                Ok(None) => ProblemKind::PayloadMissing,
                Ok(Some(_)) | Err(Error::Corrupted { .. }) => ProblemKind::PayloadDamaged,
                Err(error) => {
                    report.stop(error.clone());
                    return suspects;
                }
            };
            match read::verified(*object, read).await {
                Ok(data) => {
                    report.payload_object_count += 1;
                    report.payload_bytes += data.len() as u64;
                }
                Err(PayloadFault::Damaged(detail) | PayloadFault::Unavailable(detail)) => {
                    let (object, origin) = (*object, origin.clone());
                    suspects.push(Suspect { object, origin, kind, detail });
                }
            }
        }
        suspects
    }

    /// Looks for objects that nobody names, and for those of memos that were written over: they are deleted
    /// with their run's. `is_moving`: rows and objects are not of one instant.
    pub async fn list(&self, is_moving: bool, payloads: &dyn Payloads, report: &mut Report) {
        let found: BTreeSet<PayloadName> = match payloads.list_payloads().await {
            Ok(found) => found.into_iter().collect(),
            Err(error) => return report.stop(error),
        };
        let is_named =
            |name: &&PayloadName| self.refs.contains_key(*name) || self.listed.contains(*name);
        report.orphan_count = found.iter().filter(|name| !is_named(name)).count() as u64;
        let is_lost =
            |name: &&PayloadName| !found.contains(*name) && !self.refs.contains_key(*name);
        for name in self.listed.iter().filter(is_lost).filter(|_| !is_moving) {
            let detail = "a run's memos named it, and it is gone".to_owned();
            report.add(ProblemKind::PayloadMissing, object_of(name), detail);
        }
    }
}

/// An object that is damaged or gone.
pub(super) struct Suspect {
    object: PayloadRef,
    origin: Origin,
    kind: ProblemKind,
    detail: String,
}

impl Suspect {
    /// It is needed: tells it.
    pub fn tell(self, report: &mut Report) {
        let detail = format!("{}; {} names it", self.detail, name_of(&self.origin.key()));
        report.add(self.kind, object_of(&self.object.name), detail);
    }

    /// Whether these rows name it still.
    pub async fn is_named(&self, rows: &dyn Rows) -> bool {
        is_named(rows, &self.origin, &self.object).await
    }
}

/// Whether the row is there and names the object. If it cannot be read, it is taken to.
async fn is_named(rows: &dyn Rows, origin: &Origin, object: &PayloadRef) -> bool {
    let Ok(value) = rows.get(origin.key()).await else { return true };
    let Some(value) = value else { return false };
    let payload = match origin {
        Origin::Job { turn, .. } => JobRow::decode(&value)
            .ok()
            .filter(|stored| stored.turn == *turn)
            .map(|stored| stored.body.payload),
        Origin::Memo { .. } => decode_memo(&value).ok(),
    };
    payload.is_some_and(|payload| payload.object() == Some(object))
}

fn object_of(name: &PayloadName) -> String {
    format!("payloads/{name}")
}
