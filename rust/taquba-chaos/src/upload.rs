//! Uploads in parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::FutureExt as _;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use crate::fate::Request;
use crate::fault::{Fault, Operation};
use crate::store::Shared;

/// An upload that may lose parts, and then has no end.
#[derive(Debug)]
pub(crate) struct ChaosUpload {
    pub shared: Arc<Shared>,
    pub inner: Box<dyn MultipartUpload>,
    pub location: Path,
    /// Whether a part is missing.
    pub is_broken: Arc<AtomicBool>,
}

#[async_trait]
impl MultipartUpload for ChaosUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let fate = self.shared.decide(Request::new(Operation::UploadPart, &self.location));
        let size_bytes = data.content_length();
        let is_refused = fate.fault.is_some_and(Fault::refuses);
        // The order of parts is the order of these calls, so what is sent is sent here.
        let sent = (!is_refused).then(|| self.inner.put_part(data));
        let is_broken = Arc::clone(&self.is_broken);
        async move {
            is_broken.fetch_or(is_refused, Ordering::Relaxed);
            fate.admit(size_bytes).await?;
            if let Some(sent) = sent {
                sent.await?;
            }
            fate.answer(0).await;
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fate = self.shared.decide(Request::new(Operation::UploadComplete, &self.location));
        fate.admit(0).await?;
        if self.is_broken.load(Ordering::Relaxed) {
            let source = format!("a part of `{}` is missing", self.location).into();
            return Err(Error::Generic { store: "ChaosStore", source });
        }
        self.shared.let_arrive(self.shared.now()).await;
        let completed = self.inner.complete().await;
        fate.answer(0).await;
        if fate.is(Fault::FailAfter) {
            return Err(fate.failed(Fault::FailAfter));
        }
        completed
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
