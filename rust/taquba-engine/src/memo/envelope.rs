//! The bytes of a memo's object: a version byte, the SHA-256 of the value, the value.

use bytes::Bytes;
use object_store::PutPayload;
use sha2::{Digest as _, Sha256};

use crate::engine::read::blocking;
use crate::limits::PAYLOAD_BYTES_MAX;

/// The first byte of every object.
const VERSION: u8 = 1;

/// What comes before the value.
const HEAD_BYTES: usize = 1 + 32;

/// The largest object.
pub(super) const SIZE_MAX: u64 = (HEAD_BYTES + PAYLOAD_BYTES_MAX) as u64;

/// From here on a digest takes so long (about 50 µs) that it leaves the threads of tasks.
const LARGE_BYTES_MIN: usize = 64 * 1024;

/// What is written for a value, which is not copied.
pub(super) async fn seal(value: Bytes) -> PutPayload {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.push(VERSION);
    head.extend_from_slice(&digest(value.clone()).await);
    [Bytes::from(head), value].into_iter().collect()
}

/// The value, or how the object is damaged.
pub(super) async fn open(mut object: Bytes) -> Result<Bytes, String> {
    let size = object.len();
    if size < HEAD_BYTES {
        return Err(format!("its {size} bytes are fewer than any has"));
    }
    let head = object.split_to(HEAD_BYTES);
    if head[0] != VERSION {
        return Err(format!("it begins with {}, not with {VERSION}", head[0]));
    }
    if digest(object.clone()).await != head[1..] {
        return Err(format!("its {size} bytes are not those that were written"));
    }
    Ok(object)
}

async fn digest(value: Bytes) -> [u8; 32] {
    if value.len() < LARGE_BYTES_MIN {
        return Sha256::digest(&value).into();
    }
    blocking(move || Sha256::digest(&value).into()).await
}
