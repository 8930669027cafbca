//! The bytes of a memo's object: a version byte, the SHA-256 of its place and value, the value.
//!
//! One object in the place of another is damage too: the digest begins with run, step and key.

use bytes::Bytes;
use object_store::PutPayload;
use sha2::{Digest as _, Sha256};

use crate::engine::read::digested;
use crate::ids::{MemoKey, RunId};
use crate::limits::PAYLOAD_BYTES_MAX;

/// The first byte of every object.
const VERSION: u8 = 2;

/// What comes before the value.
const HEAD_BYTES: usize = 1 + 32;

/// The largest object.
pub(super) const SIZE_MAX: u64 = (HEAD_BYTES + PAYLOAD_BYTES_MAX) as u64;

/// Where an object belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Belonging(Vec<u8>);

impl Belonging {
    /// Of a run's step, under a key.
    pub fn of(run_id: &RunId, step: u32, key: &MemoKey) -> Self {
        // The end has one size, so two places never read alike.
        Self([run_id.as_str().as_bytes(), &step.to_be_bytes(), key.as_bytes()].concat())
    }
}

/// What is written for a value, which is not copied.
pub(super) async fn seal(place: Belonging, value: Bytes) -> PutPayload {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.push(VERSION);
    head.extend_from_slice(&digest(place.0, value.clone()).await);
    [Bytes::from(head), value].into_iter().collect()
}

/// The value, or how the object is damaged.
pub(super) async fn open(place: Belonging, mut object: Bytes) -> Result<Bytes, String> {
    let size = object.len();
    if size < HEAD_BYTES {
        return Err(format!("its {size} bytes are fewer than any has"));
    }
    let head = object.split_to(HEAD_BYTES);
    if head[0] != VERSION {
        return Err(format!("it begins with {}, not with {VERSION}", head[0]));
    }
    if digest(place.0, object.clone()).await != head[1..] {
        return Err(format!("its {size} bytes are not those that were written"));
    }
    Ok(object)
}

async fn digest(place: Vec<u8>, value: Bytes) -> [u8; 32] {
    let size = value.len();
    let work = move || Sha256::new_with_prefix(place).chain_update(&value).finalize().into();
    digested(size, work).await
}
