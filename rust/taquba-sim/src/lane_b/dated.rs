//! A store in memory whose objects are dated by the simulation's true calendar, which nobody sets.
//!
//! What the storage engine deletes it chooses by these dates.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock::{EPOCH_MS, ms};

/// When something was written.
type Date = chrono::DateTime<chrono::Utc>;

#[derive(Debug)]
pub(super) struct DatedStore {
    inner: InMemory,
    dates: Arc<Dates>,
}

#[derive(Debug)]
struct Dates {
    began: Instant,
    written: Mutex<BTreeMap<Path, Date>>,
}

impl Dates {
    fn note(&self, location: &Path) {
        let now_ms = EPOCH_MS + ms(self.began.elapsed());
        let now = i64::try_from(now_ms).ok().and_then(Date::from_timestamp_millis);
        self.written.lock().insert(location.clone(), now.expect("a date of our days"));
    }

    fn put_on(&self, meta: &mut ObjectMeta) {
        if let Some(date) = self.written.lock().get(&meta.location) {
            meta.last_modified = *date;
        }
    }
}

impl DatedStore {
    /// An empty store, at the beginning of a simulation.
    pub fn new() -> Self {
        let dates = Dates { began: Instant::now(), written: Mutex::default() };
        Self { inner: InMemory::new(), dates: Arc::new(dates) }
    }

    fn dated(
        &self,
        listed: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let dates = Arc::clone(&self.dates);
        let put_on = move |meta: Result<ObjectMeta>| {
            meta.map(|mut meta| {
                dates.put_on(&mut meta);
                meta
            })
        };
        listed.map(put_on).boxed()
    }
}

impl fmt::Display for DatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for DatedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let written = self.inner.put_opts(location, payload, options).await?;
        self.dates.note(location);
        Ok(written)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        let (location, dates) = (location.clone(), Arc::clone(&self.dates));
        Ok(Box::new(DatedUpload { inner, location, dates }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut got = self.inner.get_opts(location, options).await?;
        self.dates.put_on(&mut got.meta);
        Ok(got)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.dated(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.dated(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut level = self.inner.list_with_delimiter(prefix).await?;
        level.objects.iter_mut().for_each(|meta| self.dates.put_on(meta));
        Ok(level)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.dates.note(to);
        Ok(())
    }
}

#[derive(Debug)]
struct DatedUpload {
    inner: Box<dyn MultipartUpload>,
    location: Path,
    dates: Arc<Dates>,
}

#[async_trait]
impl MultipartUpload for DatedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let written = self.inner.complete().await?;
        self.dates.note(&self.location);
        Ok(written)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
