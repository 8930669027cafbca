//! A store, asked directly: what a diagnosis learns of it.
//!
//! # Invariants
//!
//! 1. Every object that is written, read or deleted lies below the probe's own prefix.
//! 2. Every request ends within the probe's time. One that is late is dropped, and is told as such.
//! 3. Nothing of ours stands between a request and the store: what a queue puts right is told as it is.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion,
};
use tokio::time::timeout;

use super::slate::place;
use super::target::Target;
use crate::error::Result;

/// Objects of one listing: more than any probe writes.
const LISTED_COUNT_MAX: usize = 1_000;

/// When to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteIf {
    /// In any case.
    Always,
    /// If there is no object.
    Absent,
    /// If the object is still this one.
    Unchanged(ObjectVersion),
}

/// What tells two forms of one object apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The entity tag.
    pub e_tag: Option<String>,
    /// The number or name that some stores give beside it.
    pub version: Option<String>,
}

/// When and what to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadIf {
    /// The first byte, and the one behind the last.
    pub range: Option<(u64, u64)>,
    /// If the entity tag is this one.
    pub matches: Option<String>,
    /// If the entity tag is another one.
    pub differs: Option<String>,
}

/// An object as the store shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Its name below the probe's prefix.
    pub name: String,
    /// Its size. 0 in the answer of a write.
    pub size_bytes: u64,
    /// When it was written, by the store's clock; `None` in the answer of a write.
    pub modified_at_ms: Option<i64>,
    /// Which form of it.
    pub version: ObjectVersion,
    /// Metadata of its writer; empty unless it was read.
    pub metadata: BTreeMap<String, String>,
    /// Its bytes, or those asked for; empty unless it was read.
    pub body: Bytes,
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable name of the kind.
    pub code: &'static str,
    /// What the store said.
    pub detail: String,
}

/// What a store said.
pub type Said = std::result::Result<Vec<Shown>, Refusal>;

/// Requests to the objects below one prefix of a store.
#[derive(Clone, Debug)]
pub struct Probe {
    store: Arc<dyn ObjectStore>,
    root: Path,
    limit: Duration,
}

impl Probe {
    /// Asks the store nothing. `limit` is how long each request may take.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidStore`] if `prefix` is no path.
    pub fn new(target: &Target, prefix: &str, limit: Duration) -> Result<Self> {
        let (root, _) = place(target, prefix)?;
        Ok(Self { store: Arc::clone(&target.store), root, limit })
    }

    /// Writes an object with one request.
    ///
    /// # Errors
    ///
    /// What the store refused it with, or that it gave no answer in time.
    pub async fn put(
        &self,
        name: &str,
        body: Bytes,
        condition: WriteIf,
        metadata: BTreeMap<String, String>,
    ) -> Said {
        let mode = match condition {
            WriteIf::Always => PutMode::Overwrite,
            WriteIf::Absent => PutMode::Create,
            WriteIf::Unchanged(ObjectVersion { e_tag, version }) => {
                PutMode::Update(UpdateVersion { e_tag, version })
            }
        };
        let named = |(key, value): (String, String)| (Attribute::Metadata(key.into()), value);
        let attributes: Attributes = metadata.into_iter().map(named).collect();
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let at = self.at(name);
        let put = self.store.put_opts(&at, body.into(), options);
        self.ask(async { put.await.map(|written| vec![self.written(&at, written)]) }).await
    }

    /// Writes an object as a multipart upload of one part, or gives that up at its end.
    ///
    /// # Errors
    ///
    /// What the store refused it with, or that it gave no answer in time.
    pub async fn upload(&self, name: &str, body: Bytes, is_completed: bool) -> Said {
        let at = self.at(name);
        self.ask(async {
            let mut upload = self.store.put_multipart(&at).await?;
            if let Err(error) = upload.put_part(PutPayload::from(body)).await {
                upload.abort().await?;
                return Err(error);
            }
            if !is_completed {
                upload.abort().await?;
                return Ok(Vec::new());
            }
            upload.complete().await.map(|written| vec![self.written(&at, written)])
        })
        .await
    }

    /// Reads an object, or a part of it.
    ///
    /// # Errors
    ///
    /// What the store refused it with, or that it gave no answer in time.
    pub async fn get(&self, name: &str, condition: ReadIf) -> Said {
        let at = self.at(name);
        let range = condition.range.map(|(start, end)| GetRange::Bounded(start..end));
        let options = GetOptions {
            range,
            if_match: condition.matches,
            if_none_match: condition.differs,
            ..GetOptions::default()
        };
        self.ask(async {
            let found = self.store.get_opts(&at, options).await?;
            let metadata = found.attributes.iter().filter_map(|(key, value)| match key {
                Attribute::Metadata(name) => Some((name.to_string(), value.to_string())),
                _ => None,
            });
            let shown = Shown { metadata: metadata.collect(), ..self.listed(&found.meta) };
            Ok(vec![Shown { body: found.bytes().await?, ..shown }])
        })
        .await
    }

    /// Lists what is below a directory of the prefix, in the order in which the store does.
    ///
    /// # Errors
    ///
    /// What the store refused it with, or that it gave no answer in time.
    pub async fn list(&self, directory: &str) -> Said {
        let at = self.at(directory);
        let listed = self.store.list(Some(&at)).take(LISTED_COUNT_MAX);
        self.ask(listed.map_ok(|meta| self.listed(&meta)).try_collect()).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    ///
    /// What the store refused it with, or that it gave no answer in time.
    pub async fn delete(&self, name: &str) -> Said {
        let at = self.at(name);
        self.ask(async { self.store.delete(&at).await.map(|()| Vec::new()) }).await
    }

    /// A name's path: no text leads out of the prefix, because `..` is escaped as any other.
    fn at(&self, name: &str) -> Path {
        let parts = name.split('/').filter(|part| !part.is_empty());
        parts.fold(self.root.clone(), Path::join)
    }

    fn name_of(&self, at: &Path) -> String {
        match at.prefix_match(&self.root) {
            Some(parts) => parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"),
            None => at.to_string(),
        }
    }

    fn written(&self, at: &Path, result: PutResult) -> Shown {
        let version = ObjectVersion { e_tag: result.e_tag, version: result.version };
        Shown { name: self.name_of(at), version, ..Shown::default() }
    }

    fn listed(&self, meta: &ObjectMeta) -> Shown {
        let version = ObjectVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() };
        Shown {
            name: self.name_of(&meta.location),
            size_bytes: meta.size,
            modified_at_ms: Some(meta.last_modified.timestamp_millis()),
            version,
            ..Shown::default()
        }
    }

    async fn ask(&self, request: impl Future<Output = object_store::Result<Vec<Shown>>>) -> Said {
        match timeout(self.limit, request).await {
            Ok(said) => said.map_err(|error| refusal(&error)),
            Err(_) => Err(Refusal {
                code: "timeout",
                detail: format!("no answer within {} s", self.limit.as_secs_f32()),
            }),
        }
    }
}

/// What a failure is called, and what the store said of it.
fn refusal(error: &StoreError) -> Refusal {
    let code = match error {
        StoreError::NotFound { .. } => "not-found",
        StoreError::AlreadyExists { .. } => "already-exists",
        StoreError::Precondition { .. } => "precondition",
        StoreError::NotModified { .. } => "not-modified",
        StoreError::PermissionDenied { .. } => "denied",
        StoreError::Unauthenticated { .. } => "unauthenticated",
        StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } => "unsupported",
        _ => "failed",
    };
    let mut detail = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let said = deeper.to_string();
        if !detail.contains(&said) {
            detail = format!("{detail}: {said}");
        }
        cause = deeper.source();
    }
    Refusal { code, detail }
}
