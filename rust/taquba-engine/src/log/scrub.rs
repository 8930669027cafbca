//! Scrubbing the objects of a database: each is read, and the database is not opened.
//!
//! # Invariants
//!
//! 1. Nothing is written, nobody is fenced.
//! 2. A damaged object is a finding that names it, and the next one is read all the same. What keeps the
//!    store itself from being read is an error.
//! 3. One object is in memory at a time, of a table one part.
//!
//! Manifests and lists of compactions carry no checksum: of those a finding tells what does not read, and
//! cannot tell a changed number.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use slatedb::admin::Admin;
use slatedb::manifest::{SsTableHandle, SsTableInfo};
use slatedb::{SstReader, VersionedManifest, WalReader};

use super::file::{self, FileLog, SIGNPOST};
use super::guard::GuardedStore;
use super::settings::{COMMIT_TIMEOUT, OPEN_TIMEOUT, block_cache};
use super::slate::{place, probe, within};
use super::target::Target;
use super::{failure, fence, owner, payloads};
use crate::command::OwnerInfo;
use crate::error::{Error, Result};
use crate::record::PayloadName;

/// What follows a part of a table: its checksum.
const CHECKSUM_BYTES: usize = 4;

/// What is told of an object at which the storage engine panicked: it takes some numbers for its own.
const SENSELESS: &str = "the storage engine cannot make sense of it";

/// What is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Its name below the database's path.
    pub object: String,
    /// What is wrong.
    pub detail: String,
    /// Whether opening the store needs it.
    pub is_needed: bool,
}

/// What was found below a database's path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    /// Objects of every kind.
    pub count: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// Damage.
    pub findings: Vec<Finding>,
    /// Who owns the store.
    pub owner: Option<OwnerInfo>,
}

/// The objects of one database.
pub(crate) struct Scrubber {
    store: Arc<GuardedStore>,
    root: Path,
    path: String,
    log: Option<FileLog>,
    admin: Admin,
}

/// What a listing shows of the storage engine's objects.
#[derive(Default)]
struct Listing {
    count: u64,
    size_bytes: u64,
    manifests: BTreeSet<u64>,
    compactions: BTreeSet<u64>,
    /// Log objects, and whether each has content: fences have none.
    log: BTreeMap<u64, bool>,
    has_signpost: bool,
    /// Fences whose markers are not what is written.
    markers: Vec<String>,
}

impl Scrubber {
    /// Asks the store one question; reads nothing yet.
    ///
    /// # Errors
    ///
    /// What keeps the store from being used, within `store_timeout` if it does not answer.
    pub async fn open(target: &Target, path: &str, store_timeout: Duration) -> Result<Self> {
        let (root, path) = place(target, path)?;
        let store = Arc::new(GuardedStore::new(Arc::clone(&target.store), target.attribution()));
        probe(&store, &root, &path, store_timeout).await?;
        let dir = target.dir_of(&root);
        let log = dir.map(|dir| file::find(&dir, &path)).transpose()?.flatten();
        let admin = Admin::builder(root.clone(), Arc::clone(&store) as _).build();
        Ok(Self { store, root, path, log, admin })
    }

    /// What messages call the database.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads every object of the storage engine.
    ///
    /// # Errors
    ///
    /// What keeps the store from being read; [`Error::StoreNotFound`] if there is nothing at all.
    pub async fn objects(&self) -> Result<Objects> {
        let listing = self.list().await?;
        if listing.count == 0 {
            let detail = "there are no objects of a queue; `Queue.open` makes one".to_owned();
            return Err(Error::StoreNotFound { path: self.path.clone(), detail });
        }
        let mut findings = Vec::new();
        let owner = self.owner(&mut findings).await?;
        let newest = self.manifests(&listing, &mut findings).await?;
        self.compactions(&listing, &mut findings).await?;
        if let Some(manifest) = newest {
            self.tables(&manifest, &mut findings).await?;
            self.log_objects(&listing, manifest.replay_after_wal_id(), &mut findings).await?;
        }
        self.fences(&listing, &mut findings).await?;
        self.log_files(&listing, &mut findings).await?;
        let Listing { count, size_bytes, .. } = listing;
        Ok(Objects { count, size_bytes, findings, owner })
    }

    /// Who owns the store now.
    ///
    /// # Errors
    ///
    /// What keeps the store from being read.
    pub async fn current_owner(&self) -> Result<Option<OwnerInfo>> {
        self.ask(owner::read_owner(self.store.as_ref(), &self.root)).await
    }

    /// Reads a payload object; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// What keeps the store from being read.
    pub async fn get_payload(&self, name: PayloadName) -> Result<Option<Bytes>> {
        self.ask(payloads::get(self.store.as_ref(), &self.root, name)).await
    }

    /// The names of all payload objects.
    ///
    /// # Errors
    ///
    /// What keeps the store from being read.
    pub async fn list_payloads(&self) -> Result<Vec<PayloadName>> {
        self.ask(payloads::list(self.store.as_ref(), &self.root)).await
    }

    async fn list(&self) -> Result<Listing> {
        let (mut listing, mut objects) = (Listing::default(), self.store.list(Some(&self.root)));
        loop {
            let next = within(&self.path, COMMIT_TIMEOUT, objects.try_next()).await?;
            match next.map_err(|error| failure::of_store(&self.path, &error))? {
                Some(object) => listing.add(&self.root, &object),
                None => return Ok(listing),
            }
        }
    }

    async fn owner(&self, findings: &mut Vec<Finding>) -> Result<Option<OwnerInfo>> {
        let owner = self.current_owner().await?;
        // What stands for a sign that does not read.
        if owner.as_ref().is_some_and(|owner| owner.pid == 0) {
            findings.push(Finding::spare("owner/", "the newest sign of life does not read"));
        }
        Ok(owner)
    }

    /// Reads all manifests. Returns the newest one that reads.
    async fn manifests(
        &self,
        listing: &Listing,
        findings: &mut Vec<Finding>,
    ) -> Result<Option<VersionedManifest>> {
        let mut newest = None;
        for &id in &listing.manifests {
            let is_newest = listing.manifests.last() == Some(&id);
            let object = format!("manifest/{id:020}.manifest");
            match self.read(self.admin.read_manifest(Some(id))).await? {
                Ok(Some(manifest)) => newest = Some(manifest),
                // Deleted after it was listed.
                Ok(None) => {}
                Err(detail) => findings.push(Finding { object, detail, is_needed: is_newest }),
            }
        }
        if listing.manifests.is_empty() {
            findings.push(Finding::needed("manifest/", "there is no manifest"));
        }
        Ok(newest)
    }

    async fn compactions(&self, listing: &Listing, findings: &mut Vec<Finding>) -> Result<()> {
        for &id in &listing.compactions {
            let is_needed = listing.compactions.last() == Some(&id);
            let object = format!("compactions/{id:020}.compactions");
            if let Err(detail) = self.read(self.admin.read_compactions(Some(id))).await? {
                findings.push(Finding { object, detail, is_needed });
            }
        }
        Ok(())
    }

    /// Reads what tells the parts of each table that the manifest names, and the parts that no scan
    /// of the rows reads. The blocks are read with the rows.
    async fn tables(
        &self,
        manifest: &VersionedManifest,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let reader = SstReader::new(
            self.root.clone(),
            Arc::clone(&self.store) as _,
            Some(block_cache()),
            None,
        );
        let views = manifest.all_sst_views();
        let tables: BTreeMap<String, SsTableHandle> = views
            .map(|view| (format!("compacted/{}.sst", view.sst.id.value()), view.sst.clone()))
            .collect();
        for (object, handle) in tables {
            let work = AssertUnwindSafe(self.table(&reader, &object, handle)).catch_unwind();
            let read = within(&self.path, OPEN_TIMEOUT, Box::pin(work)).await?;
            let Err(detail) = read.unwrap_or_else(|_| Err(SENSELESS.to_owned())) else { continue };
            // Its owner may have put another one in its place.
            if self.is_in_use(&object).await? {
                findings.push(Finding { object, detail, is_needed: true });
            }
        }
        Ok(())
    }

    async fn table(
        &self,
        reader: &SstReader,
        object: &str,
        handle: SsTableHandle,
    ) -> Result<(), String> {
        let known = reader.open_with_handle(handle).map_err(|error| told(&error))?;
        let table = reader.open(known.id()).await.map_err(|error| told(&error))?;
        if table.info() != known.info() {
            return Err("its footer is not the one that the manifest has".to_owned());
        }
        table.stats().await.map_err(|error| told(&error))?;
        table.index().await.map_err(|error| told(&error))?;
        self.filter(object, table.info()).await
    }

    async fn filter(&self, object: &str, info: &SsTableInfo) -> Result<(), String> {
        if info.filter_len == 0 {
            return Ok(());
        }
        let at = self.below(object);
        let range = info.filter_offset..info.filter_offset + info.filter_len;
        let part = self.store.get_range(&at, range).await.map_err(|error| error.to_string())?;
        let (data, checksum) = part.split_at(part.len().saturating_sub(CHECKSUM_BYTES));
        let is_whole = checksum == crc32fast::hash(data).to_be_bytes();
        if is_whole { Ok(()) } else { Err("the checksum of its filter is another".to_owned()) }
    }

    /// Whether the manifest that is newest now names this table.
    async fn is_in_use(&self, object: &str) -> Result<bool> {
        let Ok(Some(manifest)) = self.read(self.admin.read_manifest(None)).await? else {
            return Ok(true);
        };
        let mut views = manifest.all_sst_views();
        Ok(views.any(|view| format!("compacted/{}.sst", view.sst.id.value()) == object))
    }

    /// Reads the log of a database whose log is objects.
    async fn log_objects(
        &self,
        listing: &Listing,
        after_id: u64,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let reader = WalReader::new(self.root.clone(), Arc::clone(&self.store) as _);
        for (&id, _) in listing.log.iter().filter(|(_, has_content)| **has_content) {
            let work = async {
                let mut rows = reader.get(id).iterator().await?;
                while rows.next().await?.is_some() {}
                Ok(())
            };
            let Err(detail) = self.read(work).await? else { continue };
            let object = format!("wal/{id:020}.sst");
            if self.is_there(&object).await? {
                findings.push(Finding { object, detail, is_needed: id > after_id });
            }
        }
        let needed: Vec<u64> = listing.log.range(after_id + 1..).map(|(id, _)| *id).collect();
        let first = needed.first().map(|_| after_id);
        for (before, next) in first.into_iter().chain(needed.iter().copied()).zip(&needed) {
            if before + 1 < *next {
                let object = format!("wal/{:020}.sst", before + 1);
                let detail = format!("is missing, and so is all up to {next:020}.sst");
                findings.push(Finding { object, detail, is_needed: true });
            }
        }
        Ok(())
    }

    async fn fences(&self, listing: &Listing, findings: &mut Vec<Finding>) -> Result<()> {
        if self.log.is_none() {
            for object in self.ask(fence::unannounced(self.store.as_ref(), &self.root)).await? {
                let detail = "it has lost its content";
                findings.push(Finding::needed(&name_below(&self.root, &object), detail));
            }
        }
        for object in &listing.markers {
            findings.push(Finding::spare(object, "this marker of a fence is not what was written"));
        }
        Ok(())
    }

    /// Reads the log of a database whose log is files.
    async fn log_files(&self, listing: &Listing, findings: &mut Vec<Finding>) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        if !listing.has_signpost {
            let detail = "is missing: a copy of the store in a bucket would be taken for one without \
                          a log of its own";
            findings.push(Finding::needed(&format!("wal/{SIGNPOST}"), detail));
        }
        let scrubbed = within(&self.path, OPEN_TIMEOUT, log.scrub()).await?;
        let damage = scrubbed.map_err(|fault| failure::of_file(&self.path, &fault))?;
        let damage = damage.into_iter();
        findings.extend(damage.map(|(object, detail)| Finding { object, detail, is_needed: true }));
        Ok(())
    }

    async fn is_there(&self, object: &str) -> Result<bool> {
        let at = self.below(object);
        match within(&self.path, COMMIT_TIMEOUT, self.store.head(&at)).await? {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(failure::of_store(&self.path, &error)),
        }
    }

    fn below(&self, object: &str) -> Path {
        object.split('/').fold(self.root.clone(), Path::join)
    }

    /// Has the storage engine read something. Damage is told in words; what is no damage is an error.
    async fn read<T>(
        &self,
        work: impl Future<Output = Result<T, slatedb::Error>>,
    ) -> Result<Result<T, String>> {
        let work = AssertUnwindSafe(work).catch_unwind();
        match within(&self.path, OPEN_TIMEOUT, Box::pin(work)).await? {
            Ok(Ok(value)) => Ok(Ok(value)),
            Ok(Err(error)) => match failure::of_open(&self.path, &error) {
                Error::Corrupted { detail, .. } => Ok(Err(detail)),
                other => Err(other),
            },
            Err(_) => Ok(Err(SENSELESS.to_owned())),
        }
    }

    async fn ask<T>(&self, work: impl Future<Output = object_store::Result<T>>) -> Result<T> {
        let answer = within(&self.path, COMMIT_TIMEOUT, work).await?;
        answer.map_err(|error| failure::of_store(&self.path, &error))
    }
}

impl Listing {
    fn add(&mut self, root: &Path, object: &ObjectMeta) {
        self.count += 1;
        self.size_bytes += object.size;
        let name = name_below(root, &object.location);
        let Some((dir, file)) = name.split_once('/') else { return };
        let id = |suffix| file.strip_suffix(suffix).and_then(|id| id.parse::<u64>().ok());
        match dir {
            "manifest" => self.manifests.extend(id(".manifest")),
            "compactions" => self.compactions.extend(id(".compactions")),
            "wal" if file == SIGNPOST => self.has_signpost = true,
            "wal" => self.log.extend(id(".sst").map(|id| (id, object.size > 0))),
            "fences" if object.size != fence::MARKER.len() as u64 => self.markers.push(name),
            _ => {}
        }
    }
}

impl Finding {
    fn needed(object: &str, detail: &str) -> Self {
        Self { object: object.to_owned(), detail: detail.to_owned(), is_needed: true }
    }

    fn spare(object: &str, detail: &str) -> Self {
        Self { is_needed: false, ..Self::needed(object, detail) }
    }
}

fn told(error: &slatedb::Error) -> String {
    failure::of_open("", error).to_string()
}

fn name_below(root: &Path, location: &Path) -> String {
    location.prefix_match(root).map_or_else(
        || location.to_string(),
        |parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"),
    )
}
