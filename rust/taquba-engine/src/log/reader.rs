//! A database that somebody else owns, to be read.
//!
//! It writes nothing, not even a checkpoint, and so fences nobody and needs no right to write. The
//! price: nothing keeps the owner from tidying up behind it. Whoever reads calls
//! [`SlateReader::refresh`] first, and [`SlateReader::reopen`] if a read fails all the same.
//!
//! # Freshness
//!
//! [`SlateReader::refresh`] takes in everything that was durable when it was called, from the log
//! objects behind the last manifest as well. There is no polling in between: it costs a dozen small
//! requests, an idle reader costs none. The storage engine offers no such call, only a poller with an
//! interval and a clock to measure it, so it gets a clock that stands still until we ask
//! (`reader/pace.rs`). Each refresh that finds something adds a table to look through; they are merged
//! when the owner flushes or the view is replaced. With 3,000 of them a `get` took 2.5 ms.
//!
//! # Invariants
//!
//! 1. Nothing is written to the store.
//! 2. A refresh that failed is told as such, never passed over: the storage engine only logs it.
//! 3. A view that was left alone for [`VIEW_AGE_MAX`] is not refreshed but replaced. The storage engine
//!    looks for the next manifest by number and takes a missing one for "no news"; by then the
//!    owner may have written hundreds and deleted the oldest.

mod pace;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::ObjectStore as _;
use object_store::path::Path;
use parking_lot::Mutex;
use slatedb::config::DbReaderOptions;
use slatedb::db_cache::DbCache;
use slatedb::wal::{SlateDbWalReaderBuilder, WalReader};
use slatedb::{DbReader, DbReaderMode};

use super::file::{self, FileLog};
use super::guard::GuardedStore;
use super::settings::{COMMIT_TIMEOUT, MANIFEST_AGE_MIN_S, OPEN_TIMEOUT, block_cache};
use super::slate::{OPEN_PAUSE, OPEN_TRIES_MAX, check_log, place, probe, within};
use super::target::Target;
use super::{Rows, ScanRange, StoreCounts, Visit, failure, owner, payloads, rows};
use crate::clock::{Clock as _, SystemClock};
use crate::command::OwnerInfo;
use crate::error::{Error, Result};
use crate::record::PayloadName;

use pace::{NEVER, Pace, PacedClock, WatchedLog};

/// Longest time between two looks at one view.
const VIEW_AGE_MAX: Duration = Duration::from_secs(60);

// A look may take as long as a commit may, and the owner's clock may run ahead of ours.
const _: () = assert!(VIEW_AGE_MAX.as_secs() + 2 * COMMIT_TIMEOUT.as_secs() <= MANIFEST_AGE_MIN_S);

/// Tries of one request on top of the store client's own. Few: somebody waits for the answer, and
/// nothing is lost by asking again.
const RETRIES_MAX: u32 = 3;

/// Where the storage engine keeps its manifests.
const MANIFEST_DIR: &str = "manifest";

/// A database that somebody else owns. To be closed: the storage engine's task ends with it.
pub struct SlateReader {
    store: Arc<GuardedStore>,
    /// Where it is in the store.
    root: Path,
    /// What messages call it.
    path: String,
    /// `None` if the storage engine has one of its own.
    log: Option<FileLog>,
    clock: SystemClock,
    cache: Arc<dyn DbCache>,
    view: Mutex<Arc<View>>,
    /// Held while the view is replaced.
    replacing: tokio::sync::Mutex<()>,
}

/// The database as of the last refresh.
struct View {
    db: DbReader,
    pace: Arc<Pace>,
    /// When it was last known to be in step, by both clocks: one stands still while the machine
    /// sleeps, the other one jumps.
    fresh_at: Mutex<[u64; 2]>,
}

impl SlateReader {
    /// Opens the database at `path` for reading.
    ///
    /// # Errors
    ///
    /// What keeps the store from being used, within `store_timeout` if it does not answer;
    /// [`Error::StoreNotFound`] if nobody has opened a queue there yet.
    pub async fn open(target: &Target, path: &str, store_timeout: Duration) -> Result<Self> {
        let (root, path) = place(target, path)?;
        let store = Arc::new(GuardedStore::new(Arc::clone(&target.store), target.attribution()));
        probe(&store, &root, &path, store_timeout).await?;
        check_manifest(&store, &root, &path).await?;
        let dir = target.dir_of(&root);
        let log = dir.map(|dir| file::find(&dir, &path)).transpose()?.flatten();
        let (clock, cache) = (SystemClock::new(), block_cache());
        let source = Source { store: &store, root: &root, log: log.as_ref(), cache: &cache };
        let view = View::open(source, &path, &clock).await?;
        let (view, replacing) = (Mutex::new(Arc::new(view)), tokio::sync::Mutex::default());
        Ok(Self { store, root, path, log, clock, cache, view, replacing })
    }

    /// What messages call the database.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Takes in everything that was durable when this was called.
    ///
    /// # Errors
    ///
    /// What keeps the store from being read.
    pub async fn refresh(&self) -> Result<()> {
        let view = self.view();
        if view.age(&self.clock) < VIEW_AGE_MAX {
            let begun = instants(&self.clock);
            if within(&self.path, COMMIT_TIMEOUT, view.refresh()).await? {
                *view.fresh_at.lock() = begun;
                return Ok(());
            }
        }
        self.reopen().await
    }

    /// Begins afresh with what is durable now: after a read that failed, because what it was to
    /// read may have been tidied up.
    ///
    /// # Errors
    ///
    /// What keeps the store from being read.
    pub async fn reopen(&self) -> Result<()> {
        let _one_at_a_time = self.replacing.lock().await;
        let (store, root, cache) = (&self.store, &self.root, &self.cache);
        let source = Source { store, root, log: self.log.as_ref(), cache };
        let view = View::open(source, &self.path, &self.clock).await?;
        let old = std::mem::replace(&mut *self.view.lock(), Arc::new(view));
        self.end(&old).await
    }

    /// Reads a payload object; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// What keeps the store from being read.
    pub async fn get_payload(&self, name: PayloadName) -> Result<Option<Bytes>> {
        self.ask(payloads::get(self.store.as_ref(), &self.root, name)).await
    }

    /// Who owns the store; `None` if its last owner closed it in order.
    ///
    /// # Errors
    ///
    /// What keeps the store from being read.
    pub async fn owner(&self) -> Result<Option<OwnerInfo>> {
        self.ask(owner::read_owner(self.store.as_ref(), &self.root)).await
    }

    /// What was asked of the store so far; nothing is ever written.
    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        self.store.counts()
    }

    /// Ends the storage engine's task. Later reads fail.
    ///
    /// # Errors
    ///
    /// A failure of the storage engine; nothing can be lost by it.
    pub async fn close(&self) -> Result<()> {
        let view = self.view();
        self.end(&view).await
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock())
    }

    async fn end(&self, view: &View) -> Result<()> {
        let closed = within(&self.path, COMMIT_TIMEOUT, view.db.close()).await?;
        closed.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &slatedb::Error) -> Error {
        failure::of_slatedb(&self.path, error)
    }

    /// Asks the storage engine.
    async fn read<T>(&self, work: impl Future<Output = Result<T, slatedb::Error>>) -> Result<T> {
        within(&self.path, COMMIT_TIMEOUT, work).await?.map_err(|error| self.failed(&error))
    }

    /// Asks the store itself.
    async fn ask<T>(&self, work: impl Future<Output = object_store::Result<T>>) -> Result<T> {
        let answer = within(&self.path, COMMIT_TIMEOUT, work).await?;
        answer.map_err(|error| failure::of_store(&self.path, &error))
    }
}

#[async_trait]
impl Rows for SlateReader {
    async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        let view = self.view();
        self.read(rows::get(&view.db, &key)).await
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>> {
        let view = self.view();
        self.read(rows::get_many(&view.db, keys)).await
    }

    async fn scan(&self, range: ScanRange, visit: &mut Visit<'_>) -> Result<()> {
        let view = self.view();
        self.read(rows::scan(&view.db, range, visit)).await
    }
}

impl View {
    async fn open(source: Source<'_>, path: &str, clock: &SystemClock) -> Result<Self> {
        check_log(source.store, source.root, path, source.log).await?;
        let mut tries = 0;
        loop {
            let begun = instants(clock);
            let pace = Arc::new(Pace::default());
            let opening = Box::pin(open_db(source, &pace));
            let error = match within(path, OPEN_TIMEOUT, opening).await? {
                Ok(db) => return Ok(Self { db, pace, fresh_at: Mutex::new(begun) }),
                Err(error) => error,
            };
            tries += 1;
            // The owner may have tidied up what we were about to read.
            if tries == OPEN_TRIES_MAX || !failure::may_be_a_race(&error) {
                return Err(failure::of_open(path, &error));
            }
            tokio::time::sleep(OPEN_PAUSE * tries).await;
        }
    }

    /// Whether all there is was taken in.
    async fn refresh(&self) -> bool {
        let mut status = self.db.subscribe();
        tokio::select! {
            is_complete = self.pace.refresh() => is_complete,
            _ = status.wait_for(|status| status.close_reason.is_some()) => false,
        }
    }

    fn age(&self, clock: &SystemClock) -> Duration {
        let [wall_ms, mono_ms] = *self.fresh_at.lock();
        let [wall_now_ms, mono_now_ms] = instants(clock);
        let passed_ms = wall_now_ms.abs_diff(wall_ms).max(mono_now_ms.saturating_sub(mono_ms));
        Duration::from_millis(passed_ms)
    }
}

fn instants(clock: &SystemClock) -> [u64; 2] {
    [clock.wall_ms(), clock.mono_ms()]
}

/// What a view is made of.
#[derive(Clone, Copy)]
struct Source<'a> {
    store: &'a Arc<GuardedStore>,
    root: &'a Path,
    log: Option<&'a FileLog>,
    cache: &'a Arc<dyn DbCache>,
}

async fn open_db(source: Source<'_>, pace: &Arc<Pace>) -> Result<DbReader, slatedb::Error> {
    let Source { store, root, log, cache } = source;
    let options = DbReaderOptions {
        manifest_poll_interval: NEVER,
        object_store_max_retries: Some(RETRIES_MAX),
        ..DbReaderOptions::default()
    };
    let builder = DbReader::builder(root.clone(), Arc::clone(store) as _)
        .with_reader_mode(DbReaderMode::FollowLatest)
        .with_options(options)
        .with_system_clock(Arc::new(PacedClock::new(Arc::clone(pace))))
        .with_db_cache(Arc::clone(cache), 0);
    let log: Box<dyn WalReader> = if let Some(log) = log {
        log.reader()
    } else {
        let log = SlateDbWalReaderBuilder::new()
            .with_path(root.clone())
            .with_object_store(Arc::clone(store) as _);
        Box::new(log.build()?)
    };
    builder.with_wal_reader(Arc::new(WatchedLog::new(log, Arc::clone(pace)))).build().await
}

/// Tells a place where no database is from one that is damaged.
async fn check_manifest(store: &GuardedStore, root: &Path, path: &str) -> Result<()> {
    let dir = root.clone().join(MANIFEST_DIR);
    let mut manifests = store.list(Some(&dir));
    let first = within(path, OPEN_TIMEOUT, manifests.try_next()).await?;
    match first.map_err(|error| failure::of_store(path, &error))? {
        Some(_) => Ok(()),
        None => Err(Error::StoreNotFound {
            path: path.to_owned(),
            detail: "there are no objects of a queue; `Queue.open` makes one".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
