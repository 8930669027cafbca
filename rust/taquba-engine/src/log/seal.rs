//! Checksums for objects of the storage engine that have none: manifests and lists of compactions.
//!
//! One changed byte in a manifest can take tables or the beginning of the log out of the database, and
//! would be believed: acknowledged jobs would be gone without a word.
//!
//! ```text
//! object = what the storage engine wrote | "tqs1" | crc32 of its name and of that, big-endian
//! ```
//!
//! # Invariants
//!
//! 1. What is read is what was written under this name, or it is an error that names the object and that no
//!    further try can change.
//! 2. The storage engine never sees the seal; a tool without one reads past it.

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use object_store::path::Path;
use object_store::{Error, GetResult, GetResultPayload, ObjectMeta, PutPayload, Result};

use super::finality::Final;

/// What the checksum follows.
const MAGIC: &[u8; 4] = b"tqs1";

/// What is behind the content.
const SEAL_BYTES: usize = 8;

/// Directories of sealed objects, and how these end.
const SEALED: [(&str, &str); 2] = [("manifest", ".manifest"), ("compactions", ".compactions")];

/// Whether the object at this place is sealed.
pub(super) fn is_sealed(location: &Path) -> bool {
    let parts: Vec<_> = location.parts().collect();
    let [.., dir, file] = parts.as_slice() else { return false };
    SEALED.iter().any(|(name, end)| dir.as_ref() == *name && file.as_ref().ends_with(end))
}

/// What is written in place of this content.
pub(super) fn seal(location: &Path, content: &PutPayload) -> PutPayload {
    let mut sealed = BytesMut::with_capacity(content.content_length() + SEAL_BYTES);
    for part in content {
        sealed.put_slice(part);
    }
    let checksum = checksum(location, &sealed);
    sealed.put_slice(MAGIC);
    sealed.put_u32(checksum);
    sealed.freeze().into()
}

/// The content that was read, if it is what was written.
pub(super) async fn open(location: &Path, found: GetResult) -> Result<GetResult> {
    let (meta, attributes) = (found.meta.clone(), found.attributes.clone());
    let extensions = found.extensions.clone();
    let sealed = found.bytes().await?;
    let content = content(location, &sealed).ok_or_else(|| damaged(location, sealed.len()))?;
    let size = content.len() as u64;
    let range: Range<u64> = 0..size;
    let payload = futures::stream::once(std::future::ready(Ok(content))).boxed();
    Ok(GetResult {
        payload: GetResultPayload::Stream(payload),
        meta: ObjectMeta { size, ..meta },
        range,
        attributes,
        extensions,
    })
}

fn content(location: &Path, sealed: &Bytes) -> Option<Bytes> {
    let size = sealed.len().checked_sub(SEAL_BYTES)?;
    let checksum = checksum(location, &sealed[..size]).to_be_bytes();
    (sealed[size..] == [*MAGIC, checksum].concat()).then(|| sealed.slice(..size))
}

fn checksum(location: &Path, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    // One in the place of another is damage too.
    hasher.update(location.filename().unwrap_or_default().as_bytes());
    hasher.update(content);
    hasher.finalize()
}

fn damaged(location: &Path, size: usize) -> Error {
    let what = format!("the {size} bytes of `{location}` are not those that were written");
    Final::Damaged(what).told()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use object_store::{ObjectStore, ObjectStoreExt as _};

    use super::*;
    use crate::log::guard::{Attribution, GuardedStore};

    const PLACES: [&str; 2] =
        ["q/manifest/00000000000000000007.manifest", "q/compactions/1.compactions"];

    fn store() -> (Arc<InMemory>, GuardedStore) {
        let inner = Arc::new(InMemory::new());
        (Arc::clone(&inner), GuardedStore::new(inner, Attribution::Kept))
    }

    async fn read(store: &dyn ObjectStore, at: &Path) -> Result<Bytes> {
        store.get(at).await?.bytes().await
    }

    #[tokio::test]
    async fn what_was_written_is_read_and_a_changed_byte_is_noticed_wherever_it_is() {
        for place in PLACES.map(Path::from) {
            let (inner, guarded) = store();
            guarded.put(&place, "content".into()).await.expect("memory");
            let written = read(inner.as_ref(), &place).await.expect("it is there");
            assert_eq!(written.len(), "content".len() + SEAL_BYTES);
            assert_eq!(read(&guarded, &place).await.expect("it is whole"), "content");

            for at in 0..written.len() {
                let mut damaged = written.to_vec();
                damaged[at] ^= 0x40;
                inner.put(&place, damaged.into()).await.expect("memory");
                let error = read(&guarded, &place).await.expect_err("it is damaged");
                assert!(error.to_string().contains(place.as_ref()), "{error}");
            }
            for length in 0..written.len() {
                inner.put(&place, written.slice(..length).into()).await.expect("memory");
                assert!(read(&guarded, &place).await.is_err(), "cut to {length}");
            }
        }
    }

    #[tokio::test]
    async fn one_in_the_place_of_another_is_noticed() {
        let (inner, guarded) = store();
        let [first, second] = [1, 2].map(|id| Path::from(format!("q/manifest/{id}.manifest")));
        guarded.put(&first, "content".into()).await.expect("memory");
        let moved = read(inner.as_ref(), &first).await.expect("it is there");
        inner.put(&second, moved.into()).await.expect("memory");

        assert!(read(&guarded, &second).await.is_err());
    }

    #[tokio::test]
    async fn other_objects_are_left_alone() {
        let (inner, guarded) = store();
        for place in ["q/wal/1.sst", "q/manifest/1.tmp", "manifest", "x/1.manifest", "q/owner/1"] {
            let place = Path::from(place);
            guarded.put(&place, "content".into()).await.expect("memory");
            assert_eq!(read(inner.as_ref(), &place).await.expect("it is there"), "content");
        }
    }
}
