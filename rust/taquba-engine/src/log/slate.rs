//! The log on SlateDB.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use slatedb::config::ScanOptions;
use slatedb::db_cache::moka::{MokaCache, MokaCacheOptions};
use slatedb::{Db, WriteBatch};
use tokio::time::timeout;

use super::guard::GuardedStore;
use super::settings::{BLOCK_CACHE_BYTES, COMMIT_TIMEOUT, OPEN_TIMEOUT, settings};
use super::slate_clock::FlooredClock;
use super::target::Target;
use super::{Log, PutCounts, failure, fence};
use crate::error::{Error, Result};
use crate::record::Row;

/// Reading in runs pays when at least one row in this many is wanted.
const SPARSE_ROWS_MAX: u64 = 8;

/// Tries of an open that another open came in the way of.
const OPEN_TRIES_MAX: u32 = 8;

/// Pause before the second try; grows with each further one.
const OPEN_PAUSE: Duration = Duration::from_millis(25);

/// Single reads under way at once.
const READS_MAX: usize = 32;

/// A database that this process owns.
pub struct SlateLog {
    db: Db,
    store: Arc<GuardedStore>,
    /// What messages call it.
    path: String,
}

impl SlateLog {
    /// Opens the database at `path` and takes ownership: the previous owner's next commit fails.
    ///
    /// # Errors
    ///
    /// What keeps the store from being used, within `store_timeout` if it does not answer.
    pub async fn open(target: &Target, path: &str, store_timeout: Duration) -> Result<Self> {
        let name = target.name_of(path);
        let prefix = Path::parse(path).map_err(|error| Error::InvalidStore {
            location: name.clone(),
            remedy: format!("give a path inside the store, like `taquba`: {error}"),
        })?;
        let store = Arc::new(GuardedStore::new(Arc::clone(&target.store), target.attribution()));
        probe(&store, &prefix, &name, store_timeout).await?;
        check_log(&store, &prefix, &name).await?;
        let clock = Arc::new(FlooredClock::default());
        let db = build(target, &prefix, &store, &clock, &name).await?;
        clock.raise_to(db.manifest().last_l0_clock_tick());
        Ok(Self { db, store, path: name })
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

    async fn scan_range(
        &self,
        range: (std::ops::Bound<Bytes>, std::ops::Bound<Bytes>),
        visit: &mut (dyn FnMut(Bytes, Bytes) + Send),
    ) -> Result<()> {
        let options = ScanOptions {
            read_ahead_bytes: 1024 * 1024,
            max_fetch_tasks: 4,
            ..ScanOptions::default()
        };
        let rows = self.db.scan_with_options(range, &options).await;
        let mut rows = rows.map_err(|error| self.failed(&error))?;
        while let Some(row) = rows.next().await.map_err(|error| self.failed(&error))? {
            visit(row.key, row.value);
        }
        Ok(())
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
        within(&self.path, COMMIT_TIMEOUT, self.write_and_wait(batch)).await?
    }

    async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        self.db.get(&key).await.map_err(|error| self.failed(&error))
    }

    async fn get_many(&self, mut keys: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>> {
        keys.sort_unstable();
        let mut found = Vec::with_capacity(keys.len());
        if is_dense(&keys) {
            use std::ops::Bound::Included;
            let (first, last) = (keys[0].clone(), keys[keys.len() - 1].clone());
            let mut visit = |key: Bytes, value| {
                if keys.binary_search(&key).is_ok() {
                    found.push((key, value));
                }
            };
            self.scan_range((Included(first), Included(last)), &mut visit).await?;
            return Ok(found);
        }
        let reads = keys.into_iter().map(|key| async move {
            self.get(key.clone()).await.map(|value| value.map(|value| (key, value)))
        });
        let mut reads = futures::stream::iter(reads).buffered(READS_MAX);
        while let Some(read) = reads.next().await {
            found.extend(read?);
        }
        Ok(found)
    }

    async fn scan(&self, visit: &mut (dyn FnMut(Bytes, Bytes) + Send)) -> Result<()> {
        self.scan_range((std::ops::Bound::Unbounded, std::ops::Bound::Unbounded), visit).await
    }

    fn put_counts(&self) -> PutCounts {
        self.store.counts()
    }

    async fn close(&self) -> Result<()> {
        within(&self.path, COMMIT_TIMEOUT, self.db.close())
            .await?
            .map_err(|error| self.failed(&error))
    }
}

/// Asks the store one cheap question, so that a wrong name, a missing right or a dead network is
/// told as such and soon. A read, because stores answer that one precisely.
async fn probe(store: &GuardedStore, prefix: &Path, name: &str, limit: Duration) -> Result<()> {
    let nobody = prefix.clone().join("probe");
    match within(name, limit, store.get(&nobody)).await? {
        Ok(_) => Ok(()),
        Err(error) => match failure::of_probe(name, &error) {
            Some(error) => Err(error),
            None => Ok(()),
        },
    }
}

/// Refuses a log that has lost rows without a trace.
async fn check_log(store: &GuardedStore, prefix: &Path, name: &str) -> Result<()> {
    let listing = fence::unannounced(store, prefix);
    let lost = within(name, OPEN_TIMEOUT, listing).await?;
    let lost = lost.map_err(|error| failure::of_store(name, &error))?;
    let Some(first) = lost.first() else { return Ok(()) };
    Err(Error::Corrupted {
        path: name.to_owned(),
        detail: format!(
            "{} object(s) of the log have lost their content, `{first}` first",
            lost.len()
        ),
    })
}

/// Opens the database, against others who may be doing the same: who loses a race tries again.
async fn build(
    target: &Target,
    prefix: &Path,
    store: &Arc<GuardedStore>,
    clock: &Arc<FlooredClock>,
    name: &str,
) -> Result<Db> {
    let mut tries = 0;
    loop {
        let cache = MokaCache::new_with_opts(MokaCacheOptions {
            max_capacity: BLOCK_CACHE_BYTES,
            time_to_live: None,
            time_to_idle: None,
        });
        let opening = Db::builder(prefix.clone(), Arc::clone(store) as _)
            .with_settings(settings(target.kind))
            .with_system_clock(Arc::clone(clock) as _)
            .with_db_cache(Arc::new(cache), 0)
            .build();
        // Boxed: the engine's own future would be 27 KB larger for it.
        let error = match within(name, OPEN_TIMEOUT, Box::pin(opening)).await? {
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

async fn within<T>(path: &str, limit: Duration, work: impl Future<Output = T>) -> Result<T> {
    timeout(limit, work).await.map_err(|_| Error::StoreUnavailable {
        path: path.to_owned(),
        detail: format!("it did not answer within {} s", limit.as_secs_f32()),
    })
}

/// Whether job keys are close enough together to be read in one run.
fn is_dense(keys: &[Bytes]) -> bool {
    let number = |key: &Bytes| crate::record::keys::row_of(key);
    match (keys.first().and_then(number), keys.last().and_then(number)) {
        (Some(first), Some(last)) if keys.len() > 1 => {
            last - first < keys.len() as u64 * SPARSE_ROWS_MAX
        }
        _ => false,
    }
}
