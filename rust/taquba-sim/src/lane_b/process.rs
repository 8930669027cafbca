//! One process's way to the store, which ends with the process.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use taquba_chaos::ChaosStore;
use tokio::sync::Notify;

/// Whether a process runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Power(Arc<Switch>);

#[derive(Debug, Default)]
struct Switch {
    is_off: AtomicBool,
    went_off: Notify,
}

impl Power {
    /// Kills the process.
    pub fn cut(&self) {
        self.0.is_off.store(true, Ordering::Relaxed);
        self.0.went_off.notify_waiters();
    }

    /// A request: dropped where it is when the process is killed, and not begun after that.
    async fn carry<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let went_off = self.0.went_off.notified();
        tokio::pin!(went_off);
        went_off.as_mut().enable();
        if self.0.is_off.load(Ordering::Relaxed) {
            return Err(killed());
        }
        tokio::select! {
            biased;
            () = went_off => Err(killed()),
            done = work => done,
        }
    }
}

/// What nobody hears any more. No further try changes it, so what is left of the process ends soon.
fn killed() -> Error {
    Error::PermissionDenied { path: String::new(), source: "this process was killed".into() }
}

/// The store as one process reaches it.
#[derive(Clone, Debug)]
pub(super) struct ProcessStore {
    store: ChaosStore,
    power: Power,
}

impl ProcessStore {
    pub fn new(store: ChaosStore, power: Power) -> Self {
        Self { store, power }
    }

    /// A listing; what came before its end is lost with the process.
    fn listed(
        &self,
        listed: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let power = self.power.clone();
        let whole = async move {
            let listed = power.carry(listed.collect::<Vec<_>>().map(Ok)).await;
            listed.unwrap_or_else(|error| vec![Err(error)])
        };
        whole.map(stream::iter).flatten_stream().boxed()
    }
}

impl fmt::Display for ProcessStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.store)
    }
}

#[async_trait]
impl ObjectStore for ProcessStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.power.carry(self.store.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.power.carry(self.store.put_multipart_opts(location, options)).await?;
        Ok(Box::new(ProcessUpload { inner, power: self.power.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.power.carry(self.store.get_opts(location, options)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let process = self.clone();
        let deleted = locations.then(move |location| {
            let process = process.clone();
            async move {
                let one = stream::once(std::future::ready(location)).boxed();
                let mut deleted = process.store.delete_stream(one);
                let deleted =
                    deleted.next().map(|deleted| deleted.expect("one goes in, one comes out"));
                process.power.carry(deleted).await
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.store.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.power.carry(self.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.power.carry(self.store.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct ProcessUpload {
    inner: Box<dyn MultipartUpload>,
    power: Power,
}

#[async_trait]
impl MultipartUpload for ProcessUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, power) = (self.inner.put_part(data), self.power.clone());
        async move { power.carry(part).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.power.carry(self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.power.carry(self.inner.abort()).await
    }
}
