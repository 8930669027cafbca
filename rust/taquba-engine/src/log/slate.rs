//! The log on SlateDB.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use parking_lot::Mutex;
use slatedb::admin::Admin;
use slatedb::config::Settings;
use slatedb::{Db, GarbageCollectorBuilder, VersionedManifest, WriteBatch};
use slatedb_common::metrics::DefaultMetricsRecorder;
use tokio::time::timeout;

use super::file::{self, FileLog};
use super::guard::GuardedStore;
use super::owner::{self, Heartbeat, Pulse, Sign};
use super::settings::{COMMIT_TIMEOUT, OPEN_TIMEOUT, block_cache, collector, settings};
use super::slate_clock::FlooredClock;
use super::target::Target;
use super::{
    Log, Rows, ScanRange, StoreCounts, Visit, engine_metrics, failure, fence, payloads, rows,
};
use crate::command::OwnerInfo;
use crate::error::{Error, Result};
use crate::ids::clip;
use crate::metrics::StoreMeasures;
use crate::options::OpenOptions;
use crate::record::{PayloadName, Row, keys};

/// Tries of an open that another open came in the way of.
pub(super) const OPEN_TRIES_MAX: u32 = 8;

/// Pause before the second try; grows with each further one.
pub(super) const OPEN_PAUSE: Duration = Duration::from_millis(25);

/// A database that this process owns.
pub struct SlateLog {
    db: Db,
    recorder: Arc<DefaultMetricsRecorder>,
    store: Arc<GuardedStore>,
    /// Where it is in the store.
    root: Path,
    /// What messages call it.
    path: String,
    sign: Sign,
    heartbeat_interval: Duration,
    heartbeat: Mutex<Option<Heartbeat>>,
}

impl SlateLog {
    /// Opens the database at `path` and takes ownership: the previous owner's next commit fails.
    ///
    /// # Errors
    ///
    /// What keeps the store from being used, within `store_timeout` if it does not answer;
    /// [`Error::StoreOwned`] if its owner is alive and `takeover` is off.
    pub async fn open(target: &Target, path: &str, options: &OpenOptions) -> Result<Self> {
        let (root, name) = place(target, path)?;
        let store = Arc::new(GuardedStore::new(Arc::clone(&target.store), target.attribution()));
        probe(&store, &root, &name, options.store_timeout).await?;
        if !options.takeover {
            check_owner(&store, &root, &name, options.store_timeout).await?;
        }
        let dir = target.dir_of(&root);
        let log = dir.map(|dir| file::find_or_make(&dir, &name)).transpose()?.flatten();
        check_log(&store, &root, &name, log.as_ref()).await?;
        let wall_ms = target.machine.clock.wall_ms();
        let clock = Arc::new(FlooredClock::new(Arc::clone(store.activity()), wall_ms));
        let recorder = Arc::new(DefaultMetricsRecorder::new());
        let place = Place { target, root: &root, name: &name, store: &store, recorder: &recorder };
        clock.raise_to(tabled_instant(place, &clock).await?);
        let db = build(place, log.as_ref(), &clock).await?;
        clock.raise_to(latest_instant(&db, &name).await?);
        Ok(Self {
            db,
            recorder,
            store,
            root,
            path: name,
            sign: Sign::new(options),
            heartbeat_interval: options.heartbeat_interval,
            heartbeat: Mutex::new(None),
        })
    }

    /// What messages call the database.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn failed(&self, error: &slatedb::Error) -> Error {
        failure::of_slatedb(&self.path, error)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that writes, and it waits")]
    async fn write_and_wait(&self, batch: WriteBatch) -> Result<()> {
        let written = self.db.write(batch).await.map_err(|error| self.failed(&error))?;
        self.db.flush().await.map_err(|error| self.failed(&error))?;
        written.await_durable().await.map_err(|error| self.failed(&error))
    }

    /// Asks the storage engine.
    async fn read<T>(&self, work: impl Future<Output = Result<T, slatedb::Error>>) -> Result<T> {
        within(&self.path, COMMIT_TIMEOUT, work).await?.map_err(|error| self.failed(&error))
    }

    /// Asks the store itself, not the storage engine.
    async fn ask<T>(&self, work: impl Future<Output = object_store::Result<T>>) -> Result<T> {
        let answer = within(&self.path, COMMIT_TIMEOUT, work).await?;
        answer.map_err(|error| failure::of_store(&self.path, &error))
    }
}

#[async_trait]
impl Rows for SlateLog {
    async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        self.read(rows::get(&self.db, &key)).await
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>> {
        self.read(rows::get_many(&self.db, keys)).await
    }

    async fn scan(&self, range: ScanRange, visit: &mut Visit<'_>) -> Result<()> {
        rows::scan(&self.db, range, visit).await.map_err(|error| self.failed(&error))
    }
}

#[async_trait]
impl Log for SlateLog {
    async fn commit(&self, rows: Vec<Row>) -> Result<()> {
        let mut batch = WriteBatch::new();
        for row in rows {
            match row {
                Row::Put(key, value) => batch.put_bytes(key, value),
                Row::Delete(key) => batch.delete(key),
            }
        }
        let _under_way = self.store.activity().begin_commit();
        within(&self.path, COMMIT_TIMEOUT, self.write_and_wait(batch)).await?
    }

    async fn put_payload(&self, name: PayloadName, data: Bytes) -> Result<()> {
        self.ask(payloads::put(self.store.as_ref(), &self.root, name, data)).await
    }

    async fn get_payload(&self, name: PayloadName) -> Result<Option<Bytes>> {
        self.ask(payloads::get(self.store.as_ref(), &self.root, name)).await
    }

    async fn delete_payload(&self, name: PayloadName) -> Result<()> {
        self.ask(payloads::delete(self.store.as_ref(), &self.root, name)).await
    }

    async fn list_payloads(&self) -> Result<Vec<PayloadName>> {
        self.ask(payloads::list(self.store.as_ref(), &self.root)).await
    }

    async fn start_heartbeat(&self, epoch: u32) {
        let (store, root) = (Arc::clone(&self.store), self.root.clone());
        let pulse = Pulse { store, root, epoch, sign: self.sign.clone() };
        let db = self.db.clone();
        let is_over = move || db.status().close_reason.is_some();
        let heartbeat = Heartbeat::start(pulse, self.heartbeat_interval, is_over).await;
        *self.heartbeat.lock() = Some(heartbeat);
    }

    async fn owner(&self) -> Result<Option<OwnerInfo>> {
        self.ask(owner::read_owner(self.store.as_ref(), &self.root)).await
    }

    fn counts(&self) -> StoreCounts {
        self.store.counts()
    }

    fn measures(&self) -> StoreMeasures {
        let storage = engine_metrics::read(&self.recorder);
        StoreMeasures { storage, ..self.store.measures() }
    }

    async fn close(&self) -> Result<()> {
        let heartbeat = self.heartbeat.lock().take();
        self.store.activity().stir();
        let closed = within(&self.path, COMMIT_TIMEOUT, self.db.close()).await?;
        closed.map_err(|error| self.failed(&error))?;
        if let Some(heartbeat) = heartbeat {
            heartbeat.end().await;
        }
        Ok(())
    }
}

/// Where a database is in its store, and what messages call it.
pub(super) fn place(target: &Target, path: &str) -> Result<(Path, String)> {
    let name = target.name_of(path);
    let root = Path::parse(path).map_err(|error| Error::InvalidStore {
        location: clip(&name),
        remedy: format!(
            "give a path inside the store, like `taquba`: {}",
            clip(&error.to_string())
        ),
    })?;
    Ok((root, name))
}

/// Asks the store one cheap question, so that a wrong name, a missing right or a dead network is
/// told as such and soon. A read, because stores answer that one precisely.
pub(super) async fn probe(
    store: &GuardedStore,
    prefix: &Path,
    name: &str,
    limit: Duration,
) -> Result<()> {
    let nobody = prefix.clone().join("probe");
    match within(name, limit, store.get(&nobody)).await? {
        Ok(_) => Ok(()),
        Err(error) => match failure::of_probe(name, &error) {
            Some(error) => Err(error),
            None => Ok(()),
        },
    }
}

/// Refuses to take the store away from an owner that is alive.
async fn check_owner(store: &GuardedStore, root: &Path, name: &str, limit: Duration) -> Result<()> {
    let owner = within(name, limit, owner::read_owner(store, root)).await?;
    let owner = owner.map_err(|error| failure::of_store(name, &error))?;
    let Some(owner) = owner.filter(|owner| owner.is_alive) else { return Ok(()) };
    let since = i64::try_from(owner.since_ms).ok().and_then(DateTime::from_timestamp_millis);
    Err(Error::StoreOwned {
        path: name.to_owned(),
        host: owner.host,
        pid: owner.pid,
        since: since.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true),
    })
}

/// Refuses a log that has lost rows without a trace, and one that cannot be reached from here.
pub(super) async fn check_log(
    store: &GuardedStore,
    prefix: &Path,
    name: &str,
    log: Option<&FileLog>,
) -> Result<()> {
    if log.is_some() {
        return Ok(());
    }
    let listing = fence::unannounced(store, prefix);
    let lost = within(name, OPEN_TIMEOUT, listing).await?;
    let lost = lost.map_err(|error| failure::of_store(name, &error))?;
    let Some(first) = lost.first() else { return Ok(()) };
    if lost.iter().any(|place| place.filename() == Some(file::SIGNPOST)) {
        return Err(Error::InvalidStore {
            location: name.to_owned(),
            remedy: "its log is a file: open it by its path on the machine that has the disk; if \
                     `log` is not there any more, restore a backup"
                .to_owned(),
        });
    }
    Err(Error::Corrupted {
        path: name.to_owned(),
        detail: format!(
            "{} object(s) of the log have lost their content, `{first}` first",
            lost.len()
        ),
    })
}

/// A database to be opened.
#[derive(Clone, Copy)]
struct Place<'a> {
    target: &'a Target,
    root: &'a Path,
    name: &'a str,
    store: &'a Arc<GuardedStore>,
    recorder: &'a Arc<DefaultMetricsRecorder>,
}

/// Opens the database, against others who may be doing the same: who loses a race tries again.
async fn build(place: Place<'_>, log: Option<&FileLog>, clock: &Arc<FlooredClock>) -> Result<Db> {
    let Place { target, root, name, store, recorder } = place;
    let kind = target.kind;
    let mut tries = 0;
    loop {
        let mut builder = Db::builder(root.clone(), Arc::clone(store) as _)
            .with_settings(settings(kind))
            .with_system_clock(Arc::clone(clock) as _)
            .with_metrics_recorder(Arc::clone(recorder) as _)
            .with_db_cache(block_cache(), 0);
        if let Some(seed) = target.machine.seed {
            builder = builder.with_seed(seed.wrapping_add(u64::from(tries)));
        }
        if let Some(log) = log {
            let collector = GarbageCollectorBuilder::new(root.clone(), Arc::clone(store) as _)
                .with_options(collector(kind))
                .with_wal_gc(log.collector());
            builder = builder
                .with_settings(Settings { garbage_collector_options: None, ..settings(kind) })
                .with_wal_writer(log.opener(store.counters()))
                .with_gc_builder(collector);
        }
        // Boxed: the engine's own future would be 27 KB larger for it.
        let error = match within(name, OPEN_TIMEOUT, Box::pin(builder.build())).await? {
            Ok(db) => return Ok(db),
            Err(error) => error,
        };
        tries += 1;
        if tries == OPEN_TRIES_MAX || !failure::may_be_a_race(&error) {
            return Err(failure::of_open(name, &error));
        }
        tokio::time::sleep(OPEN_PAUSE * tries).await;
    }
}

/// The latest instant that the storage engine has put on a table, in milliseconds since the Unix epoch: it
/// refuses to add an older one, and an open with a long log adds some. What keeps the manifest from being
/// read is left to that open to tell.
async fn tabled_instant(place: Place<'_>, clock: &Arc<FlooredClock>) -> Result<i64> {
    let Place { target, root, name, store, .. } = place;
    let mut admin = Admin::builder(root.clone(), Arc::clone(store) as _)
        .with_system_clock(Arc::clone(clock) as _);
    if let Some(seed) = target.machine.seed {
        admin = admin.with_seed(seed);
    }
    let admin = admin.build();
    let reading = within(name, OPEN_TIMEOUT, Box::pin(admin.read_manifest(None))).await?;
    Ok(reading.ok().flatten().map_or(0, |manifest| instant_of(&manifest)))
}

/// The latest instant that it has put on anything: a commit that is older than the one before it is refused,
/// too. Of what the log alone has, the manifest knows nothing; every commit writes the sequence, so there is
/// the latest one.
async fn latest_instant(db: &Db, name: &str) -> Result<i64> {
    let reading = within(name, OPEN_TIMEOUT, db.get_key_value(keys::SEQUENCE)).await?;
    let sequence = reading.map_err(|error| failure::of_open(name, &error))?;
    Ok(sequence.map_or(0, |row| row.create_ts).max(instant_of(&db.manifest())))
}

fn instant_of(manifest: &VersionedManifest) -> i64 {
    let tables = manifest.all_sst_views().map(|view| view.sst.id.value().timestamp_ms());
    let newest_ms = tables.max().and_then(|ms| i64::try_from(ms).ok()).unwrap_or_default();
    manifest.last_l0_clock_tick().max(newest_ms)
}

pub(super) async fn within<T>(
    path: &str,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T> {
    timeout(limit, work).await.map_err(|_| Error::StoreUnavailable {
        path: path.to_owned(),
        detail: format!("it did not answer within {} s", limit.as_secs_f32()),
    })
}

#[cfg(test)]
mod tests;
