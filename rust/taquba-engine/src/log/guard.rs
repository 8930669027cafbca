//! The guard between the storage engine and the object store.
//!
//! # Invariants
//!
//! 1. What no further try can change comes back at once: a missing right, an object cut short.
//!    Retrying the first would hang for ever.
//! 2. `AlreadyExists` from a conditional create is believed only if the object is there. S3 answers
//!    409 to two racing creates of which neither may have won, and says to try again; taking that
//!    for another owner would end the only one.
//! 3. A fence is announced before it is written; see `fence.rs`.
//! 4. Manifests and lists of compactions carry a checksum; see `seal.rs`.
//! 5. Every request is counted, and so is every group of rows in a log that is a file. Every write wakes
//!    what rests; see `activity.rs`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::activity::Activity;
use super::finality::told_once;
use super::{StoreCounts, fence, seal};
use crate::metrics::{Histogram, STORE_US_BOUNDS, StoreMeasures, micros};

/// Tries of a conditional create whose refusal was not borne out.
const CREATE_TRIES_MAX: u32 = 6;

/// Pause before such a try; the racing request has had its answer by then.
const CREATE_PAUSE: Duration = Duration::from_millis(50);

/// Whether a store keeps attributes with its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribution {
    /// Objects carry the number of the request that made them.
    Kept,
    /// The local file system has none and refuses a write that brings some, which would make
    /// every write two.
    Dropped,
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Counters {
    put_count: AtomicU64,
    put_bytes: AtomicU64,
    get_count: AtomicU64,
    get_bytes: AtomicU64,
    list_count: AtomicU64,
    delete_count: AtomicU64,
    /// A request takes a thousand times longer than to add it up here.
    times: Mutex<Times>,
}

/// How long requests took, in microseconds.
#[derive(Debug)]
struct Times {
    put_us: Histogram,
    get_us: Histogram,
}

impl Default for Times {
    fn default() -> Self {
        let us = Histogram::new(STORE_US_BOUNDS);
        Self { put_us: us.clone(), get_us: us }
    }
}

impl Counters {
    pub fn count_put(&self, size_bytes: usize) {
        self.put_count.fetch_add(1, Ordering::Relaxed);
        self.put_bytes.fetch_add(size_bytes as u64, Ordering::Relaxed);
    }

    fn count_get(&self, size_bytes: u64) {
        self.get_count.fetch_add(1, Ordering::Relaxed);
        self.get_bytes.fetch_add(size_bytes, Ordering::Relaxed);
    }

    /// A write is over that began then.
    fn time_put(&self, began: Instant) {
        self.times.lock().put_us.observe(micros(began.elapsed()));
    }

    fn time_get(&self, began: Instant) {
        self.times.lock().get_us.observe(micros(began.elapsed()));
    }

    fn count_list(&self) {
        self.list_count.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> StoreCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreCounts {
            put_count: read(&self.put_count),
            put_bytes: read(&self.put_bytes),
            get_count: read(&self.get_count),
            get_bytes: read(&self.get_bytes),
            list_count: read(&self.list_count),
            delete_count: read(&self.delete_count),
        }
    }
}

/// An object store, guarded.
#[derive(Debug)]
pub(super) struct GuardedStore {
    inner: Arc<dyn ObjectStore>,
    attribution: Attribution,
    counters: Arc<Counters>,
    activity: Arc<Activity>,
}

impl GuardedStore {
    pub fn new(inner: Arc<dyn ObjectStore>, attribution: Attribution) -> Self {
        Self { inner, attribution, counters: Arc::default(), activity: Arc::default() }
    }

    pub fn counts(&self) -> StoreCounts {
        self.counters.read()
    }

    /// How long its requests took.
    pub fn measures(&self) -> StoreMeasures {
        let times = self.counters.times.lock();
        let (put_us, get_us) = (times.put_us.clone(), times.get_us.clone());
        StoreMeasures { put_us, get_us, storage: Vec::new() }
    }

    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// For those who write beside the store.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    async fn announce_fence(&self, location: &Path) -> Result<()> {
        let Some(marker) = fence::marker_of(location) else { return Ok(()) };
        self.counters.count_put(fence::MARKER.len());
        self.inner.put(&marker, fence::MARKER.into()).await.map(drop).map_err(told_once)
    }

    /// Whether an object is there. What the store fails to answer is no answer.
    async fn is_there(&self, location: &Path) -> Result<bool> {
        self.counters.count_get(0);
        match self.inner.head(location).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(told_once(error)),
        }
    }
}

impl fmt::Display for GuardedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for GuardedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        if self.attribution == Attribution::Dropped {
            options.attributes = Attributes::default();
        }
        self.activity.note_write(location);
        let payload =
            if seal::is_sealed(location) { seal::seal(location, &payload) } else { payload };
        let is_create = options.mode == PutMode::Create;
        if is_create && payload.content_length() == 0 {
            self.announce_fence(location).await?;
        }
        for _ in 0..CREATE_TRIES_MAX {
            self.counters.count_put(payload.content_length());
            let began = Instant::now();
            let put = self.inner.put_opts(location, payload.clone(), options.clone()).await;
            self.counters.time_put(began);
            let refused = is_create && matches!(put, Err(Error::AlreadyExists { .. }));
            if !refused || self.is_there(location).await? {
                return put.map_err(told_once);
            }
            tokio::time::sleep(CREATE_PAUSE).await;
        }
        let source = format!("it says that `{location}` is there, and that it is not").into();
        Err(Error::Generic { store: "taquba", source })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        mut options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if self.attribution == Attribution::Dropped {
            options.attributes = Attributes::default();
        }
        self.activity.note_write(location);
        let upload = self.inner.put_multipart_opts(location, options).await.map_err(told_once)?;
        Ok(Box::new(CountedUpload { inner: upload, counters: Arc::clone(&self.counters) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        // Nobody reads a part of a sealed object.
        let is_sealed = !is_head && options.range.is_none() && seal::is_sealed(location);
        let began = Instant::now();
        let got = self.inner.get_opts(location, options).await;
        self.counters.time_get(began);
        let body = got.as_ref().map_or(0..0, |got| got.range.clone());
        self.counters.count_get(if is_head { 0 } else { body.end - body.start });
        let got = got.map_err(told_once)?;
        if is_sealed { seal::open(location, got).await } else { Ok(got) }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.counters.count_get(ranges.iter().map(|range| range.end - range.start).sum());
        let began = Instant::now();
        let got = self.inner.get_ranges(location, ranges).await;
        self.counters.time_get(began);
        got.map_err(told_once)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let counters = Arc::clone(&self.counters);
        let deleted = self.inner.delete_stream(locations).inspect(move |_| {
            counters.delete_count.fetch_add(1, Ordering::Relaxed);
        });
        deleted.map(|deleted| deleted.map_err(told_once)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counters.count_list();
        self.inner.list(prefix).map(|listed| listed.map_err(told_once)).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counters.count_list();
        let listed = self.inner.list_with_offset(prefix, offset);
        listed.map(|listed| listed.map_err(told_once)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.counters.count_list();
        self.inner.list_with_delimiter(prefix).await.map_err(told_once)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await.map_err(told_once)
    }
}

#[derive(Debug)]
struct CountedUpload {
    inner: Box<dyn MultipartUpload>,
    counters: Arc<Counters>,
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.counters.count_put(data.content_length());
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await.map_err(told_once)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests;
