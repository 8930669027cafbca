//! Bodies that are not what was written.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::stream;
use object_store::path::Path;
use object_store::{GetResult, GetResultPayload, ObjectStoreExt as _, PutOptions, Result};

use crate::fate::Fate;
use crate::fault::Fault;
use crate::later::Put;
use crate::store::Shared;

/// Does to an answer what befalls its body.
pub(crate) async fn damage(got: GetResult, fate: &Fate) -> Result<GetResult> {
    let fault = fate
        .fault
        .filter(|fault| matches!(fault, Fault::TruncateGet | Fault::FlipGet | Fault::DropStream));
    let Some(fault) = fault else { return Ok(got) };
    let (meta, range) = (got.meta.clone(), got.range.clone());
    let (attributes, extensions) = (got.attributes.clone(), got.extensions.clone());
    let body = got.bytes().await?;
    let chunks = match fault {
        Fault::TruncateGet => vec![Ok(shortened(&body, fate.draw))],
        Fault::FlipGet => vec![Ok(flipped(&body, fate.draw))],
        _ => vec![Ok(body.slice(..body.len() / 2)), Err(fate.failed(fault))],
    };
    let payload = GetResultPayload::Stream(stream::iter(chunks).boxed());
    Ok(GetResult { payload, meta, range, attributes, extensions })
}

impl Shared {
    /// Flips a bit of an object, for good. What is not there, or empty, cannot rot.
    pub(crate) async fn rot(&self, location: &Path, draw: u64) {
        if self.flip_at_rest(location, draw).await.is_none() {
            self.state.lock().take_back(Fault::Rot);
        }
    }

    async fn flip_at_rest(&self, location: &Path, draw: u64) -> Option<()> {
        let got = self.inner.get(location).await.ok()?;
        let options = PutOptions { attributes: got.attributes.clone(), ..PutOptions::default() };
        let body = got.bytes().await.ok().filter(|body| !body.is_empty())?;
        let payload = flipped(&body, draw).into();
        self.perform(Put { location: location.clone(), payload, options }).await.ok().map(drop)
    }
}

fn shortened(body: &Bytes, draw: u64) -> Bytes {
    body.slice(..below(draw, body.len()))
}

fn flipped(body: &Bytes, draw: u64) -> Bytes {
    let mut bytes = BytesMut::from(body.as_ref());
    if let Some(byte) = bytes.get_mut(below(draw >> 3, body.len())) {
        *byte ^= 1 << (draw & 7);
    }
    bytes.freeze()
}

/// A place in something that long; 0 if it has none.
pub(crate) fn below(draw: u64, len: usize) -> usize {
    let place = draw.checked_rem(len as u64).unwrap_or_default();
    usize::try_from(place).unwrap_or_default()
}
