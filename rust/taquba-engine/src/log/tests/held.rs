//! A store in memory whose writes can be held up and whose reads and deletions can fail.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// What of a place's name holds a write up, or has a read fail.
#[derive(Debug, Default)]
pub(crate) struct HeldStore {
    inner: Arc<InMemory>,
    held: watch::Sender<Option<&'static str>>,
    denied: Mutex<Option<&'static str>>,
    lost: Mutex<Option<&'static str>>,
    waiting: Notify,
}

impl HeldStore {
    /// The same objects, for one who is to be treated otherwise.
    pub fn over(inner: &Arc<InMemory>) -> Self {
        Self { inner: Arc::clone(inner), ..Self::default() }
    }

    /// Writes to places whose name contains `part` wait from now on.
    pub fn hold(&self, part: &'static str) {
        self.held.send_replace(Some(part));
    }

    /// Lets every write go.
    pub fn release(&self) {
        self.held.send_replace(None);
    }

    /// Returns when a write waits.
    pub async fn wait(&self) {
        self.waiting.notified().await;
    }

    /// Refuses to read and to delete places whose name contains `part` from now on.
    pub fn deny(&self, part: Option<&'static str>) {
        *self.denied.lock() = part;
    }

    /// The next read from a place whose name contains `part` finds nothing there.
    pub fn lose_once(&self, part: &'static str) {
        *self.lost.lock() = Some(part);
    }

    /// Whether that has happened.
    pub fn has_lost(&self) -> bool {
        self.lost.lock().is_none()
    }

    fn find(&self, location: &Path) -> Result<()> {
        let is_lost = |part: &mut &str| location.as_ref().contains(*part);
        match self.lost.lock().take_if(is_lost) {
            Some(_) => Err(Error::NotFound {
                path: location.to_string(),
                source: "the test says so".into(),
            }),
            None => Ok(()),
        }
    }

    fn check(&self, location: &Path) -> Result<()> {
        refuse(*self.denied.lock(), location)
    }
}

fn refuse(denied: Option<&str>, location: &Path) -> Result<()> {
    match denied {
        Some(part) if location.as_ref().contains(part) => Err(Error::PermissionDenied {
            path: location.to_string(),
            source: "the test says so".into(),
        }),
        _ => Ok(()),
    }
}

impl fmt::Display for HeldStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

#[async_trait]
impl ObjectStore for HeldStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let is_held = |part: Option<&str>| part.is_some_and(|p| location.as_ref().contains(p));
        if is_held(*self.held.borrow()) {
            self.waiting.notify_one();
        }
        let mut held = self.held.subscribe();
        drop(held.wait_for(|part| !is_held(*part)).await.expect("the sender is ours"));
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(location)?;
        self.find(location)?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let denied = *self.denied.lock();
        let checked = locations.map(move |location| {
            let location = location?;
            refuse(denied, &location).map(|()| location)
        });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match prefix.map_or(Ok(()), |prefix| self.check(prefix)) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
