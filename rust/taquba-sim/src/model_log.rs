//! A log in memory with an explicit durable frontier: what a crash leaves is decided here.
//!
//! # Invariants
//!
//! 1. A commit is applied as one, at one instant between its call and its answer. A crash before that
//!    instant leaves nothing of it, or all of it if it was on its way; a crash after it all of it.
//! 2. Once a newer owner has opened, commits of an older one are refused and change nothing; what the
//!    older one reads stays as it was.
//! 3. A commit that fails may have been applied.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use taquba_engine::command::OwnerInfo;
use taquba_engine::log::{Log, Rows, ScanRange, StoreCounts, Visit};
use taquba_engine::record::{PayloadName, Row};
use taquba_engine::{Error, Result};

use crate::history::Owner;
use crate::random::Random;

type Map = BTreeMap<Bytes, Bytes>;

/// How the store behaves.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// Longest time of a request.
    pub latency_us_max: u64,
    /// Commits that fail and were not applied, in a million.
    pub commit_fails_before: u32,
    /// Commits that fail and were applied, in a million.
    pub commit_fails_after: u32,
    /// Uploads of payloads that fail, in a million.
    pub upload_fails: u32,
}

/// What outlives processes.
#[derive(Debug, Default)]
pub struct Disk {
    /// The rows as the newest owner has them.
    rows: Mutex<Arc<Mutex<Map>>>,
    newest: Mutex<Owner>,
    payloads: Mutex<BTreeMap<PayloadName, Bytes>>,
}

impl Disk {
    /// The rows of now, to look at and to damage.
    pub fn rows(&self) -> Arc<Mutex<Map>> {
        Arc::clone(&self.rows.lock())
    }
}

/// One owner's way to the disk.
pub struct ModelLog {
    disk: Arc<Disk>,
    owner: Owner,
    rows: Arc<Mutex<Map>>,
    weather: Mutex<Weather>,
    random: Mutex<Random>,
    is_dead: AtomicBool,
    under_way: Mutex<Option<Vec<Row>>>,
}

impl ModelLog {
    /// Opens the disk for an owner: all others are fenced.
    #[must_use]
    pub fn open(disk: &Arc<Disk>, owner: Owner, weather: Weather, random: Random) -> Arc<Self> {
        let mut current = disk.rows.lock();
        let copy = current.lock().clone();
        *current = Arc::new(Mutex::new(copy));
        *disk.newest.lock() = owner;
        Arc::new(Self {
            disk: Arc::clone(disk),
            owner,
            rows: Arc::clone(&current),
            weather: Mutex::new(weather),
            random: Mutex::new(random),
            is_dead: AtomicBool::new(false),
            under_way: Mutex::default(),
        })
    }

    /// The disk as it is, for who owns nothing.
    #[must_use]
    pub fn look(disk: &Arc<Disk>) -> Arc<Self> {
        Arc::new(Self {
            disk: Arc::clone(disk),
            owner: 0,
            rows: disk.rows(),
            weather: Mutex::default(),
            random: Mutex::new(Random::new(0)),
            is_dead: AtomicBool::new(false),
            under_way: Mutex::default(),
        })
    }

    /// The process ends. What is on its way may still arrive.
    pub fn kill(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
        let under_way = self.under_way.lock().take();
        if let Some(rows) = under_way
            && !self.is_fenced()
            && self.random.lock().chance(500_000)
        {
            self.apply(&rows);
        }
    }

    /// Nothing fails any more.
    pub fn calm(&self) {
        let mut weather = self.weather.lock();
        *weather = Weather { latency_us_max: weather.latency_us_max, ..Weather::default() };
    }

    fn is_fenced(&self) -> bool {
        *self.disk.newest.lock() != self.owner
    }

    fn apply(&self, rows: &[Row]) {
        let mut map = self.rows.lock();
        for row in rows {
            match row {
                Row::Put(key, value) => drop(map.insert(key.clone(), value.clone())),
                Row::Delete(key) => drop(map.remove(key)),
            }
        }
    }

    /// Time passes, unless the process has ended.
    async fn travel(&self) -> Result<()> {
        self.check()?;
        let max = self.weather.lock().latency_us_max;
        let latency = Duration::from_micros(self.random.lock().up_to(max));
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        self.check()
    }

    fn check(&self) -> Result<()> {
        if self.is_dead.load(Ordering::Relaxed) {
            Err(unavailable("the process ended"))
        } else {
            Ok(())
        }
    }

    fn fails(&self, odds: impl FnOnce(&Weather) -> u32) -> bool {
        let odds = odds(&self.weather.lock());
        odds > 0 && self.random.lock().chance(odds)
    }
}

fn unavailable(detail: &str) -> Error {
    Error::StoreUnavailable { path: "model".into(), detail: detail.into() }
}

#[async_trait]
impl Rows for ModelLog {
    async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        self.travel().await?;
        Ok(self.rows.lock().get(&key).cloned())
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>> {
        self.travel().await?;
        let rows = self.rows.lock();
        let found = |key: Bytes| rows.get(&key).cloned().map(|value| (key, value));
        Ok(keys.into_iter().filter_map(found).collect())
    }

    async fn scan(&self, range: ScanRange, visit: &mut Visit<'_>) -> Result<()> {
        self.travel().await?;
        if range.is_empty() {
            return Ok(());
        }
        let rows = self.rows.lock();
        let bounds: (Bound<Bytes>, Bound<Bytes>) = (range.start, range.end);
        let mut visit = |(key, value): (&Bytes, &Bytes)| visit(key.clone(), value.clone());
        // Both ways end early if the visitor breaks off, which is no failure.
        let _ended_early = if range.reverse {
            rows.range(bounds).rev().try_for_each(&mut visit)
        } else {
            rows.range(bounds).try_for_each(&mut visit)
        };
        Ok(())
    }
}

#[async_trait]
impl Log for ModelLog {
    async fn commit(&self, rows: Vec<Row>) -> Result<()> {
        *self.under_way.lock() = Some(rows);
        self.travel().await?;
        let rows = self.under_way.lock().take().expect("only a kill takes it, and was seen");
        if self.is_fenced() {
            return Err(Error::Fenced { path: "model".into() });
        }
        if self.fails(|weather| weather.commit_fails_before) {
            return Err(unavailable("the commit was lost on its way"));
        }
        self.apply(&rows);
        if self.fails(|weather| weather.commit_fails_after) {
            return Err(unavailable("the answer was lost on its way"));
        }
        self.travel().await
    }

    async fn put_payload(&self, name: PayloadName, data: Bytes) -> Result<()> {
        self.travel().await?;
        if self.fails(|weather| weather.upload_fails) {
            return Err(unavailable("the upload was lost on its way"));
        }
        self.disk.payloads.lock().insert(name, data);
        self.travel().await
    }

    async fn get_payload(&self, name: PayloadName) -> Result<Option<Bytes>> {
        self.travel().await?;
        Ok(self.disk.payloads.lock().get(&name).cloned())
    }

    async fn delete_payload(&self, name: PayloadName) -> Result<()> {
        self.travel().await?;
        self.disk.payloads.lock().remove(&name);
        Ok(())
    }

    async fn list_payloads(&self) -> Result<Vec<PayloadName>> {
        self.travel().await?;
        Ok(self.disk.payloads.lock().keys().copied().collect())
    }

    async fn start_heartbeat(&self, _: u32) {}

    async fn owner(&self) -> Result<Option<OwnerInfo>> {
        Ok(None)
    }

    fn counts(&self) -> StoreCounts {
        StoreCounts::default()
    }

    async fn close(&self) -> Result<()> {
        self.check()
    }
}
