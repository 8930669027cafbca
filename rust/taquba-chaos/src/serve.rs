//! The way of a request: decided, on its way, done or not, answered or not.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::body;
use crate::fate::{Fate, Request, pass};
use crate::fault::{Fault, Operation};
use crate::later::Put;
use crate::listing::Listing;
use crate::store::{ChaosStore, Shared};
use crate::upload::ChaosUpload;

#[async_trait]
impl ObjectStore for ChaosStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let fate = self.shared.decide(Request::put(location, &options.mode));
        let put = Put { location: location.clone(), payload, options };
        self.shared.put(fate, put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let fate = self.shared.decide(Request::new(Operation::UploadPart, location));
        fate.admit(0).await?;
        let inner = self.shared.inner.put_multipart_opts(location, options).await?;
        fate.answer(0).await;
        Ok(Box::new(ChaosUpload {
            shared: Arc::clone(&self.shared),
            inner,
            location: location.clone(),
            is_broken: Arc::new(AtomicBool::new(false)),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { Operation::Head } else { Operation::Get };
        let fate = self.shared.decide(Request::new(operation, location));
        fate.admit(0).await?;
        self.shared.let_arrive(self.shared.now()).await;
        if fate.is(Fault::Rot) {
            self.shared.rot(location, fate.draw).await;
        }
        let got = self.shared.inner.get_opts(location, options).await?;
        let body_bytes = match operation {
            Operation::Get => got.range.end - got.range.start,
            _ => 0,
        };
        let got = body::damage(got, &fate).await?;
        fate.answer(usize::try_from(body_bytes).unwrap_or(usize::MAX)).await;
        Ok(got)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let shared = Arc::clone(&self.shared);
        locations
            .then(move |location| {
                let shared = Arc::clone(&shared);
                async move {
                    let location = location?;
                    let fate = shared.decide(Request::new(Operation::Delete, &location));
                    shared.change(&fate, shared.delete(&location)).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(Listing { prefix: prefix.cloned(), offset: None })
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(Listing { prefix: prefix.cloned(), offset: Some(offset.clone()) })
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.shared.list_level(Listing { prefix: prefix.cloned(), offset: None }).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let fate = self.shared.decide(Request::new(Operation::Copy, to));
        self.shared.change(&fate, self.shared.inner.copy_opts(from, to, options)).await
    }
}

impl ChaosStore {
    fn listed(&self, listing: Listing) -> BoxStream<'static, Result<ObjectMeta>> {
        let shared = Arc::clone(&self.shared);
        let listed = async move { shared.list(listing).await.unwrap_or_else(|e| vec![Err(e)]) };
        listed.map(stream::iter).flatten_stream().boxed()
    }
}

impl Shared {
    /// A change that has nothing but an effect.
    async fn change(&self, fate: &Fate, work: impl Future<Output = Result<()>>) -> Result<()> {
        fate.admit(0).await?;
        self.let_arrive(self.now()).await;
        let done = work.await;
        fate.answer(0).await;
        if fate.is(Fault::FailAfter) { Err(fate.failed(Fault::FailAfter)) } else { done }
    }

    async fn put(&self, fate: Fate, put: Put) -> Result<PutResult> {
        fate.admit(put.payload.content_length()).await?;
        self.let_arrive(self.now()).await;
        let done = match fate.fault {
            Some(fault @ (Fault::FailAfter | Fault::ConflictOwn)) => {
                drop(self.perform(put).await);
                Err(fate.failed(fault))
            }
            Some(Fault::ConflictAbsent) => self.conflict(&fate, put).await,
            Some(Fault::ConflictForeign) => {
                let options =
                    PutOptions { mode: put.options.mode.clone(), ..PutOptions::default() };
                drop(self.perform(Put { options, ..put.clone() }).await);
                Err(fate.failed(Fault::ConflictForeign))
            }
            Some(Fault::DetachPut) => {
                self.send_later(fate.delay, put);
                let is_told_after = fate.draw & 1 == 1;
                pass(if is_told_after { fate.delay } else { fate.after }).await;
                return Err(fate.failed(Fault::DetachPut));
            }
            Some(Fault::DuplicatePut) => {
                self.send_later(fate.delay, put.clone());
                self.perform(put).await
            }
            _ => self.perform(put).await,
        };
        fate.answer(0).await;
        done
    }

    /// A conflict about nothing. Where there is something, the store below says so itself.
    async fn conflict(&self, fate: &Fate, put: Put) -> Result<PutResult> {
        if self.inner.head(&put.location).await.is_ok() {
            self.state.lock().take_back(Fault::ConflictAbsent);
            return self.perform(put).await;
        }
        Err(fate.failed(Fault::ConflictAbsent))
    }
}
